//! A real Istio on this machine, without containers, to test the files of `istio/`.
//!
//! The tests of a program share one [`lab::Lab`]: etcd, the Kubernetes API server, istiod and a registry with the
//! image. Each test starts its own proxies ([`proxy::Proxy`]): pilot-agent, which pulls the image
//! and runs Envoy, or an Envoy that connects to istiod. Upstreams of `divvy_lab` replace pods, and
//! `ServiceEntry` objects make them known. [`pods::Pods`] is a lab whose Deployments have pods: it adds the
//! controller manager, and simulates the scheduler and the kubelet. It needs a network namespace.
//!
//! Tests run one after the other, because the shipped files name their namespaces. `make lab`
//! builds the programs; nothing here needs Go.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

pub mod cluster;
pub mod command;
pub mod files;
pub mod harness;
pub mod lab;
pub mod namespace;
pub mod pods;
pub mod programs;
pub mod proxy;
pub mod shop;
pub mod users;

/// Timeout of everything that waits for the control plane.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Number of ports that a lab may use.
const PORTS: u32 = 12_000;

/// Unused ports, different ones for each call.
///
/// They are below the kernel's range for outgoing connections, which could take a port before a
/// program listens on it.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            ensure!(next < PORTS, "no free port");
            // Labs of other processes start at other ports.
            let start = std::process::id().wrapping_mul(7_919);
            let candidate = u16::try_from(20_000 + start.wrapping_add(next) % PORTS)?;
            if TcpListener::bind(("0.0.0.0", candidate)).is_ok() {
                break candidate;
            }
        };
    }
    Ok(ports)
}

/// Whether to run the long versions of the tests: `DIVVY_SOAK=1`.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DIVVY_SOAK").is_some_and(|value| value == "1")
}
