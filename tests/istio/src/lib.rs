//! A real Istio on this machine, without containers, for the files of `istio/`.
//!
//! One [`lab::Lab`] is shared by all tests: etcd, the Kubernetes API server, istiod and a registry
//! that holds the image. Each test starts the proxies it needs ([`proxy::Proxy`]): pilot-agent,
//! which pulls the image and runs Envoy, or an Envoy that asks istiod by itself. What runs as a
//! pod elsewhere is an upstream of `divvy-lab` here, made known by a `ServiceEntry`.
//!
//! Tests run one after the other, since the shipped files name their namespaces and each Envoy
//! takes its agent's place. `make lab` builds the programs; nothing here needs Go.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

pub mod cluster;
pub mod files;
pub mod lab;
pub mod programs;
pub mod proxy;
pub mod shop;
pub mod users;

/// For whatever takes the control plane a moment. Nothing waits this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How many ports there are to choose from.
const PORTS: u32 = 12_000;

/// Ports that nobody listens on, all different, none of them ever given before.
///
/// They lie below those that the kernel takes for outgoing connections: one of these may be taken
/// between now and the moment when a program listens.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let given = GIVEN.fetch_add(1, Ordering::Relaxed);
            ensure!(given < PORTS, "no free port");
            // Another lab on this machine begins elsewhere.
            let start = std::process::id().wrapping_mul(7_919);
            let candidate = u16::try_from(20_000 + start.wrapping_add(given) % PORTS)?;
            if TcpListener::bind(("0.0.0.0", candidate)).is_ok() {
                break candidate;
            }
        };
    }
    Ok(ports)
}

/// Whether the long versions of the tests are asked for.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DIVVY_SOAK").is_some_and(|value| value == "1")
}
