//! By hand: decides, sets the route header, counts, and sets the assignment header.
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
    let choice = job::decide_by_all_pairs();
    job::route(choice);
    job::assign(choice);
    0
}
