//! By hand: the least that splits: reads one header, sets the route header and counts.
#![cfg(target_arch = "wasm32")]

use divvy_bench::probes::job;

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define_requests();
    1
}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    job::route(job::decide_by_one_header());
    0
}
