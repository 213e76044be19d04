//! By hand: the whole job but for the status, which is taken for a 200.
#![cfg(target_arch = "wasm32")]

use divvy_bench::probes::job;

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define();
    1
}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(request: u32, _: usize, _: u32) -> u32 {
    job::whole_request(request);
    0
}

/// The response's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(request: u32, _: usize, _: u32) -> u32 {
    job::end(request, || 2);
    0
}
