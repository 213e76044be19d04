//! How long a property that the filter sets lasts: Envoy keeps it in the filter state of the stream.
//! Must not depend on the filter.
#![allow(unsafe_code, reason = "the ABI takes pointers")]

use std::ptr::null_mut;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// Gives a property the span of the downstream request. The default is one run of the filter chain,
/// which ends when Envoy follows a redirect. Only in a callback of the plugin. A refusal is ignored.
pub(super) fn declare(name: &str) {
    const FUNCTION: &str = "declare_property";
    // Protobuf: field 1 is the name, a string; field 5 is the span, an enum.
    let Ok(length @ ..=0x7f) = u8::try_from(name.len()) else {
        return;
    };
    let argument = [&[0x0a, length], name.as_bytes(), &[0x28, 1]].concat();
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: name and argument are borrowed for the call; the function returns no bytes.
    let _ = unsafe {
        proxy_call_foreign_function(
            FUNCTION.as_ptr(),
            FUNCTION.len(),
            argument.as_ptr(),
            argument.len(),
            &raw mut data,
            &raw mut size,
        )
    };
}
