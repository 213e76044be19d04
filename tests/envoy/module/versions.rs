//! One file in several versions of Envoy.

use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::start_versions;
use divvy_lab::workspace_root;

/// Versions that load the module.
const LOADING: [&str; 3] = ["1.38.2", "1.39.3", "1.40.0"];
/// Versions that do not, with what they say.
const REFUSING: [&str; 2] = ["1.36.4", "1.37.0"];
const TOO_OLD: &str = "this Envoy is too old for the module, which needs 1.38: use the wasm filter";

fn binary(version: &str) -> Result<Binary> {
    let path = workspace_root().join(format!("target/envoy/{version}/envoy"));
    Binary::at(&path).with_context(|| format!("run `make envoy ENVOY_VERSION={version}`"))
}

/// The shipped edge in this version of Envoy.
async fn start(version: &str) -> Result<(Envoy, Vec<divvy_lab::upstream::Upstream>)> {
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_build(Build::Module);
    let (edge, upstreams) = start_versions(Bootstrap::load("envoy/edge.yaml")?).await?;
    let options = Options {
        build: Build::Module,
        ..Options::default()
    };
    let edge = edge.with_plugin(plugin);
    let envoy = Envoy::start(&binary(version)?, &edge, &options).await;
    let envoy = envoy.with_context(|| format!("Envoy {version}"))?;
    Ok((envoy, upstreams.into_values().collect()))
}

#[tokio::test]
async fn one_file_decides_in_all_versions_that_load_it() -> Result<()> {
    for version in LOADING {
        let (envoy, _upstreams) = start(version).await?;
        let verdict = envoy.verdict("divvy").await?;
        ensure!(verdict == Push::Accepted, "{version}: {verdict:?}");
        let client = Http1::new(envoy.listener("edge").await?);
        let tester = client
            .get_with("/checkout", &[("x-canary", "true")])
            .await?;
        let decision = tester.header("x-divvy-version");
        assert_eq!(decision, Some("checkout=v2;reason=rule"), "{version}");
        assert_eq!(tester.header("x-shop-version"), Some("v2"), "{version}");
    }
    Ok(())
}

#[tokio::test]
async fn other_versions_refuse_it_and_say_why() -> Result<()> {
    for version in REFUSING {
        let (envoy, _upstreams) = start(version).await?;
        let verdict = envoy.verdict("divvy").await?;
        let reasons = vec![TOO_OLD.to_owned()];
        assert_eq!(verdict, Push::Refused { reasons }, "{version}");
        let client = Http1::new(envoy.listener("edge").await?);
        assert_eq!(client.get("/checkout").await?.status, 500, "{version}");
    }
    Ok(())
}
