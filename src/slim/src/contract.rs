//! What the filter and Envoy owe each other: the names that a deployable
//! module has to export, may export, and may import.

use walrus::{ExportItem, ImportKind, Module};

/// Exports without which the filter does not work as designed.
///
/// Envoy calls each callback of the ABI that it finds, so whatever is not named here would
/// cost a call into the VM per stream, body chunk or trailer for nothing.
const REQUIRED: [&str; 13] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    // For requests with a body alone: a guardrail judges latency from the end of an upload.
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_log",
    // Without it what is kept of each stream would be kept for ever.
    "proxy_on_delete",
    ALLOCATE,
];

/// How the host gets memory for what it hands over. Envoy also takes a
/// function called `malloc`, which C and SDKs export.
const ALLOCATE: &str = "proxy_on_memory_allocate";
const ALLOCATE_ALIAS: &str = "malloc";

/// The WASI functions that Envoy links; any other import fails at load time.
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

/// True for the exports that stay in the deployable module.
pub fn is_kept(export: &str) -> bool {
    REQUIRED.contains(&export) || export == ALLOCATE_ALIAS
}

/// Everything that Envoy would miss or refuse, one sentence each.
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
