//! A panic within the module, which the build for this test has on demand: the request gets stable,
//! with the reason `error`, and Envoy goes on.

use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::start_versions;
use divvy_lab::{eventually, workspace_root};
use serde_json::json;

use crate::PATIENCE;

/// The folder of the build whose requests panic with the header `x-divvy-panic`.
const FOLDER: &str = "target/module-tests/panics";

#[tokio::test]
async fn a_panic_is_answered_by_stable_and_harms_no_other_request() -> Result<()> {
    let folder = workspace_root().join(FOLDER);
    ensure!(
        folder.join("libdivvy.so").exists(),
        "there is no {FOLDER}/libdivvy.so: run `make test-module`"
    );
    let versions = json!([{"name": "v1"}, {"name": "v2"}]);
    let configuration = json!({"responseHeader": "x-divvy-version", "rollouts": [{
        "name": "checkout", "target": "{version}", "versions": versions, "stable": "v1",
        "strategy": {"blueGreen": {"active": "v2"}},
    }]});
    let plugin = Plugin::load("envoy/plugin.yaml")?
        .with_build(Build::Module)
        .with_configuration(&configuration.to_string());
    let (edge, _upstreams) = start_versions(Bootstrap::load("envoy/edge.yaml")?).await?;
    let edge = edge.without_access_log()?.with_plugin(plugin.clone());
    let options = Options {
        build: Build::Module,
        env: vec![(
            "ENVOY_DYNAMIC_MODULES_SEARCH_PATH".to_owned(),
            folder.display().to_string(),
        )],
        ..Options::default()
    };
    let envoy = Envoy::start(&Binary::find()?, &edge, &options).await?;
    let client = Http1::new(envoy.listener("edge").await?);
    let served = async |headers: &[(&str, &str)]| -> Result<_> {
        let answer = client.get_with("/", headers).await?;
        let version = answer.header("x-shop-version").context("no version")?;
        Ok((answer.status, version.to_owned()))
    };
    let (usual, stable) = ((200, "v2".to_owned()), (200, "v1".to_owned()));
    for _ in 0..20 {
        assert_eq!(served(&[]).await?, usual);
        // Whatever the client sends along.
        let panics = [("x-divvy-panic", "1"), ("x-divvy-route", "v2")];
        assert_eq!(served(&panics).await?, stable);
    }
    let logged = |line: &str| line.contains("panicked at");
    envoy.wait_for_log(logged, PATIENCE).await?;
    let counted = async |version: &str, reason: &str| -> Option<f64> {
        let labels = [
            ("divvy_rollout", "checkout"),
            ("divvy_version", version),
            ("divvy_reason", reason),
        ];
        envoy
            .prometheus()
            .await
            .ok()?
            .get("divvy_requests_total", &labels)
    };
    eventually("20 requests with the reason error", PATIENCE, async || {
        (counted("v1", "error").await? == 20.0).then_some(())
    })
    .await?;
    assert_eq!(counted("v2", "active").await, Some(20.0));
    // New configurations take effect after panics too.
    let pushed = envoy.push(&plugin.with_configuration("{}")).await?;
    assert_eq!(pushed, Push::Accepted);
    assert_eq!(served(&[("x-divvy-panic", "1")]).await?, stable);
    Ok(())
}
