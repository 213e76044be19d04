//! Envoy's ABI for dynamic modules, as version 1.38 declares it: its functions as safe ones, and the
//! memory that it lends. The hooks that Envoy calls are in [`hooks`],
//! the declarations in [`functions`].
//!
//! Contracts of the ABI that all blocks here rely on:
//! - A pointer to a filter is valid from the creation of the filter to its destruction, and is used on
//!   the thread of its worker only. [`FilterHandle`] is made by hooks, for the time of the hook.
//! - A pointer to a configuration is valid until its hook for destruction returns.
//! - Buffers that Envoy fills in are its own memory. They are valid until the hook ends or a header of
//!   the same message is changed, which takes `&mut` here.
//! - Buffers that are passed are read during the call only.
#![allow(unsafe_code, reason = "the ABI takes pointers")]

mod functions;
pub mod hooks;

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use divvy::filter::host::MetricKind;
use smallvec::SmallVec;

pub use functions::Bytes;
use functions::*;

use crate::values::{Attribute, HeaderMap, Metric};

/// `envoy_dynamic_module_type_http_body_type_ReceivedResponseBody`.
const RECEIVED_RESPONSE_BODY: u32 = 2;
/// `envoy_dynamic_module_type_metrics_result_Success`.
const SUCCESS: u32 = 0;

/// Whether this Envoy knows a fact. It logs an error when it is asked for another one.
pub fn knows(attribute: Attribute) -> bool {
    match attribute {
        Attribute::ResponseCodeDetails | Attribute::ResponseFlags => later().change.is_some(),
        Attribute::ListenerDirection => later().since_1_40,
        _ => true,
    }
}

/// Writes a line to Envoy's log, if its level is on.
pub fn log(level: u32, message: impl FnOnce() -> String) {
    // SAFETY: a plain number.
    if unsafe { log_enabled(level) } {
        let message = message();
        // SAFETY: the message is borrowed for the call.
        unsafe { write_log(level, Bytes::of(message.as_bytes())) };
    }
}

/// Whether metrics can be changed without a filter.
pub fn changes_without_filter() -> bool {
    later().change.is_some()
}

/// Whether this Envoy is too old: it lacks functions. It refuses the module then, for another reason.
pub fn is_too_old() -> bool {
    symbol(c"envoy_dynamic_module_callback_get_concurrency").is_null()
}

/// Number of workers. On the main thread only.
pub fn concurrency() -> usize {
    // SAFETY: has no arguments.
    usize::try_from(unsafe { get_concurrency() })
        .unwrap_or(1)
        .max(1)
}

fn with_labels<T>(labels: &[Box<str>], call: impl FnOnce(*const Bytes, usize) -> T) -> T {
    if labels.is_empty() {
        return call(null(), 0);
    }
    let labels: SmallVec<[Bytes; 4]> = labels.iter().map(|one| Bytes::of(one.as_bytes())).collect();
    call(labels.as_ptr(), labels.len())
}

/// Envoy's side of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct ConfigHandle(*mut c_void);

// SAFETY: Envoy synchronizes what is done with it; it is used until its destruction only.
unsafe impl Send for ConfigHandle {}
// SAFETY: as above.
unsafe impl Sync for ConfigHandle {}

impl ConfigHandle {
    /// # Safety
    /// `config` must be what Envoy passed to a hook for configurations.
    pub const unsafe fn new(config: *mut c_void) -> Self {
        Self(config)
    }

    /// Defines a metric: in the hook that creates the configuration only. Its number.
    pub fn define(self, kind: MetricKind, name: &str, labels: &[Box<str>]) -> Option<usize> {
        // In the order of the kinds, as those below.
        const DEFINE: [Define; 3] = [define_counter, define_gauge, define_histogram];
        let define = DEFINE.get(kind as usize)?;
        let mut id = 0;
        let status = with_labels(labels, |labels, count| {
            // SAFETY: the configuration is valid; name and labels are borrowed for the call.
            unsafe {
                define(
                    self.0,
                    Bytes::of(name.as_bytes()),
                    labels,
                    count,
                    &raw mut id,
                )
            }
        });
        (status == SUCCESS).then_some(id)
    }

