//! All calls to the proxy; each status is decided here.
//!
//! The SDK's `hostcalls` are not used: they panic on a status that they do not expect, which
//! ends the VM (an Envoy with `capability_restriction_config` answers such statuses), read a
//! status that its enum lacks as undefined behaviour, take names for UTF-8 and report empty
//! values as missing. So the imports are declared here, with `u32` for the status.
//!
//! A call that only reports something (a counter, a log line) ignores a refusal, because the
//! request must go on.
#![allow(unsafe_code, reason = "the ABI takes pointers")]

use std::cell::Cell;
use std::ffi::OsString;
use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

use super::memory::Answer;
use crate::filter::host::{Host, Message, MetricId, MetricKind, Refused};
use crate::guardrail::shared_data::{Generation, Swap};
use crate::response::BodyProgress;

// As numbers, because a proxy may answer statuses that the SDK's enum lacks.
const OK: u32 = Status::Ok as u32;
const NOT_FOUND: u32 = Status::NotFound as u32;
const CAS_MISMATCH: u32 = Status::CasMismatch as u32;
const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(bytes: *mut u8, size: usize) -> u32;
}

const fn done(status: u32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(Refused) }
}

/// The bytes that a call returns.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Answer, Refused> {
    let (mut data, mut size) = (null_mut(), 0);
    done(call(&raw mut data, &raw mut size))?;
    Ok(Answer::take(data, size))
}

/// The configuration of the plugin, of `size` bytes.
pub fn plugin_configuration(size: usize) -> Result<Answer, Refused> {
    let buffer = BufferType::PluginConfiguration as u32;
    if size == 0 {
        return Ok(Answer::default());
    }
    // SAFETY: both pointers are to variables that outlive the call.
    bytes(|data, length| unsafe { proxy_get_buffer_bytes(buffer, 0, size, data, length) })
}

/// The name of the plugin; empty if it has none.
pub fn plugin_name() -> Answer {
    property("plugin_name").unwrap_or_default()
}

/// A property; `path`: its segments, separated by NUL.
pub(super) fn property(path: &str) -> Option<Answer> {
    // SAFETY: the path is borrowed for the call.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// A property, in memory of its own.
pub(super) fn owned(path: &str) -> Option<Vec<u8>> {
    property(path).map(Into::into)
}

/// A property that is a number.
pub(super) fn number(path: &str) -> Option<u64> {
    Some(u64::from_le_bytes((*property(path)?).try_into().ok()?))
}

fn nanos(clock: u32) -> Option<u64> {
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    done(unsafe { clock_time_get(clock, 1, &raw mut time) }).ok()?;
    Some(time)
}

thread_local! {
    /// The plugin whose tick runs.
    static PLUGIN: Cell<u32> = const { Cell::new(0) };
}

/// A callback of this plugin begins, which may make calls about its streams.
pub fn begin_root(plugin: u32) {
    PLUGIN.set(plugin);
}

/// Makes calls refer to this context, until the callback ends.
fn set_context(context: u32) -> Result<(), Refused> {
    // SAFETY: a plain number.
    done(unsafe { proxy_set_effective_context(context) })
}

/// How far the body of the response has come.
pub(super) fn body_progress() -> BodyProgress {
    // Envoy has this time once the upstream has sent its last byte.
    let finished = property("response\0backend_latency").is_some();
    let sent = if finished {
        None
    } else {
        number("response\0size")
    };
    BodyProgress {
        finished,
        sent: sent.unwrap_or(u64::MAX),
    }
}

/// The process of the proxy, by the proxy-wasm ABI.
#[derive(Clone, Copy, Debug)]
pub struct ProxyWasm;

impl Host for ProxyWasm {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(OsString::into_encoded_bytes)
    }

    fn node_id(&self) -> Option<Vec<u8>> {
        owned("xds\0node\0id")
    }

    fn tick_every(&self, interval: Duration) {
        let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: a plain number.
        let _ = unsafe { proxy_set_tick_period_milliseconds(millis) };
    }

    fn now(&self) -> Option<Duration> {
        nanos(CLOCK_REALTIME).map(Duration::from_nanos)
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        nanos(CLOCK_MONOTONIC)
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        let mut bits = [0; 16];
        // SAFETY: the proxy fills this many bytes, and they outlive the call.
        done(unsafe { random_get(bits.as_mut_ptr(), bits.len()) }).ok()?;
        Some(bits)
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, Generation)> {
        let mut cas = 0;
        // SAFETY: the key is borrowed for the call, `cas` outlives it.
        let value = bytes(|data, size| unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas)
        });
        Some((value.ok()?.into(), cas))
    }

    fn swap_shared(&self, key: &str, value: &[u8], read: Option<Generation>) -> Swap {
        // 0 would overwrite what another VM has just written. For an absent key the proxy
        // accepts any other number.
        set_shared(key, value, read.unwrap_or(u32::MAX))
    }

    fn set_shared(&self, key: &str, value: &[u8]) {
        let _ = set_shared(key, value, 0);
    }

    fn keep_through_redirects(&self, name: &str) {
        super::kept::declare(name);
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        let mut id = 0;
        // SAFETY: the name is borrowed for the call, `id` outlives it.
        done(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) })?;
        Ok(id)
    }

    fn increment(&self, metric: MetricId) {
        // SAFETY: plain numbers.
        let _ = unsafe { proxy_increment_metric(metric, 1) };
    }

    fn record(&self, metric: MetricId, value: u64) {
        // SAFETY: plain numbers.
        let _ = unsafe { proxy_record_metric(metric, value) };
    }

    fn body_progress_of(&self, stream: u32) -> Option<BodyProgress> {
        set_context(stream).ok()?;
        let progress = body_progress();
        let _ = set_context(PLUGIN.get());
        Some(progress)
    }
}

