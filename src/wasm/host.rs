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

use std::ops::Deref;
use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

use super::memory::Answer;
use crate::filter::host::{Exchange, HeaderLines, Host, Message, MetricId, MetricKind, Refused};
use crate::guardrail::shared_data::{Generation, Swap};
use crate::request::{Claim, Direction, Malformed, Pairs, Request};

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
fn property(path: &str) -> Option<Answer> {
    // SAFETY: the path is borrowed for the call.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// A property, in memory of its own.
fn owned(path: &str) -> Option<Vec<u8>> {
    property(path).map(Into::into)
}

/// A property that is a number.
fn number(path: &str) -> Option<u64> {
    Some(u64::from_le_bytes((*property(path)?).try_into().ok()?))
}

fn nanos(clock: u32) -> Option<u64> {
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    done(unsafe { clock_time_get(clock, 1, &raw mut time) }).ok()?;
    Some(time)
}

/// The proxy, by the proxy-wasm ABI: its process, and the stream of the running callback.
#[derive(Clone, Copy, Debug)]
pub struct ProxyWasm;

impl Host for ProxyWasm {
    fn environment_says(&self, name: &str, value: &str) -> bool {
        std::env::var_os(name).is_some_and(|found| found == value)
    }

    fn node_id(&self) -> Option<Vec<u8>> {
        owned("node\0id")
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

/// A serialized header map; see [`Pairs`].
pub struct HeaderBlock(Answer);

impl HeaderLines for HeaderBlock {
    fn read_into<'a>(&'a self, request: &mut Request<'a>) -> Result<(), Malformed> {
        request.read_block(&self.0)
    }

    fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        for pair in Pairs::new(&self.0)? {
            let (name, value) = pair?;
            each(name, value);
        }
        Ok(())
    }
}

const fn map(message: Message) -> u32 {
    match message {
        Message::Request => MapType::HttpRequestHeaders as u32,
        Message::Response => MapType::HttpResponseHeaders as u32,
    }
}

/// The property with the headers that divvy filters wrote. Envoy keeps it in the filter state of the
/// stream, as `wasm.` and this name.
const fn chain_property(message: Message) -> &'static str {
    match message {
        Message::Request => "divvy_request_headers",
        Message::Response => "divvy_response_headers",
    }
}

/// Writes address and size of a header's first line.
fn header(message: Message, name: &str, data: *mut *mut u8, size: *mut usize) -> u32 {
    // SAFETY: the name is borrowed for the call, and so are both pointers.
    unsafe { proxy_get_header_map_value(map(message), name.as_ptr(), name.len(), data, size) }
}

impl Exchange for ProxyWasm {
    type Lines<'a> = HeaderBlock;

    fn lines(&self, message: Message) -> Option<HeaderBlock> {
        // SAFETY: both pointers are to variables that outlive the call.
        let block =
            bytes(|data, size| unsafe { proxy_get_header_map_pairs(map(message), data, size) });
        // Every message has headers. An empty map is one that cannot be read.
        Some(HeaderBlock(block.ok().filter(|block| !block.is_empty())?))
    }

    fn status(&self) -> Option<impl Deref<Target = [u8]>> {
        bytes(|data, size| header(Message::Response, ":status", data, size)).ok()
    }

    /// Costs as much as to remove an absent header, and does not make Envoy select the route
    /// again.
    fn lacks(&self, message: Message, name: &str) -> bool {
        let (mut data, mut size) = (null_mut(), 0);
        header(message, name, &raw mut data, &raw mut size) == NOT_FOUND
    }

    fn set(&self, message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
        // SAFETY: name and value are borrowed for the call.
        done(unsafe {
            proxy_replace_header_map_value(
                map(message),
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn add(&self, message: Message, name: &str, value: &[u8]) -> Result<(), Refused> {
        // SAFETY: name and value are borrowed for the call.
        done(unsafe {
            proxy_add_header_map_value(
                map(message),
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn remove(&self, message: Message, name: &str) -> Result<(), Refused> {
        // SAFETY: the name is borrowed for the call.
        done(unsafe { proxy_remove_header_map_value(map(message), name.as_ptr(), name.len()) })
    }

    fn chain_headers(&self, message: Message) -> Option<Vec<u8>> {
        owned(chain_property(message))
    }

    fn set_chain_headers(&self, message: Message, names: &[u8]) {
        let path = chain_property(message);
        // SAFETY: path and value are borrowed for the call.
        let _ =
            unsafe { proxy_set_property(path.as_ptr(), path.len(), names.as_ptr(), names.len()) };
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        owned("connection\0uri_san_peer_certificate")
    }

    fn listener_direction(&self) -> Option<Direction> {
        Direction::from_number(number("xds\0listener_direction")?)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        owned("source\0address")
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        let mut path = String::from("metadata\0filter_metadata\0envoy.filters.http.jwt_authn");
        for segment in claim.segments() {
            path.push('\0');
            path.push_str(segment);
        }
        owned(&path)
    }

    fn response_code(&self) -> Option<u64> {
        number("response\0code")
    }

    fn grpc_status(&self) -> Option<u64> {
        number("response\0grpc_status")
    }

    fn response_flags(&self) -> Option<u64> {
        number("response\0flags")
    }
}

/// Writes a line to the proxy's log.
pub fn log(level: LogLevel, message: &str) {
    // SAFETY: the message is borrowed for the call.
    let _ = unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}
