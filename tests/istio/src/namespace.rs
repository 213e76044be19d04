//! A network namespace of this process, in which every address of a pod is local. It needs root, or a kernel that
//! allows user namespaces.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};

/// Set in processes that are in the namespace, to the options of `nsenter` with which others enter it.
const MARK: &str = "DIVVY_LAB_NAMESPACE";

/// The addresses of pods.
pub const PODS: &str = "10.244.0.0/16";

/// Whether this process is in the namespace.
#[must_use]
pub fn is_inside() -> bool {
    env::var_os(MARK).is_some()
}

/// The command with which another process enters the namespace of this one; a program follows it.
#[must_use]
pub fn entry() -> String {
    let options = env::var(MARK).unwrap_or_default();
    format!("nsenter --target {} {options}", std::process::id())
}

/// Options of `unshare`, and of `nsenter` for others.
fn options() -> Result<(Vec<&'static str>, &'static str)> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    Ok(match id.stdout == b"0\n" {
        true => (vec!["--net", "--mount"], "--net"),
        false => (
            vec!["--user", "--map-root-user", "--net", "--mount"],
            "--user --preserve-credentials --net",
        ),
    })
}

/// An error that says what is missing if this process cannot make a namespace.
pub fn available() -> Result<()> {
    let (options, _) = options()?;
    let output = Command::new("unshare")
        .args(&options)
        .args(["ip", "link", "set", "lo", "up"])
        .output()
        .context("cannot run unshare, of the package util-linux")?;
    ensure!(
        output.status.success(),
        "cannot make a network namespace, which pods need: {}. Run this as root, in a container with the capability \
         SYS_ADMIN, or let the kernel allow user namespaces; it also needs the program ip, of the package iproute2",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Replaces this process by the same program in a new network and mount namespace. Returns inside.
///
/// A thread cannot take its process into a namespace, so the program starts again, with the same process id.
pub fn enter() -> Result<()> {
    if is_inside() {
        return Ok(());
    }
    available()?;
    let (options, entry) = options()?;
    let script =
        format!("ip link set lo up && ip route add local {PODS} dev lo && exec \"$0\" \"$@\"");
    let error = Command::new("unshare")
        .args(options)
        .args(["sh", "-c", &script])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, entry)
        .exec();
    Err(anyhow!("cannot run unshare: {error}"))
}
