//! The functions that Envoy calls, by the names of its ABI. Must not decide anything.
//!
//! Each catches panics: one that reached Envoy would end the process.
//!
//! Contracts of the ABI that all blocks here rely on: pointers of Envoy's are valid during the call;
//! pointers of the module's are those that it returned, each until its `destroy`; the calls about one
//! stream come from one thread, one after the other.
#![allow(unsafe_code, reason = "exported names, and the ABI passes pointers")]

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;
use std::sync::Arc;

use super::{Bytes, ConfigHandle, FilterHandle};
use crate::instance::ModuleInstance;
use crate::logger;
use crate::stream::ModuleStream;

/// The ABI of 1.38 and 1.39. Later versions warn and load it.
const VERSION: &[u8] = b"v0.1.0\0";
/// Go on, in the numbering of every status of the ABI.
const CONTINUE: u32 = 0;

/// Runs a hook; `otherwise` is its answer after a panic, which [`logger::start`] lets Envoy log.
fn caught<T>(otherwise: T, hook: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or(otherwise)
}

/// Runs a hook of a stream.
fn on_stream(
    filter: *mut c_void,
    stream: *mut c_void,
    hook: impl FnOnce(&mut ModuleStream, &mut FilterHandle),
) -> u32 {
    caught((), || {
        // SAFETY: what `filter_new` returned; no other call about this stream runs.
        let stream = unsafe { stream.cast::<ModuleStream>().as_mut() };
        // SAFETY: the filter of the running hook.
        let mut filter = unsafe { FilterHandle::new(filter) };
        if let Some(stream) = stream {
            hook(stream, &mut filter);
        }
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    caught(null(), || {
        logger::start();
        if super::is_too_old() {
            log::error!(
                "this Envoy is too old for the module, which needs 1.38: use the wasm filter"
            );
        }
        VERSION.as_ptr().cast()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: *mut c_void,
    name: Bytes,
    bytes: Bytes,
) -> *const c_void {
    caught(null(), || {
        // SAFETY: Envoy's configuration, and bytes that are valid during the call.
        let (config, name, bytes) =
            unsafe { (ConfigHandle::new(config), name.read(), bytes.read()) };
        let instance = ModuleInstance::new(config, &String::from_utf8_lossy(name), bytes);
        instance.map_or(null(), |instance| Arc::into_raw(instance).cast())
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(instance: *const c_void) {
    caught((), || {
        if !instance.is_null() {
            // SAFETY: what `config_new` returned, and Envoy gives it back once.
            unsafe { Arc::from_raw(instance.cast::<ModuleInstance>()) }.end();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    _config: *mut c_void,
    instance: *const c_void,
    _event: u64,
) {
    caught((), || {
        // SAFETY: what `config_new` returned.
        if let Some(instance) = unsafe { instance.cast::<ModuleInstance>().as_ref() } {
            instance.on_tick();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    instance: *const c_void,
    _filter: *mut c_void,
) -> *mut c_void {
    let instance = instance.cast::<ModuleInstance>();
    // SAFETY: what `config_new` returned; the reference that is added belongs to the stream.
    let instance = unsafe {
        Arc::increment_strong_count(instance);
        Arc::from_raw(instance)
    };
    Box::into_raw(Box::new(ModuleStream::new(instance))).cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *mut c_void) {
    caught((), || {
        if !stream.is_null() {
            // SAFETY: what `filter_new` returned, and Envoy gives it back once.
            unsafe { Box::from_raw(stream.cast::<ModuleStream>()) }.on_destroy();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: *mut c_void,
    stream: *mut c_void,
    end_of_stream: bool,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        stream.on_request_headers(filter, end_of_stream);
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    filter: *mut c_void,
    stream: *mut c_void,
    end_of_stream: bool,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        if end_of_stream {
            stream.on_request_end(filter);
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    filter: *mut c_void,
    stream: *mut c_void,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        stream.on_request_end(filter);
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    filter: *mut c_void,
    stream: *mut c_void,
    end_of_stream: bool,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        stream.on_response_headers(filter, end_of_stream);
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    filter: *mut c_void,
    stream: *mut c_void,
    end_of_stream: bool,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        stream.on_response_body(filter, end_of_stream);
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    filter: *mut c_void,
    stream: *mut c_void,
) -> u32 {
    on_stream(filter, stream, |stream, filter| {
        stream.on_response_trailers(filter);
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    filter: *mut c_void,
    stream: *mut c_void,
    _code: u32,
    details: Bytes,
    _reset: bool,
) -> u32 {
    on_stream(filter, stream, |stream, _| {
        // SAFETY: valid during the call.
        stream.on_local_reply(unsafe { details.read() });
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    filter: *mut c_void,
    stream: *mut c_void,
) {
    let _ = on_stream(filter, stream, |stream, filter| {
        stream.on_complete(filter);
    });
}

/// Hooks that Envoy looks up and never calls, because the module starts no calls of its own and is not
/// the last filter.
macro_rules! unused {
    ($($name:ident)*) => { $(#[unsafe(no_mangle)] extern "C" fn $name() {})* };
}

unused! {
    envoy_dynamic_module_on_http_filter_http_callout_done
    envoy_dynamic_module_on_http_filter_http_stream_headers
    envoy_dynamic_module_on_http_filter_http_stream_data
    envoy_dynamic_module_on_http_filter_http_stream_trailers
    envoy_dynamic_module_on_http_filter_http_stream_complete
    envoy_dynamic_module_on_http_filter_http_stream_reset
    envoy_dynamic_module_on_http_filter_scheduled
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark
}
