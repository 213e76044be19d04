//! Removal of unneeded exports from a module.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use divvy_lab::workspace_root;
use walrus::Module;

/// Exports of an empty SDK filter: a context per request and its end, without which the SDK's
/// table of contexts would grow.
const NEEDED: [&str; 8] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_delete",
];

/// Writes the module below `target/bench` and returns its path.
pub(crate) fn slim(path: &Path) -> Result<PathBuf> {
    let mut module = Module::from_file(path).map_err(|error| anyhow!("{error:#}"))?;
    let exports = module.exports.iter();
    let spare: Vec<_> = exports
        .filter(|export| !NEEDED.contains(&export.name.as_str()))
        .map(walrus::Export::id)
        .collect();
    for export in spare {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(&mut module);
    let folder = workspace_root().join("target/bench");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let slim = folder.join("slim.wasm");
    // The bench and its test may run at the same time.
    let draft = folder.join(format!("slim.{}", std::process::id()));
    std::fs::write(&draft, module.emit_wasm())
        .and_then(|()| std::fs::rename(&draft, &slim))
        .with_context(|| slim.display().to_string())?;
    Ok(slim)
}
