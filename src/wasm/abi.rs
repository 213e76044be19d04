//! What the proxy calls: the callbacks of the ABI that divvy needs, and no others.
//!
//! Envoy calls each callback that it finds, for each stream, so one that is not here costs
//! nothing. `proxy_on_done` is among those: without it Envoy goes straight on to
//! `proxy_on_delete`, for roots as for streams, so that is where a root hands over what it
//! counted.
//!
//! A callback never asks the proxy to wait, so those that could answer 0: go on.
#![allow(
    unsafe_code,
    reason = "exported names are beyond what the compiler sees"
)]

use std::cell::RefCell;

use super::alone::Alone;
use super::contexts::Contexts;
use super::host::ProxyWasm;
use super::{host, lent};
use crate::filter::{OpenRequest, Plugin};

const CONTINUE: u32 = 0;

// A `thread_local` would be found by a call, in every callback.
static CONTEXTS: Alone<RefCell<Contexts>> = Alone(RefCell::new(Contexts::new()));

/// Runs something on the contexts. A proxy that called back while it is being called would
/// find them in use, and nothing would happen. None does: in a call of ours it asks for
/// memory, and for nothing else.
fn with<T: Default>(run: impl FnOnce(&mut Contexts) -> T) -> T {
    match CONTEXTS.0.try_borrow_mut() {
        Ok(mut contexts) => run(&mut contexts),
        Err(_) => T::default(),
    }
}

fn with_root<T: Default>(id: u32, run: impl FnOnce(&mut Plugin<ProxyWasm>) -> T) -> T {
    with(|contexts| contexts.root(id).map(run)).unwrap_or_default()
}

fn with_stream(id: u32, run: impl FnOnce(&mut OpenRequest<ProxyWasm>)) -> u32 {
    with(|contexts| contexts.stream(id).map(run));
    CONTINUE
}

unsafe extern "C" {
    /// Made by the linker: runs what has to run before anything else.
    fn __wasm_call_ctors();
}

// SAFETY (of all names here): nothing else in the module has any of them, since they are the
// ABI's and no other crate speaks it.

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the proxy calls this once, first. A module that did not call it here would
    // have the linker call it around every export.
    unsafe { __wasm_call_ctors() };
    host::start_logging();
}

#[unsafe(no_mangle)]
const extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the proxy hands over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    lent::lend(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
    with(|contexts| contexts.create(id, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    with_root(root, |root| host::configure(root, size)).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with_root(root, Plugin::on_tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _: u32, whole: u32) -> u32 {
    with(|contexts| contexts.request_headers(stream, whole != 0));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(stream: u32, _: u32, last: u32) -> u32 {
    with_stream(stream, |stream| stream.on_request_body(last != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(stream: u32, _: u32) -> u32 {
    with_stream(stream, OpenRequest::on_request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _: u32, _: u32) -> u32 {
    with_stream(stream, |stream| stream.on_response_headers(&ProxyWasm))
}

/// The end of a stream comes with a log, whether or not there was a response.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(stream: u32) {
    with_stream(stream, |stream| stream.on_end(&ProxyWasm));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    with(|contexts| contexts.delete(context));
}