    /// Changes a metric without a filter. `false`: this Envoy cannot.
    pub fn change(self, metric: &Metric, value: u64) -> bool {
        let change = later().change.as_ref();
        let Some(change) = change.and_then(|all| all.get(metric.kind as usize)) else {
            return false;
        };
        with_labels(&metric.labels, |labels, count| {
            // SAFETY: the configuration is valid; the labels are borrowed for the call.
            unsafe { change(self.0, metric.id, labels, count, value) };
        });
        true
    }

    /// A scheduler of ticks.
    pub fn scheduler(self) -> Scheduler {
        // SAFETY: the configuration is valid.
        Scheduler(unsafe { scheduler_new(self.0) })
    }
}

/// Makes Envoy call the hook for scheduled events of a configuration, on the main thread.
#[derive(Debug)]
pub struct Scheduler(*mut c_void);

// SAFETY: the ABI lets any thread schedule an event.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Schedules an event. Nothing happens if the configuration is gone.
    pub fn schedule(&self) {
        // SAFETY: the scheduler is valid until it is dropped.
        unsafe { scheduler_commit(self.0, 0) };
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: Envoy made it for this module, which deletes it once.
        unsafe { scheduler_delete(self.0) };
    }
}

/// The filter of a stream in Envoy, for the time of a hook.
#[derive(Debug)]
pub struct FilterHandle(*mut c_void);

impl FilterHandle {
    /// # Safety
    /// `filter` must be what Envoy passed to the running hook, and must not be used after it.
    pub const unsafe fn new(filter: *mut c_void) -> Self {
        Self(filter)
    }

    /// Index of the worker that runs the hook.
    pub fn worker(&self) -> usize {
        // SAFETY: the filter is valid.
        usize::try_from(unsafe { get_worker_index(self.0) }).unwrap_or_default()
    }

    /// All lines of a header map. `None` if there is none.
    pub fn lines(&self, map: HeaderMap) -> Option<BorrowedLines<'_>> {
        // SAFETY: the filter is valid.
        let count = unsafe { get_headers_size(self.0, map as u32) };
        if count == 0 {
            return None;
        }
        // On the heap, because the lines are moved.
        let mut entries = Vec::with_capacity(count);
        // SAFETY: there is memory for `count` entries, which is what Envoy writes.
        if !unsafe { get_headers(self.0, map as u32, entries.as_mut_ptr()) } {
            return None;
        }
        // SAFETY: Envoy has just written these entries.
        unsafe { entries.set_len(count) };
        Some(BorrowedLines {
            entries,
            filter: self,
        })
    }

    /// The first line of a header.
    pub fn first_line(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        let mut value = Bytes::NONE;
        let name = Bytes::of(name);
        // SAFETY: the filter is valid, the name borrowed for the call, `value` outlives it.
        let found = unsafe { get_header(self.0, map as u32, name, &raw mut value, 0, null_mut()) };
        // SAFETY: the bytes are Envoy's until the header is changed, which takes `&mut self`.
        found.then(|| unsafe { value.read() })
    }

    /// Replaces all lines of a header. The ABI has no empty lines: an empty value removes all.
    pub fn set(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        if value.is_empty() {
            return self.remove(map, name);
        }
        // SAFETY: the filter is valid; name and value are borrowed for the call.
        unsafe { set_header(self.0, map as u32, Bytes::of(name), Bytes::of(value)) }
    }

    /// Removes all lines of a header.
    pub fn remove(&mut self, map: HeaderMap, name: &[u8]) -> bool {
        // SAFETY: the filter is valid; the name is borrowed for the call.
        unsafe { set_header(self.0, map as u32, Bytes::of(name), Bytes::NONE) }
    }

    /// Adds a line to a header, unless it is empty.
    pub fn add(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        if value.is_empty() {
            return true;
        }
        // SAFETY: the filter is valid; name and value are borrowed for the call.
        unsafe { add_header(self.0, map as u32, Bytes::of(name), Bytes::of(value)) }
    }

    /// Makes Envoy choose the route again.
    pub fn choose_route(&self) {
        // SAFETY: the filter is valid.
        unsafe { clear_route_cache(self.0) };
    }

    /// Size of the piece of the response body that has just arrived.
    pub fn body_size(&self) -> u64 {
        // SAFETY: the filter is valid.
        let size = unsafe { get_body_size(self.0, RECEIVED_RESPONSE_BODY) };
        u64::try_from(size).unwrap_or(u64::MAX)
    }

    /// Text that the stream keeps until the end of this run of the filter chain.
    pub fn state(&self, key: &str) -> Option<&[u8]> {
        let mut value = Bytes::NONE;
        // SAFETY: the filter is valid, the key borrowed for the call, `value` outlives it.
        let found = unsafe { get_filter_state(self.0, Bytes::of(key.as_bytes()), &raw mut value) };
        // SAFETY: the stream keeps the bytes, and [`FilterHandle::set_state`] never replaces them.
        found.then(|| unsafe { value.read() })
    }

    /// Makes the stream keep text under a key that it does not have yet.
    pub fn set_state(&self, key: &str, value: &[u8]) {
        if self.state(key).is_none() {
            // SAFETY: the filter is valid; key and value are borrowed for the call.
            unsafe { set_filter_state(self.0, Bytes::of(key.as_bytes()), Bytes::of(value)) };
        }
    }

    /// A fact that is text. `None` if it is unknown.
    pub fn text(&self, attribute: Attribute) -> Option<&[u8]> {
        let mut value = Bytes::NONE;
        // SAFETY: the filter is valid, `value` outlives the call.
        let found = knows(attribute)
            && unsafe { get_attribute_string(self.0, attribute as u32, &raw mut value) };
        // SAFETY: the bytes are Envoy's, and valid to the end of the hook.
        found.then(|| unsafe { value.read() })
    }

    /// A fact that is a number. `None` if it is unknown.
    pub fn number(&self, attribute: Attribute) -> Option<u64> {
        let mut value = 0;
        // SAFETY: the filter is valid, `value` outlives the call.
        let found = knows(attribute)
            && unsafe { get_attribute_int(self.0, attribute as u32, &raw mut value) };
        found.then_some(value)
    }
}

