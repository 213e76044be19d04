//! A network namespace of this process, in which every address of a pod is local. It needs root.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};

/// Set in processes that are in the namespace.
const MARK: &str = "DIVVY_LAB_NAMESPACE";

/// The addresses of pods.
pub const PODS: &str = "10.244.0.0/16";

/// Whether this process is in the namespace.
#[must_use]
pub fn is_inside() -> bool {
    env::var_os(MARK).is_some()
}

/// Replaces this process by the same program in a new network and mount namespace. Returns inside.
///
/// A thread cannot take its process into a namespace, so the program starts again.
pub fn enter() -> Result<()> {
    if is_inside() {
        return Ok(());
    }
    let id = Command::new("id").arg("-u").output().context("id")?;
    ensure!(
        id.stdout == b"0\n",
        "pods need a network namespace, and that needs root: run this as root, for example with sudo"
    );
    let script =
        format!("ip link set lo up && ip route add local {PODS} dev lo && exec \"$0\" \"$@\"");
    let error = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .exec();
    Err(anyhow!(
        "cannot run unshare, of the package util-linux: {error}"
    ))
}
