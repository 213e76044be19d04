//! Every call to the proxy, each status decided here.
//!
//! A status that nobody expected, or a header value that is no UTF-8, must not end the VM,
//! and with it the proxy's answers, at the hands of one client. So no SDK's wrappers are
//! used, which panic on such: the imports are declared here, with `u32` for the status, and
//! nothing here can panic.
//!
//! A call that only tells (a counter, a log line) ignores a refusal: there is nobody to
//! tell about it, and the request must go on.
#![allow(unsafe_code, reason = "the ABI takes pointers")]

use std::ptr::null_mut;

use log::{Level, LevelFilter, Metadata, Record};

use super::lent::{self, Handed};
use crate::environment::Direction;
use crate::filter::Plugin;
use crate::filter::host::{Exchange, HeaderLines, Host, Message, MetricId, MetricKind, Refused};
use crate::request::{Claim, Malformed, Pairs, Request};
use crate::shared_data::{Generation, Swap};
use std::time::Duration;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const PLUGIN_CONFIGURATION: u32 = 7;
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

/// Runs a call that returns bytes.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Handed, Refused> {
    let mut data = null_mut();
    let mut size = 0;
    if call(&raw mut data, &raw mut size) != OK {
        lent::let_go();
        return Err(Refused);
    }
    lent::take_back(data, size).ok_or(Refused)
}

/// All lines of a header map, serialized; see [`crate::request::Pairs`].
pub fn header_block(map: u32) -> Result<Handed, Refused> {
    // SAFETY: both pointers are to variables that outlive the call.
    bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })
}

/// The first line of a header.
pub fn header(map: u32, name: &str) -> Result<Handed, Refused> {
    // SAFETY: as above; the name is borrowed for the call.
    bytes(|data, size| unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size)
    })
}

/// Whether there certainly is no line of a header. Where there is none, nothing is handed over: it
/// costs as much as to remove what is not there, and does not make Envoy find the route anew.
pub fn lacks_header(map: u32, name: &str) -> bool {
    let (mut data, mut size) = (null_mut(), 0_usize);
    // SAFETY: as above.
    let status = unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), &raw mut data, &raw mut size)
    };
    lent::let_go();
    status == NOT_FOUND
}

