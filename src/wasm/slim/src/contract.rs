//! Exports and imports that Envoy requires or offers.

use walrus::{ExportItem, ImportKind, Module};

/// Exports that the filter needs. All others are removed, because Envoy calls every callback
/// that a module exports, once per stream, body chunk or trailer.
const REQUIRED: [&str; 14] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    // Guardrails measure latency from the end of the request body.
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    // The status of a gRPC call. Envoy calls it only for responses with trailers.
    "proxy_on_response_trailers",
    "proxy_on_log",
    // Frees the stream's context.
    "proxy_on_delete",
    ALLOCATE,
];

/// Allocates memory for data that the host passes to the module. Envoy also accepts the name
/// `malloc`.
const ALLOCATE: &str = "proxy_on_memory_allocate";
const ALLOCATE_ALIAS: &str = "malloc";

/// WASI functions that Envoy links. A module with any other import does not load.
const WASI_MODULE: &str = "wasi_snapshot_preview1";
const WASI: [&str; 12] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "proc_exit",
    "random_get",
];

/// Prefix of the filter's guards; the rest of the name is that of the guarded callback.
const GUARD: &str = "guard_";

/// Exports each guard under the name of its callback, in place of the callback itself, which
/// a Rust crate cannot do: the SDK defines that name already.
pub fn export_guards(module: &mut Module) {
    let guards: Vec<_> = module
        .exports
        .iter()
        .filter_map(|export| Some((export.id(), export.name.strip_prefix(GUARD)?.to_owned())))
        .collect();
    for (guard, callback) in guards {
        // Fails if the module does not export the callback itself.
        let _ = module.exports.remove(&callback);
        module.exports.get_mut(guard).name = callback;
    }
}

/// Whether the deployable module keeps this export.
pub fn is_kept(export: &str) -> bool {
    REQUIRED.contains(&export) || export == ALLOCATE_ALIAS
}

/// Missing exports and imports that Envoy does not offer, one message each.
pub fn violations(module: &Module) -> Vec<String> {
    let mut found = missing_exports(module);
    found.extend(foreign_imports(module));
    found
}

fn missing_exports(module: &Module) -> Vec<String> {
    let has = |name: &str| {
        module.exports.iter().any(|export| {
            export.name == name
                && match export.item {
                    ExportItem::Memory(_) => name == "memory",
                    ExportItem::Function(_) => name != "memory",
                    _ => false,
                }
        })
    };
    let answered = |name: &str| has(name) || (name == ALLOCATE && has(ALLOCATE_ALIAS));
    REQUIRED
        .iter()
        .filter(|name| !answered(name))
        .map(|name| format!("the export {name} is missing"))
        .collect()
}

fn foreign_imports(module: &Module) -> Vec<String> {
    module
        .imports
        .iter()
        .filter(|import| {
            let offered = match import.module.as_str() {
                "env" => import.name.starts_with("proxy_"),
                WASI_MODULE => WASI.contains(&import.name.as_str()),
                _ => false,
            };
            !offered || !matches!(import.kind, ImportKind::Function(_))
        })
        .map(|import| {
            format!(
                "Envoy does not offer the import {}.{}",
                import.module, import.name
            )
        })
        .collect()
}
