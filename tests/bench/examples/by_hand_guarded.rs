//! By hand: the whole job, called as divvy is, and what a guardrail asks of each response: whether
//! it is an event stream, and at its end whether it broke off. Nothing is judged.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use divvy_bench::probes::{host, job};

/// The VM starts.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    job::define();
    1
}

/// A stream begins, or a root.
#[unsafe(no_mangle)]
pub const extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// A request's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(request: u32, _: usize, _: u32) -> u32 {
    job::whole_request(request);
    0
}

/// The response's headers are there.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(request: u32, _: usize, _: u32) -> u32 {
    job::end(request, job::status_class_of_all_headers);
    0
}

/// The stream is over.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(request: u32) {
    black_box(host::property(b"response\0flags"));
    job::forget(request);
}

/// The stream's context goes.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(request: u32) {
    job::forget(request);
}
