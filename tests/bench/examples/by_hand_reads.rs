//! By hand: is called as divvy is, reads all headers at once and finds that it is not about this host.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use divvy_bench::probes::job;

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    black_box(job::is_for(b"other.example.com"));
    0
}

divvy_bench::idle_callbacks!();
