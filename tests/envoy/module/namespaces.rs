//! Two filters in one Envoy whose metrics have different namespaces. Their rollouts are beyond the
//! fiftieth, so counts of both wait for a tick.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use divvy_lab::bootstrap::{Bootstrap, Position};
use divvy_lab::build::Build;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::eventually;
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::start_versions;
use serde_json::{Value, json};

use crate::PATIENCE;

const REQUESTS: u64 = 20;

/// 51 rollouts for all requests: the series of the last one are made at its first request.
fn rollouts(name: &str) -> String {
    let rollout = |number: u32| {
        json!({
            "name": format!("{name}{number}"), "versions": [{"name": "v1"}], "stable": "v1",
            "strategy": {"blueGreen": {"active": "v1"}},
        })
    };
    let all: Vec<Value> = (0..51).map(rollout).collect();
    json!({"rollouts": all}).to_string()
}

/// The requests of each 51st rollout by namespace and rollout, without zeros.
async fn counts(envoy: &Envoy) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for namespace in ["second", "wasmcustom"] {
        let family = format!("{namespace}.divvy_requests_total.divvy_rollout.");
        for (name, requests) in envoy.stats(&family).await? {
            let rollout = name[family.len()..].split('.').next().unwrap_or_default();
            if rollout.ends_with("50") && requests > 0 {
                counts.insert(format!("{namespace} {rollout}"), requests);
            }
        }
    }
    Ok(counts)
}

#[tokio::test]
async fn a_push_counts_only_what_waits_for_the_same_filter() -> Result<()> {
    let plugin = Plugin::load("envoy/plugin.yaml")?
        .with_build(Build::Module)
        .with_configuration(&rollouts("first"));
    let second = json!({"name": "second", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config":
            {"name": "divvy", "do_not_close": true, "metrics_namespace": "second"},
        "filter_name": "second",
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": rollouts("second"),
        },
    }});
    let (edge, _upstreams) = start_versions(Bootstrap::load("envoy/edge.yaml")?).await?;
    let edge = edge
        .without_access_log()?
        .with_plugin(plugin.clone())
        .with_http_filter(&second, Position::After("divvy"))?;
    let options = Options {
        build: Build::Module,
        ..Options::default()
    };
    let envoy = Envoy::start(&Binary::find()?, &edge, &options).await?;
    let client = Http1::new(envoy.listener("edge").await?);
    let expected = BTreeMap::from([
        ("second second50".to_owned(), 2 * REQUESTS),
        ("wasmcustom first50".to_owned(), REQUESTS),
        ("wasmcustom third50".to_owned(), REQUESTS),
    ]);
    let ask = async || -> Result<()> {
        for _ in 0..REQUESTS {
            client.get("/").await?;
        }
        Ok(())
    };
    // After the first request, counts of both wait.
    ask().await?;
    let pushed = envoy
        .push(&plugin.with_configuration(&rollouts("third")))
        .await?;
    assert_eq!(pushed, Push::Accepted);
    ask().await?;
    let same = async || (counts(&envoy).await.ok()? == expected).then_some(());
    let waited = eventually("the requests of both filters", PATIENCE, same).await;
    let now = counts(&envoy).await?;
    waited.with_context(|| format!("{now:?}, expected {expected:?}"))
}
