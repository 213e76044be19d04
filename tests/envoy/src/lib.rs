//! A real Envoy and real upstreams on this machine, for tests and the demo.
//!
//! Loads the shipped files ([`bootstrap`], [`plugin`]), runs them on free ports in an Envoy that
//! ends with its test ([`envoy`]), and provides clients ([`client`], [`metrics`]). The feature `jwt`
//! adds signed tokens, `tls` certificates, `otlp` a collector of trace spans. Waiting is polling ([`eventually`]).
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
//! let response = client.get_with("/checkout", &[("x-user-id", "alice")]).await?;
//! assert_eq!(response.header("x-divvy-version"), Some("checkout=v1;reason=split"));
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
pub mod build;
#[cfg(feature = "tls")]
pub mod chain;
pub mod client;
pub mod envoy;
mod hot_restart;
#[cfg(feature = "http3")]
pub mod http3;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod plugin;
mod poll;
pub mod process;
mod push;
mod raw;
mod raw_http2;
pub mod server;
pub mod tally;
#[cfg(feature = "tls")]
pub mod tls;
pub mod upstream;
mod yaml;

pub use poll::eventually;

/// The root of the workspace. Relative paths in shipped files start here.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
