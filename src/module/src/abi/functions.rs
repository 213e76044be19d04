//! The functions and types of Envoy's ABI for dynamic modules, as version 1.38 declares them, and what
//! later versions add. Must not call them.
#![allow(unsafe_code, reason = "declarations of another language")]

use std::ffi::{CStr, c_void};
use std::ptr::null;
use std::sync::OnceLock;

/// Bytes in the module or in Envoy.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    address: *const u8,
    length: usize,
}

/// A header line in Envoy.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HeaderEntry {
    pub name: Bytes,
    pub value: Bytes,
}

pub(super) type Change = unsafe extern "C" fn(*mut c_void, usize, *const Bytes, usize, u64) -> u32;
pub(super) type Define =
    unsafe extern "C" fn(*mut c_void, Bytes, *const Bytes, usize, *mut usize) -> u32;

macro_rules! functions {
    ($($short:ident = $name:ident ($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*) => {
        unsafe extern "C" {
            $(pub(super) fn $name($($argument: $kind),*) $(-> $answer)?;)*
        }
        $(pub(super) use $name as $short;)*
        // Weak, so that an older Envoy, which lacks some, loads the module and refuses its version.
        #[cfg(target_os = "linux")]
        std::arch::global_asm!($(concat!(".weak ", stringify!($name))),*);
    };
}

functions! {
    write_log = envoy_dynamic_module_callback_log(level: u32, message: Bytes);
    log_enabled = envoy_dynamic_module_callback_log_enabled(level: u32) -> bool;
    get_concurrency = envoy_dynamic_module_callback_get_concurrency() -> u32;
    define_counter = envoy_dynamic_module_callback_http_filter_config_define_counter(config: *mut c_void, name: Bytes, labels: *const Bytes, count: usize, id: *mut usize) -> u32;
    define_gauge = envoy_dynamic_module_callback_http_filter_config_define_gauge(config: *mut c_void, name: Bytes, labels: *const Bytes, count: usize, id: *mut usize) -> u32;
    define_histogram = envoy_dynamic_module_callback_http_filter_config_define_histogram(config: *mut c_void, name: Bytes, labels: *const Bytes, count: usize, id: *mut usize) -> u32;
    increment_counter = envoy_dynamic_module_callback_http_filter_increment_counter(filter: *mut c_void, id: usize, labels: *const Bytes, count: usize, by: u64) -> u32;
    set_gauge = envoy_dynamic_module_callback_http_filter_set_gauge(filter: *mut c_void, id: usize, labels: *const Bytes, count: usize, value: u64) -> u32;
    record_histogram = envoy_dynamic_module_callback_http_filter_record_histogram_value(filter: *mut c_void, id: usize, labels: *const Bytes, count: usize, value: u64) -> u32;
    get_header = envoy_dynamic_module_callback_http_get_header(filter: *mut c_void, map: u32, name: Bytes, value: *mut Bytes, index: usize, count: *mut usize) -> bool;
    get_headers_size = envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, map: u32) -> usize;
    get_headers = envoy_dynamic_module_callback_http_get_headers(filter: *mut c_void, map: u32, entries: *mut HeaderEntry) -> bool;
    add_header = envoy_dynamic_module_callback_http_add_header(filter: *mut c_void, map: u32, name: Bytes, value: Bytes) -> bool;
    set_header = envoy_dynamic_module_callback_http_set_header(filter: *mut c_void, map: u32, name: Bytes, value: Bytes) -> bool;
    clear_route_cache = envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void);
    get_body_size = envoy_dynamic_module_callback_http_get_body_size(filter: *mut c_void, body: u32) -> usize;
    set_filter_state = envoy_dynamic_module_callback_http_set_filter_state_bytes(filter: *mut c_void, key: Bytes, value: Bytes) -> bool;
    get_filter_state = envoy_dynamic_module_callback_http_get_filter_state_bytes(filter: *mut c_void, key: Bytes, value: *mut Bytes) -> bool;
    get_attribute_string = envoy_dynamic_module_callback_http_filter_get_attribute_string(filter: *mut c_void, attribute: u32, value: *mut Bytes) -> bool;
    get_attribute_int = envoy_dynamic_module_callback_http_filter_get_attribute_int(filter: *mut c_void, attribute: u32, value: *mut u64) -> bool;
    get_worker_index = envoy_dynamic_module_callback_http_filter_get_worker_index(filter: *mut c_void) -> u32;
    scheduler_new = envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: *mut c_void) -> *mut c_void;
    scheduler_commit = envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64);
    scheduler_delete = envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
}

impl Bytes {
    pub(super) const NONE: Self = Self {
        address: null(),
        length: 0,
    };

    pub(super) const fn of(bytes: &[u8]) -> Self {
        Self {
            address: bytes.as_ptr(),
            length: bytes.len(),
        }
    }

    /// # Safety
    /// The bytes must be valid for `'a`, or the address null.
    pub const unsafe fn read<'a>(self) -> &'a [u8] {
        if self.address.is_null() {
            return &[];
        }
        // SAFETY: by the contract of this function.
        unsafe { std::slice::from_raw_parts(self.address, self.length) }
    }
}

pub(super) fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in NUL; a missing symbol is null.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// What later versions of Envoy offer beyond 1.38.
pub(super) struct Later {
    /// Changes metrics without a filter: counter, gauge, histogram; since 1.39.
    pub change: Option<[Change; 3]>,
    /// The facts that 1.40 knows.
    pub since_1_40: bool,
}

pub(super) fn later() -> &'static Later {
    static LATER: OnceLock<Later> = OnceLock::new();
    LATER.get_or_init(|| {
        let names = [
            c"envoy_dynamic_module_callback_http_filter_config_increment_counter",
            c"envoy_dynamic_module_callback_http_filter_config_set_gauge",
            c"envoy_dynamic_module_callback_http_filter_config_record_histogram_value",
        ];
        let found = names.map(symbol);
        Later {
            change: found.iter().all(|symbol| !symbol.is_null()).then(|| {
                // SAFETY: Envoy declares all three with this signature.
                found.map(|symbol| unsafe { std::mem::transmute::<*mut c_void, Change>(symbol) })
            }),
            since_1_40: !symbol(c"envoy_dynamic_module_callback_http_get_timing_info").is_null(),
        }
    })
}