/// Makes this the one line of a header.
pub fn set_header(map: u32, name: &str, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: name and value are borrowed for the call.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Adds a line of a header to those that are there.
pub fn add_header(map: u32, name: &str, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: name and value are borrowed for the call.
    done(unsafe {
        proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes all lines of a header, if there are any.
pub fn remove_header(map: u32, name: &str) -> Result<(), Refused> {
    // SAFETY: the name is borrowed for the call.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// The configuration of the plugin.
pub fn configuration(size: usize) -> Result<Handed, Refused> {
    if size == 0 {
        return Ok(Handed::default());
    }
    // SAFETY: both pointers are to variables that outlive the call.
    bytes(|data, length| unsafe {
        proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, data, length)
    })
}

/// A property that is text. Path segments are separated by NUL.
pub fn property(path: &str) -> Result<Handed, Refused> {
    // SAFETY: the path is borrowed for the call.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// A property that is a number.
pub fn number_property(path: &str) -> Option<u64> {
    let bytes = property(path).ok()?;
    Some(u64::from_le_bytes((*bytes).try_into().ok()?))
}

/// A value that all VMs of the process share, with the number to swap it by. `None`
/// where there is none.
pub fn shared(key: &str) -> Option<(Handed, u32)> {
    let mut cas = 0;
    // SAFETY: the key is borrowed for the call, `cas` outlives it.
    let value = bytes(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas)
    });
    Some((value.ok()?, cas))
}

/// Replaces a shared value if its number still is `cas`; 0 replaces it in any case.
fn swap_shared(key: &str, value: &[u8], cas: u32) -> Swap {
    // SAFETY: key and value are borrowed for the call.
    let status =
        unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    match status {
        OK => Swap::Done,
        CAS_MISMATCH => Swap::Conflict,
        _ => Swap::Refused,
    }
}

/// The number under which this VM knows a metric. The host counts up with each call,
/// so [`super::metrics`] asks once for each name.
pub fn define_metric(kind: u32, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the name is borrowed for the call, `id` outlives it.
    done(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Counts one.
pub fn increment(metric: u32) {
    // SAFETY: plain numbers.
    let _ = unsafe { proxy_increment_metric(metric, 1) };
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record(metric: u32, value: u64) {
    // SAFETY: plain numbers.
    let _ = unsafe { proxy_record_metric(metric, value) };
}

/// Asks for a tick each so often; 0 for none.
pub fn tick_every(milliseconds: u32) {
    // SAFETY: a plain number.
    let _ = unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// Nanoseconds on a clock that never goes back, for durations.
pub fn monotonic_nanos() -> Option<u64> {
    nanos(CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970.
pub fn realtime_nanos() -> Option<u64> {
    nanos(CLOCK_REALTIME)
}

fn nanos(clock: u32) -> Option<u64> {
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    let status = unsafe { clock_time_get(clock, 1, &raw mut time) };
    (status == OK).then_some(time)
}

/// 128 random bits.
pub fn random_bits() -> Option<[u8; 16]> {
    let mut bits = [0; 16];
    // SAFETY: the host fills what it is told the size of, and that outlives the call.
    let status = unsafe { random_get(bits.as_mut_ptr(), bits.len()) };
    (status == OK).then_some(bits)
}

/// Takes a configuration of so many bytes. Whether it is in force now.
pub fn configure(plugin: &mut Plugin<ProxyWasm>, size: usize) -> bool {
    let Ok(bytes) = configuration(size) else {
        log::error!("the proxy does not hand over the configuration");
        return false;
    };
    let name = property("plugin_name").unwrap_or_default();
    plugin.configure(&String::from_utf8_lossy(&name), &bytes)
}

/// The proxy by the proxy-wasm ABI.
#[derive(Clone, Copy, Debug)]
pub struct ProxyWasm;

impl Host for ProxyWasm {
    fn environment_says(&self, name: &str, value: &str) -> bool {
        std::env::var_os(name).is_some_and(|found| found == value)
    }

    fn tick_every(&self, interval: Duration) {
        tick_every(u32::try_from(interval.as_millis()).unwrap_or(u32::MAX));
    }

    fn now(&self) -> Option<Duration> {
        realtime_nanos().map(Duration::from_nanos)
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        monotonic_nanos()
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        random_bits()
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, Generation)> {
        let (value, generation) = shared(key)?;
        Some((value.to_vec(), generation))
    }

    fn swap_shared(&self, key: &str, value: &[u8], read: Option<Generation>) -> Swap {
        // 0 would overwrite what another VM has just written. For an absent key the host
        // accepts any other number.
        swap_shared(key, value, read.unwrap_or(u32::MAX))
    }

    fn set_shared(&self, key: &str, value: &[u8]) {
        let _ = swap_shared(key, value, 0);
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused> {
        define_metric(
            match kind {
                MetricKind::Counter => 0,
                MetricKind::Gauge => 1,
                MetricKind::Histogram => 2,
            },
            name,
        )
    }

    fn increment(&self, metric: MetricId) {
        increment(metric);
    }

    fn record(&self, metric: MetricId, value: u64) {
        record(metric, value);
    }
}

/// A serialized header map.
pub struct Block(Handed);

impl HeaderLines for Block {
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
        Message::Request => 0,
        Message::Response => 2,
    }
}

impl Exchange for ProxyWasm {
    type Lines<'a> = Block;

    fn lines(&self, message: Message) -> Option<Block> {
        let block = header_block(map(message)).ok()?;
        // Every message has headers: without any, the host has none to give.
        (!block.is_empty()).then_some(Block(block))
    }

    fn status(&self) -> Option<Vec<u8>> {
        Some(header(map(Message::Response), ":status").ok()?.to_vec())
    }

    fn lacks(&self, message: Message, header: &str) -> bool {
        lacks_header(map(message), header)
    }

    fn set(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        set_header(map(message), header, value)
    }

    fn add(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        add_header(map(message), header, value)
    }

    fn remove(&self, message: Message, header: &str) -> Result<(), Refused> {
        remove_header(map(message), header)
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        text_property("connection\0uri_san_peer_certificate")
    }

    fn listener_direction(&self) -> Option<Direction> {
        Direction::from_number(number_property("xds\0listener_direction")?)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        text_property("source\0address")
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        let mut path = String::from("metadata\0filter_metadata\0envoy.filters.http.jwt_authn");
        for segment in claim.segments() {
            path.push('\0');
            path.push_str(segment);
        }
        text_property(&path)
    }

    fn response_code(&self) -> Option<u64> {
        number_property("response\0code")
    }

    fn grpc_status(&self) -> Option<u64> {
        number_property("response\0grpc_status")
    }

    fn response_flags(&self) -> Option<u64> {
        number_property("response\0flags")
    }
}

fn text_property(path: &str) -> Option<Vec<u8>> {
    Some(property(path).ok()?.to_vec())
}

/// Hands the `log` crate's lines to the proxy, whose own log level decides what is
/// written.
struct ProxyLog;

impl log::Log for ProxyLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        let level = match record.level() {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // SAFETY: the message is borrowed for the call.
        let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
    }

    fn flush(&self) {}
}

/// Makes `log::info!` and the others write to the proxy's log.
pub fn start_logging() {
    // Fails only when it was called before.
    let _ = log::set_logger(&ProxyLog);
    log::set_max_level(LevelFilter::Info);
}
