//! The shipped edge with a configuration and its versions, for tests in other languages: `canary FILE` (JSON). Prints
//! the addresses as JSON, and ends when standard input is closed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::start_versions;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("a configuration in JSON")?;
    let configuration = std::fs::read_to_string(&path).with_context(|| path)?;
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&configuration);
    let edge = Bootstrap::load("envoy/edge.yaml")?
        .with_plugin(plugin)
        .without_access_log()?;
    let (edge, upstreams) = start_versions(edge).await?;
    let envoy = Envoy::start(&Binary::find()?, &edge, &Options::default()).await?;
    let versions = upstreams.iter();
    let versions: BTreeMap<_, _> = versions
        .map(|(name, version)| (name, version.addr().to_string()))
        .collect();
    let edge = envoy.listener("edge").await?.to_string();
    let addresses = json!({"admin": envoy.admin().to_string(), "edge": edge, "versions": versions});
    println!("{addresses}");
    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ended).await??;
    Ok(())
}
