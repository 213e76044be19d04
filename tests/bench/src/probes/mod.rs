//! Common code of the modules written by hand: the proxy-wasm ABI without an SDK at minimal cost.
//!
//! The modules are reference points, not filters for production. They trust the proxy, keep a fixed
//! number of open requests, reuse one buffer for all returned data and have no table of streams.
//! Some have only the callbacks that they need, others those of divvy. Their decisions for
//! `checkout` equal divvy's with the configuration of the full path; the bench checks them for
//! every user.

pub mod hash;
#[cfg(target_arch = "wasm32")]
pub mod host;
#[cfg(target_arch = "wasm32")]
pub mod job;
#[cfg(target_arch = "wasm32")]
pub mod more;
pub mod pairs;

/// Empty callbacks: those of divvy except for request headers.
#[macro_export]
macro_rules! idle_callbacks {
    () => {
        /// Creates a context.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

        /// Response headers arrived.
        #[unsafe(no_mangle)]
        pub extern "C" fn proxy_on_response_headers(_: u32, _: usize, _: u32) -> u32 {
            0
        }

        /// The stream ended.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_log(_: u32) {}

        /// Deletes a context.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_delete(_: u32) {}
    };
}
