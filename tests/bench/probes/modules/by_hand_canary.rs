//! By hand: is called as divvy is, decides without rules, sets the route header and counts.
#![cfg(target_arch = "wasm32")]

use divvy_probes::job;

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define_requests();
    1
}

/// A stream begins, or a root.
#[unsafe(no_mangle)]
pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    job::route(job::decide_by_identity());
    0
}

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
