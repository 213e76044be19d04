//! Guards in front of the SDK's callbacks, so that no callback can trap.
//!
//! The SDK's dispatcher panics on a context id that is unknown, already in use or of the
//! wrong kind, and on a callback within a callback. A panic ends the VM, after which Envoy
//! answers 500 or 503 to everyone; this has happened in production (issue 304 of the SDK).
//! A guard drops such a callback. The link step exports `guard_NAME` as `NAME`, in place of
//! the SDK's export.
#![allow(unsafe_code, reason = "exported names and the symbols of the SDK")]

use std::cell::{Cell, RefCell};

use proxy_wasm::types::Action;
use rustc_hash::FxHashMap;

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContextKind {
    Plugin,
    Request,
}

thread_local! {
    /// Contexts that the SDK has, by their ids.
    static CONTEXTS: RefCell<FxHashMap<u32, ContextKind>> = RefCell::default();
    /// The context that was looked up last: most callbacks follow one for the same request.
    static LAST: Cell<(u32, Option<ContextKind>)> = const { Cell::new((0, None)) };
    /// Whether a callback is running.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

fn kind(id: u32) -> Option<ContextKind> {
    let (last, kind) = LAST.get();
    if last == id {
        return kind;
    }
    let kind = CONTEXTS.with(|contexts| contexts.try_borrow().ok()?.get(&id).copied());
    LAST.set((id, kind));
    kind
}

fn set_kind(id: u32, kind: Option<ContextKind>) {
    LAST.set((id, kind));
    CONTEXTS.with(|contexts| {
        if let Ok(mut contexts) = contexts.try_borrow_mut() {
            match kind {
                Some(kind) => contexts.insert(id, kind),
                None => contexts.remove(&id),
            };
        }
    });
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

/// Runs a callback for a context of this kind.
fn on<T>(id: u32, expected: ContextKind, otherwise: T, callback: impl FnOnce() -> T) -> T {
    if kind(id) == Some(expected) {
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
    safe fn proxy_on_log(id: u32);
    safe fn proxy_on_delete(id: u32);
}

// SAFETY of all names: no other crate exports a name that begins with `guard_`.

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_context_create(id: u32, parent: u32) {
    let new = if parent == 0 {
        ContextKind::Plugin
    } else {
        ContextKind::Request
    };
    let has_parent = parent == 0 || kind(parent) == Some(ContextKind::Plugin);
    // Envoy creates a root again to configure it again: it stays as it is.
    if !has_parent || kind(id) == Some(ContextKind::Plugin) {
        return;
    }
    alone((), || {
        // A request that was never deleted is over.
        if kind(id).is_some() {
            proxy_on_delete(id);
        }
        set_kind(id, Some(new));
        proxy_on_context_create(id, parent);
    });
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_configure(id: u32, size: usize) -> bool {
    on(id, ContextKind::Plugin, false, || {
        proxy_on_configure(id, size)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_tick(id: u32) {
    on(id, ContextKind::Plugin, (), || proxy_on_tick(id));
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_headers(id: u32, headers: usize, end: bool) -> Action {
    on(id, ContextKind::Request, Action::Continue, || {
        proxy_on_request_headers(id, headers, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_body(id: u32, size: usize, end: bool) -> Action {
    on(id, ContextKind::Request, Action::Continue, || {
        proxy_on_request_body(id, size, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_request_trailers(id: u32, trailers: usize) -> Action {
    on(id, ContextKind::Request, Action::Continue, || {
        proxy_on_request_trailers(id, trailers)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_response_headers(id: u32, headers: usize, end: bool) -> Action {
    on(id, ContextKind::Request, Action::Continue, || {
        proxy_on_response_headers(id, headers, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_log(id: u32) {
    on(id, ContextKind::Request, (), || proxy_on_log(id));
}

#[unsafe(no_mangle)]
extern "C" fn guard_proxy_on_delete(id: u32) {
    if kind(id).is_some() {
        alone((), || {
            set_kind(id, None);
            proxy_on_delete(id);
        });
    }
}
