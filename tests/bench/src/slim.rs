//! A module without the exports that it does not need.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use divvy_lab::workspace_root;
use walrus::Module;

/// What an empty filter of the SDK needs: a context for each request, and its end, or the SDK's
/// table of them would grow for ever.
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

/// Writes it below `target/bench`, and says where.
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
    // A bench and its test may run side by side.
    let draft = folder.join(format!("slim.{}", std::process::id()));
    std::fs::write(&draft, module.emit_wasm())
        .and_then(|()| std::fs::rename(&draft, &slim))
        .with_context(|| slim.display().to_string())?;
    Ok(slim)
}
