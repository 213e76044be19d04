//! By hand: reads one header and hashes it.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use divvy_bench::probes::job;

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    black_box(job::decide_by_one_header());
    0
}
