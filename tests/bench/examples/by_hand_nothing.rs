//! By hand: is called with each request, and does nothing.
#![cfg(target_arch = "wasm32")]

use divvy_bench as _;

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    0
}