/// Header lines, borrowed from Envoy.
pub struct BorrowedLines<'a> {
    entries: Vec<HeaderEntry>,
    filter: &'a FilterHandle,
}

impl<'a> BorrowedLines<'a> {
    /// Name and value of each line.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let _ = self.filter;
        // SAFETY: the bytes are Envoy's until a header is changed, which takes the filter as `&mut`.
        self.entries
            .iter()
            .map(|entry| unsafe { (entry.name.read(), entry.value.read()) })
    }
}

/// Changes metrics through the filter of the running hook, or else through a configuration.
#[derive(Debug)]
pub struct Meter(Cell<*mut c_void>);

impl Meter {
    /// Without a filter.
    pub const fn new() -> Self {
        Self(Cell::new(null_mut()))
    }

    /// Runs a hook of this filter.
    pub fn within<T>(&self, filter: &FilterHandle, run: impl FnOnce() -> T) -> T {
        /// Ends it, also when the hook panics.
        struct Within<'a>(&'a Cell<*mut c_void>);
        impl Drop for Within<'_> {
            fn drop(&mut self) {
                self.0.set(null_mut());
            }
        }
        self.0.set(filter.0);
        let _within = Within(&self.0);
        run()
    }

    /// Changes a metric. `false`: there is no filter, and this Envoy needs one.
    pub fn change(&self, config: ConfigHandle, metric: &Metric, value: u64) -> bool {
        const CHANGE: [Change; 3] = [increment_counter, set_gauge, record_histogram];
        let filter = self.0.get();
        if filter.is_null() {
            return config.change(metric, value);
        }
        if let Some(change) = CHANGE.get(metric.kind as usize) {
            with_labels(&metric.labels, |labels, count| {
                // SAFETY: the filter is that of the running hook; the labels are borrowed.
                unsafe { change(filter, metric.id, labels, count, value) };
            });
        }
        true
    }
}

/// A value of one worker that the main thread uses too. One thread at a time has it.
pub struct Handed<T>(Mutex<T>);

// SAFETY: the filter counts its references without synchronization (`Rc`). All of them are inside the
// value or inside streams of the same worker, which are used, and dropped, only while this lock is
// held. So no count is changed by two threads at a time, and the lock orders the changes.
unsafe impl<T> Send for Handed<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handed<T> {}

impl<T> Handed<T> {
    /// The value must not share references with any other value.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits for the value. A hook that panicked left it usable.
    pub fn take(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
