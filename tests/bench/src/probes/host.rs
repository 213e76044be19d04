//! Host calls.

use std::cell::UnsafeCell;
use std::ptr;

/// Envoy allows 60 KiB of headers.
const ROOM: usize = 64 * 1024;

#[repr(align(16))]
struct Buffer(UnsafeCell<[u8; ROOM]>);

// SAFETY: a VM has one thread.
unsafe impl Sync for Buffer {}

/// Buffer for returned data; the next call overwrites it.
static BUFFER: Buffer = Buffer(UnsafeCell::new([0; ROOM]));

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *const u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, pairs: *mut *const u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *const u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
}

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
const COUNTER: u32 = 0;
const HISTOGRAM: u32 = 2;
const MONOTONIC: u32 = 1;

/// ABI version.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// The host allocates memory before it returns bytes.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= ROOM {
        BUFFER.0.get().cast()
    } else {
        ptr::null_mut()
    }
}

/// A request header; empty if absent.
pub fn request_header(name: &[u8]) -> &'static [u8] {
    header(REQUEST, name)
}

/// A response header; empty if absent.
pub fn response_header(name: &[u8]) -> &'static [u8] {
    header(RESPONSE, name)
}

fn header(map: u32, name: &[u8]) -> &'static [u8] {
    let (mut value, mut size) = (ptr::null(), 0);
    // SAFETY: the pointers are to what they say, and the proxy wrote `size` bytes to `value`.
    unsafe {
        let (name, length) = (name.as_ptr(), name.len());
        proxy_get_header_map_value(map, name, length, &raw mut value, &raw mut size);
        bytes(value, size)
    }
}

/// All headers of the request, for [`super::pairs::pairs`].
pub fn request_headers() -> &'static [u8] {
    headers(REQUEST)
}

/// All headers of the response, for [`super::pairs::pairs`].
pub fn response_headers() -> &'static [u8] {
    headers(RESPONSE)
}

fn headers(map: u32) -> &'static [u8] {
    let (mut pairs, mut size) = (ptr::null(), 0);
    // SAFETY: the pointers are to what they say, and the proxy wrote `size` bytes to `pairs`.
    unsafe {
        proxy_get_header_map_pairs(map, &raw mut pairs, &raw mut size);
        bytes(pairs, size)
    }
}

/// A property of the stream; the parts of the path are separated by NUL.
pub fn property(path: &[u8]) -> &'static [u8] {
    let (mut value, mut size) = (ptr::null(), 0);
    // SAFETY: the pointers are to what they say, and the proxy wrote `size` bytes to `value`.
    unsafe {
        proxy_get_property(path.as_ptr(), path.len(), &raw mut value, &raw mut size);
        bytes(value, size)
    }
}

unsafe fn bytes(start: *const u8, size: usize) -> &'static [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: that is the caller's word.
    unsafe { std::slice::from_raw_parts(start, size) }
}

/// Sets a request header.
pub fn set_request_header(name: &[u8], value: &[u8]) {
    let (name, length) = (name.as_ptr(), name.len());
    // SAFETY: the proxy reads so many bytes at the pointers.
    unsafe { proxy_replace_header_map_value(REQUEST, name, length, value.as_ptr(), value.len()) };
}

/// Defines a counter.
pub fn counter(name: &str) -> u32 {
    metric(COUNTER, name)
}

/// Defines a histogram.
pub fn histogram(name: &str) -> u32 {
    metric(HISTOGRAM, name)
}

fn metric(kind: u32, name: &str) -> u32 {
    let mut id = 0;
    // SAFETY: the proxy reads the name and writes the number.
    unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    id
}

/// Increments a counter.
pub fn increment(counter: u32) {
    // SAFETY: numbers only.
    unsafe { proxy_increment_metric(counter, 1) };
}

/// Records a value of a histogram.
pub fn record(histogram: u32, value: u64) {
    // SAFETY: numbers only.
    unsafe { proxy_record_metric(histogram, value) };
}

/// Nanoseconds of the monotonic clock.
pub fn clock() -> u64 {
    let mut time = 0;
    // SAFETY: the proxy writes the time.
    unsafe { clock_time_get(MONOTONIC, 1, &raw mut time) };
    time
}
