//! The parts that modules written by hand are put together from: proxy-wasm's ABI without an
//! SDK, as cheap as it gets.
//!
//! These are yardsticks and no filters for production. They trust the proxy, they remember a fixed
//! number of requests, and every shortcut that such code could take is taken: one buffer that
//! the proxy writes into again and again, no table of streams. Some have no callback that they do
//! not need, and some those that divvy has. What is decided for `checkout` is what divvy decides
//! with the bench's configuration of the full path, and the bench checks that for every user.

pub mod hash;
#[cfg(target_arch = "wasm32")]
pub mod host;
#[cfg(target_arch = "wasm32")]
pub mod job;
#[cfg(target_arch = "wasm32")]
pub mod more;
pub mod pairs;

/// The callbacks that divvy has beside that for a request's headers, with nothing in them.
#[macro_export]
macro_rules! idle_callbacks {
    () => {
        /// A stream begins, or a root.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

        /// The response's headers are there.
        #[unsafe(no_mangle)]
        pub extern "C" fn proxy_on_response_headers(_: u32, _: usize, _: u32) -> u32 {
            0
        }

        /// The stream is over.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_log(_: u32) {}

        /// The stream's context goes.
        #[unsafe(no_mangle)]
        pub const extern "C" fn proxy_on_delete(_: u32) {}
    };
}
