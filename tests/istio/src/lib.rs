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
use std::time::Duration;

use anyhow::{Context, Result};

pub mod cluster;
pub mod files;
pub mod lab;
pub mod programs;
pub mod proxy;
pub mod shop;
pub mod users;

/// For whatever takes the control plane a moment. Nothing waits this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Ports of 127.0.0.1 that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("0.0.0.0:0").context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Whether the long versions of the tests are asked for.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DIVVY_SOAK").is_some_and(|value| value == "1")
}
