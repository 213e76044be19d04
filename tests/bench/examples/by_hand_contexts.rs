//! By hand: the whole job, with callbacks at the beginning and the end of each stream.
//!
//! `by_hand_whole` has one configuration, and the next request replaces a stream that had no response. A
//! filter that has several configurations in one VM and counts such streams, as divvy does, needs
//! callbacks for each stream.
#![cfg(target_arch = "wasm32")]

use divvy_bench::probes::job;

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define();
    1
}

/// A stream begins, or a root.
#[unsafe(no_mangle)]
pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// Request headers arrived.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(request: u32, _: usize, _: u32) -> u32 {
    job::whole_request(request);
    0
}

/// Response headers arrived.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(request: u32, _: usize, _: u32) -> u32 {
    job::end(request, job::status_class_of_all_headers);
    0
}

/// The stream is over.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(request: u32) {
    job::forget(request);
}

/// The stream's context is deleted.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(request: u32) {
    job::forget(request);
}
