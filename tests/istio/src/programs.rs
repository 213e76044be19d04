//! The programs and files that `make lab` builds.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// The path of a file below `target/istio`.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = divvy_lab::workspace_root().join("target/istio").join(name);
    ensure!(
        path.exists(),
        "target/istio/{name} is missing: run `make lab`, which builds a whole Istio"
    );
    Ok(path)
}

/// The path of a program.
pub fn program(name: &str) -> Result<PathBuf> {
    find(&format!("bin/{name}"))
}
