//! A real Envoy and real upstreams on this machine, for the tests and the demo.
//!
//! The files that users start from run here as they are shipped ([`bootstrap`], [`plugin`]), on
//! free ports, with an Envoy ([`envoy`]) that cannot outlive its test, and the ways to ask it
//! things ([`client`], [`metrics`]). The feature `jwt` adds signed tokens, `tls` certificates. Nothing sleeps: whatever
//! takes time is polled for ([`eventually`]).
//!
//! ```no_run
//! use divvy_lab::bootstrap::Bootstrap;
//! use divvy_lab::client::Http1;
//! use divvy_lab::envoy::{Binary, Envoy, Options, Push};
//! use divvy_lab::plugin::Plugin;
//!
//! # async fn example(v1: std::net::SocketAddr) -> anyhow::Result<()> {
//! let plugin = Plugin::load("envoy/plugin.yaml")?;
//! let edge = Bootstrap::load("envoy/edge.yaml")?
//!     .with_upstream("v1", v1)?
//!     .with_plugin(plugin.clone());
//! let envoy = Envoy::start(&Binary::find()?, &edge, &Options::default()).await?;
//! let client = Http1::new(envoy.listener("edge").await?);
//! let answer = client.get_with("/checkout", &[("x-user-id", "alice")]).await?;
//! assert_eq!(answer.header("x-divvy-version"), Some("checkout=v1;reason=split"));
//! match envoy.push(&plugin.with_configuration("{")).await? {
//!     Push::Refused { reasons } => println!("{reasons:?}"),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

mod binary;
pub mod bootstrap;
#[cfg(feature = "tls")]
pub mod chain;
pub mod client;
pub mod envoy;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod metrics;
pub mod plugin;
mod poll;
pub mod process;
mod push;
mod raw;
mod raw2;
#[cfg(feature = "tls")]
pub mod tls;
pub mod upstream;
mod yaml;

pub use poll::eventually;

/// The folder of the workspace, from which the shipped files' relative paths start.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
