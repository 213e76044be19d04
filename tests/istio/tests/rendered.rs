//! What `divvy init` and `divvy render istio` write: it splits without any change, and `istioctl analyze` finds nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use divvy_cli::source::LoadedConfig;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::{Service, served_by};
use divvy_istio_tests::users::expected;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use serde_json::{Value, json};

use crate::files::findings;
use crate::migrating::Caller;

/// Runs the command line, which must succeed.
fn divvy(words: &[&str]) -> Result<()> {
    divvy_cli::run_words(words).with_context(|| words.join(" "))?;
    Ok(())
}

/// A configuration of `divvy init` for a service, and the resources around it.
fn write(lab: &Lab, folder: &Path, service: &str, options: &[&str]) -> Result<(Value, String)> {
    let config = folder.join("divvy.yaml").display().to_string();
    let resources = folder.join("istio.yaml").display().to_string();
    let init = [
        "init",
        "--platform",
        "istio",
        "--identity",
        "header:x-user-id",
        "--versions",
        "v1,v2",
    ];
    divvy(
        &[
            &init[..],
            &["--name", service, "--weight", "20", "--into", &config],
        ]
        .concat(),
    )?;
    let image = lab.image();
    let render = [
        "render",
        "istio",
        &config,
        "--namespace",
        "shop",
        "--image",
        &image,
        "--into",
        &resources,
    ];
    divvy(&[&render[..], options].concat())?;
    Ok((LoadedConfig::read(Path::new(&config), None)?.raw, resources))
}

/// Each user has the version that the library computes, also with a forged route; both versions answer.
async fn users_have_their_version(
    configuration: &Value,
    get: impl AsyncFn(&[(&str, &str)]) -> Result<String>,
) -> Result<()> {
    let mut counts = BTreeMap::new();
    for user in 1..=400 {
        let user = format!("user-{user}");
        let (_, route) = expected(configuration, &user)?;
        let answer = get(&[("x-user-id", &user), ("x-divvy-route", "v2")]).await?;
        assert_eq!(Some(&answer), route.as_ref(), "{user}");
        *counts.entry(answer).or_insert(0) += 1;
    }
    // 20 % of the users, plus or minus four standard errors.
    let on_v2 = counts.get("v2").copied().unwrap_or_default();
    ensure!((48..=112).contains(&on_v2), "{counts:?}");
    Ok(())
}

pub async fn the_resources_of_a_gateway_split_and_have_no_findings(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let folder = lab.dir().join("rendered-gateway");
    fs::create_dir_all(&folder)?;
    let (configuration, resources) = write(lab, &folder, "checkout", &["--gateway", "shop"])?;
    let checkout = Service::start("checkout").await?;
    let [port] = free_ports()?;
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]},
    });
    lab.cluster
        .apply(&[checkout.entry(), gateway.clone()])
        .await?;
    lab.cluster.run(&["apply", "-f", &resources]).await?;
    let proxy = Proxy::start(lab, &Options::gateway()).await?;
    proxy.serves(port).await?;
    let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
    eventually("divvy", PATIENCE, async || {
        let answer = client.get_with("/", &[("x-canary", "true")]).await.ok()?;
        (served_by(&answer) == "v2").then_some(())
    })
    .await?;
    let get = async |headers: &[(&str, &str)]| {
        let answer = client.get_with("/checkout", headers).await?;
        Ok(served_by(&answer).to_owned())
    };
    users_have_their_version(&configuration, get).await?;
    drop(proxy);

    // The shop's services are pods here.
    lab.cluster.clear().await?;
    let mut gateway = gateway;
    gateway["spec"]["servers"][0]["port"]["number"] = json!(80);
    lab.cluster.apply(&[gateway]).await?;
    lab.cluster.run(&["apply", "-f", &resources]).await?;
    let found = findings(lab, &["v1", "v2"]).await?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

pub async fn the_resources_of_callers_split_in_their_sidecars(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let folder = lab.dir().join("rendered-callers");
    fs::create_dir_all(&folder)?;
    let options = ["--at", "callers", "--selector", "app=checkout"];
    let (configuration, resources) = write(lab, &folder, "payments", &options)?;
    let payments = Service::start("payments").await?;
    let [port] = free_ports()?;
    let mut entry = payments.entry();
    entry["spec"]["ports"][0]["number"] = json!(port);
    lab.cluster.apply(&[entry]).await?;
    lab.cluster.run(&["apply", "-f", &resources]).await?;
    let caller = Caller::start(lab, port).await?;
    eventually("divvy in the sidecar", PATIENCE, async || {
        let (_, version) = caller.call("/", &[("x-canary", "true")]).await.ok()?;
        (version == "v2").then_some(())
    })
    .await?;
    let get = async |headers: &[(&str, &str)]| Ok(caller.call("/checkout", headers).await?.1);
    users_have_their_version(&configuration, get).await?;
    drop(caller);

    lab.cluster.clear().await?;
    lab.cluster.run(&["apply", "-f", &resources]).await?;
    let found = findings(lab, &["v1", "v2"]).await?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}
