//! Guards in front of the SDK's callbacks, so that no callback can trap.
//!
//! The SDK's dispatcher panics on a context id that is unknown, already in use or of the
//! wrong kind, and on a callback within a callback. A panic ends the VM, after which Envoy
//! answers 500 or 503 to everyone; this has happened in production (issue 304 of the SDK).
//! A guard drops such a callback. The link step exports `guard_NAME` as `NAME`, in place of
//! the SDK's export.
#![allow(unsafe_code, reason = "exported names and the symbols of the SDK")]

use std::cell::{Cell, RefCell};
use std::ptr::null_mut;

use proxy_wasm::types::Action;
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::memory;

/// The ids of the contexts that the SDK has.
struct Contexts {
    /// Few: one for each listener.
    plugins: Vec<u32>,
    requests: FxHashSet<u32>,
    /// The request that was found last: most callbacks follow one for the same request.
    last: Option<u32>,
}

impl Contexts {
    const fn new() -> Self {
        Self {
            plugins: Vec::new(),
            requests: FxHashSet::with_hasher(FxBuildHasher),
            last: None,
        }
    }

    fn is_plugin(&self, id: u32) -> bool {
        self.plugins.contains(&id)
    }

    fn is_request(&mut self, id: u32) -> bool {
        if self.last != Some(id) {
            if !self.requests.contains(&id) {
                return false;
            }
            self.last = Some(id);
        }
        true
    }

    /// Removes a context; `false` if there is none.
    fn remove(&mut self, id: u32) -> bool {
        self.last = None;
        if self.requests.remove(&id) {
            return true;
        }
        let plugins = self.plugins.len();
        self.plugins.retain(|plugin| *plugin != id);
        self.plugins.len() < plugins
    }
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = const { RefCell::new(Contexts::new()) };
    /// Whether a callback is running.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Reads or changes the ids; `None` if that is already being done.
fn contexts<T>(run: impl FnOnce(&mut Contexts) -> T) -> Option<T> {
    CONTEXTS.with(|contexts| Some(run(&mut *contexts.try_borrow_mut().ok()?)))
}

/// Runs a callback unless one is running.
fn alone<T>(otherwise: T, callback: impl FnOnce() -> T) -> T {
    if RUNNING.replace(true) {
        return otherwise;
    }
    let answer = callback();
    RUNNING.set(false);
    answer
}

/// Runs a callback of a plugin.
fn on_plugin<T>(id: u32, otherwise: T, callback: impl FnOnce() -> T) -> T {
    if contexts(|contexts| contexts.is_plugin(id)) == Some(true) {
        alone(otherwise, callback)
    } else {
        otherwise
    }
}

/// Runs a callback of a request.
fn on_request<T>(id: u32, otherwise: T, callback: impl FnOnce() -> T) -> T {
    if contexts(|contexts| contexts.is_request(id)) == Some(true) {
        alone(otherwise, callback)
    } else {
        otherwise
    }
}

// SAFETY of all calls: these are the SDK's own functions, with its own signatures.
unsafe extern "C" {
    safe fn proxy_on_context_create(id: u32, parent: u32);
    safe fn proxy_on_configure(id: u32, size: usize) -> bool;
    safe fn proxy_on_tick(id: u32);
    safe fn proxy_on_request_headers(id: u32, headers: usize, end_of_stream: bool) -> Action;
    safe fn proxy_on_request_body(id: u32, size: usize, end_of_stream: bool) -> Action;
    safe fn proxy_on_request_trailers(id: u32, trailers: usize) -> Action;
    safe fn proxy_on_response_headers(id: u32, headers: usize, end_of_stream: bool) -> Action;
    safe fn proxy_on_response_trailers(id: u32, trailers: usize) -> Action;
    safe fn proxy_on_log(id: u32);
    safe fn proxy_on_delete(id: u32);
}

// SAFETY of all names: no other crate exports a name that begins with `guard_`.

/// The SDK ends the VM if memory is exhausted; Envoy treats null as a failed call.
#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::allocate(size).unwrap_or_else(null_mut)
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_context_create(id: u32, parent: u32) {
    alone((), || {
        let created = contexts(|contexts| {
            let has_parent = parent == 0 || contexts.is_plugin(parent);
            // Envoy creates a root again to configure it again: it stays as it is. The SDK has
            // requests in another map, so that one may have the id of a root.
            if !has_parent || (parent == 0 && contexts.is_plugin(id)) {
                return None;
            }
            let is_new = if parent == 0 {
                contexts.plugins.push(id);
                !contexts.requests.remove(&id)
            } else {
                contexts.requests.insert(id)
            };
            contexts.last = (parent != 0).then_some(id);
            Some(is_new)
        });
        let Some(Some(is_new)) = created else { return };
        // A request that was never deleted is over.
        if !is_new {
            proxy_on_delete(id);
        }
        proxy_on_context_create(id, parent);
    });
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_configure(id: u32, size: usize) -> bool {
    on_plugin(id, false, || proxy_on_configure(id, size))
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_tick(id: u32) {
    on_plugin(id, (), || proxy_on_tick(id));
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_headers(id: u32, headers: usize, end: bool) -> Action {
    on_request(id, Action::Continue, || {
        proxy_on_request_headers(id, headers, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_body(id: u32, size: usize, end: bool) -> Action {
    on_request(id, Action::Continue, || {
        proxy_on_request_body(id, size, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_trailers(id: u32, trailers: usize) -> Action {
    on_request(id, Action::Continue, || {
        proxy_on_request_trailers(id, trailers)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_response_headers(id: u32, headers: usize, end: bool) -> Action {
    on_request(id, Action::Continue, || {
        proxy_on_response_headers(id, headers, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_response_trailers(id: u32, trailers: usize) -> Action {
    on_request(id, Action::Continue, || {
        proxy_on_response_trailers(id, trailers)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_log(id: u32) {
    on_request(id, (), || proxy_on_log(id));
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_delete(id: u32) {
    alone((), || {
        if contexts(|contexts| contexts.remove(id)) == Some(true) {
            proxy_on_delete(id);
        }
    });
}