/// Replaces a shared value if its number still is `cas`; 0 replaces it in any case.
fn set_shared(key: &str, value: &[u8], cas: u32) -> Swap {
    // SAFETY: key and value are borrowed for the call.
    let status =
        unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    match status {
        OK => Swap::Done,
        CAS_MISMATCH => Swap::Conflict,
        _ => Swap::Refused,
    }
}

const fn map(message: Message) -> u32 {
    match message {
        Message::Request => MapType::HttpRequestHeaders as u32,
        Message::Response => MapType::HttpResponseHeaders as u32,
    }
}

/// Writes address and size of a header's first line.
fn header(map: u32, name: &str, data: *mut *mut u8, size: *mut usize) -> u32 {
    // SAFETY: the name is borrowed for the call, and so are both pointers.
    unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) }
}

/// All header lines of a message. Every message has headers: an empty map is one that cannot be read.
pub(super) fn header_lines(message: Message) -> Option<Answer> {
    // SAFETY: both pointers are to variables that outlive the call.
    let block = bytes(|data, size| unsafe { proxy_get_header_map_pairs(map(message), data, size) });
    block.ok().filter(|block| !block.is_empty())
}

/// Whether a header certainly has no line.
pub(super) fn lacks_header(message: Message, name: &str) -> bool {
    let (mut data, mut size) = (null_mut(), 0);
    header(map(message), name, &raw mut data, &raw mut size) == NOT_FOUND
}

/// The first line of a header.
pub(super) fn first_line(message: Message, name: &str) -> Option<Answer> {
    bytes(|data, size| header(map(message), name, data, size)).ok()
}

/// The first line of a response trailer.
pub(super) fn response_trailer(name: &str) -> Option<Answer> {
    let map = MapType::HttpResponseTrailers as u32;
    bytes(|data, size| header(map, name, data, size)).ok()
}

/// Replaces all lines of a header by one.
pub(super) fn replace_header(message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
    let (map, name, length) = (map(message), name.as_ptr(), name.len());
    // SAFETY: name and value are borrowed for the call.
    done(unsafe { proxy_replace_header_map_value(map, name, length, value.as_ptr(), value.len()) })
}

/// Adds a line to a header.
pub(super) fn add_header(message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
    let (map, name, length) = (map(message), name.as_ptr(), name.len());
    // SAFETY: name and value are borrowed for the call.
    done(unsafe { proxy_add_header_map_value(map, name, length, value.as_ptr(), value.len()) })
}

/// Removes all lines of a header.
pub(super) fn remove_header(message: Message, name: &str) -> Result<(), Refused> {
    // SAFETY: the name is borrowed for the call.
    done(unsafe { proxy_remove_header_map_value(map(message), name.as_ptr(), name.len()) })
}

/// Sets a property.
pub(super) fn set_property(path: &str, value: &[u8]) {
    let (path, length) = (path.as_ptr(), path.len());
    // SAFETY: path and value are borrowed for the call.
    let _ = unsafe { proxy_set_property(path, length, value.as_ptr(), value.len()) };
}

/// Writes a line to the proxy's log.
pub fn log(level: LogLevel, message: &str) {
    // SAFETY: the message is borrowed for the call.
    let _ = unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}
