//! By hand: is called as divvy is, reads all headers at once and finds that it is not about this host.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use divvy_probes::job;

/// A stream begins, or a root.
#[unsafe(no_mangle)]
pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    black_box(job::is_for(b"other.example.com"));
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
