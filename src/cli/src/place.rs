//! Writes files so that a reader sees the old content or the new one. Must not depend on manifests.

use std::path::Path;
#[cfg(not(target_family = "wasm"))]
use std::{
    fs::{self, File, Permissions},
    io::Write as _,
};

#[cfg(not(target_family = "wasm"))]
use anyhow::Context as _;
use anyhow::{Result, bail};

/// The permissions of a new file: Envoy may run as another user.
#[cfg(not(target_family = "wasm"))]
const NEW_FILE: u32 = 0o644;

/// Writes a file by a rename within its folder, which is also what Envoy's watch sees. An existing file keeps its
/// permissions; a symbolic link is replaced by the file.
#[cfg(not(target_family = "wasm"))]
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let context = || path.display().to_string();
    let known = fs::metadata(path).ok();
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        bail!("{}: is not a regular file", path.display());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new()
        .prefix(".divvy-")
        .tempfile_in(folder)
        .with_context(context)?;
    draft.write_all(text.as_bytes()).with_context(context)?;
    permit(draft.as_file(), known.map(|known| known.permissions())).with_context(context)?;
    draft.as_file().sync_all().with_context(context)?;
    draft.persist(path).with_context(context)?;
    Ok(())
}

/// The page writes no files.
#[cfg(target_family = "wasm")]
pub fn write_atomically(path: &Path, _: &str) -> Result<()> {
    bail!("{}: is not written here", path.display());
}

#[cfg(unix)]
fn permit(file: &File, known: Option<Permissions>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(known.unwrap_or_else(|| Permissions::from_mode(NEW_FILE)))
}

#[cfg(not(any(unix, target_family = "wasm")))]
fn permit(_: &File, _: Option<Permissions>) -> std::io::Result<()> {
    let _ = NEW_FILE;
    Ok(())
}
