//! Processes of most chapters: an Envoy with the shipped configuration and divvy, and three
//! versions of the shop.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::Upstream;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

/// Running processes.
pub struct Stage {
    pub edge: SocketAddr,
    /// The version that fails and that receives copies.
    pub v2: Upstream,
    envoy: Envoy,
    plugin: Plugin,
    _others: [Upstream; 2],
}

impl Stage {
    /// Starts all processes with this strategy.
    pub async fn start(rollout: &Value) -> Result<Stage> {
        let wasm = workspace_root().join("target/divvy.wasm");
        ensure!(
            wasm.exists(),
            "target/divvy.wasm does not exist: run `make build`"
        );
        let plugin = Plugin::load("envoy/plugin.yaml")?;
        let plugin = plugin.with_configuration(&configuration(rollout).to_string());
        let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_access_log()?;
        let [v1, v2, v3] = [
            Upstream::start("v1").await?,
            Upstream::start("v2").await?,
            Upstream::start("v3").await?,
        ];
        for shop in [&v1, &v2, &v3] {
            bootstrap = bootstrap.with_upstream(shop.version(), shop.addr())?;
        }
        let bootstrap = bootstrap.with_plugin(plugin.clone());
        let envoy = Envoy::start(&Binary::find()?, &bootstrap, &Options::default()).await?;
        Ok(Stage {
            edge: envoy.listener("edge").await?,
            envoy,
            plugin,
            v2,
            _others: [v1, v3],
        })
    }

    /// Pushes a strategy and waits until it is active.
    pub async fn put(&self, rollout: &Value) -> Result<()> {
        let configuration = configuration(rollout).to_string();
        let plugin = self.plugin.clone().with_configuration(&configuration);
        match self.envoy.push(&plugin).await.context("the push")? {
            Push::Accepted | Push::Unchanged => Ok(()),
            other => bail!("{other:?}: {configuration}"),
        }
    }
}

/// Configuration with one rollout of v1 and v2 and a cookie for visitors without an identity.
fn configuration(rollout: &Value) -> Value {
    let mut checkout = json!({
        "name": "checkout",
        "target": "{version}",
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
    });
    if let (Some(checkout), Some(rollout)) = (checkout.as_object_mut(), rollout.as_object()) {
        checkout.extend(rollout.clone());
    }
    json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "responseHeader": "x-divvy-version",
        "rollouts": [checkout],
    })
}

/// Canary with this percentage for v2.
pub fn canary(weight: u32) -> Value {
    json!({"strategy": {"canary": {"version": "v2", "weight": weight}}})
}
