//! By hand: the whole job, called as divvy is, and what nine more rollouts count.
//!
//! All users have the same decisions. So this is less than ten rollouts do.
#![cfg(target_arch = "wasm32")]

use divvy_bench::probes::{job, more};

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define();
    more::define();
    1
}

/// A stream begins, or a root.
#[unsafe(no_mangle)]
pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(request: u32, _: usize, _: u32) -> u32 {
    let choice = job::decide_by_all_pairs();
    job::route(choice);
    more::assign(choice);
    job::begin(request, choice);
    more::count_requests();
    0
}

/// The response's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(request: u32, _: usize, _: u32) -> u32 {
    if let Some(took) = job::end(request, job::status_class_of_all_headers) {
        more::count_responses(took);
    }
    0
}

/// The stream is over.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(request: u32) {
    job::forget(request);
}

/// The stream's context goes.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(request: u32) {
    job::forget(request);
}
