//! The edge that most chapters are played on: a real Envoy, as shipped, with divvy in it, in front
//! of three versions of the shop.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::Upstream;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

/// What runs.
pub struct Stage {
    pub edge: SocketAddr,
    /// The version that turns bad, and gets copies.
    pub v2: Upstream,
    envoy: Envoy,
    plugin: Plugin,
    _others: [Upstream; 2],
}

impl Stage {
    /// Starts it with this strategy for the checkout.
    pub async fn start(rollout: &Value) -> Result<Stage> {
        let wasm = workspace_root().join("target/divvy.wasm");
        ensure!(wasm.exists(), "the filter is not built: run `make build`");
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

    /// Puts another strategy in force, and comes back once it is.
    pub async fn put(&self, rollout: &Value) -> Result<()> {
        let configuration = configuration(rollout).to_string();
        let plugin = self.plugin.clone().with_configuration(&configuration);
        match self.envoy.push(&plugin).await.context("the push")? {
            Push::Accepted | Push::Unchanged => Ok(()),
            other => bail!("{other:?}: {configuration}"),
        }
    }
}

/// A configuration of one rollout of v1 and v2. Visitors are given a cookie.
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

/// So many percent get v2.
pub fn canary(weight: u32) -> Value {
    json!({"strategy": {"canary": {"version": "v2", "weight": weight}}})
}
