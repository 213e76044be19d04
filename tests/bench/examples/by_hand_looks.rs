//! By hand: is called as divvy is, and looks for three headers that are not there.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use divvy_bench::probes::host;

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    black_box(host::request_header(b"x-divvy-route"));
    black_box(host::request_header(b"x-divvy-assignment"));
    black_box(host::request_header(b"x-divvy-mirror"));
    0
}

divvy_bench::idle_callbacks!();
