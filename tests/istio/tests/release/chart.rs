//! `istio/chart`: linted, compared with `divvy render istio`, and installed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_cli::source::LoadedConfig;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::{Service, served_by};
use divvy_istio_tests::users::expected;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::Http1;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

use crate::{divvy, finished, helm, run, shown};

const CHART: &str = "istio/chart";
const VALUES: &str = "istio/chart/ci/checkout-values.yaml";
/// Of no image.
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What `helm template` writes, in the namespace of the gateway or of the services.
fn template(lab: &Lab, namespace: &str, values: &Path) -> Result<Command> {
    let mut command = helm(lab)?;
    let values = shown(values);
    command.args(["template", "divvy", CHART, "--namespace", namespace]);
    command.args(["--values", &values]);
    Ok(command)
}

/// Writes a file of the lab.
fn file(lab: &Lab, name: &str, text: &str) -> Result<PathBuf> {
    let path = lab.dir().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

pub async fn helm_lint_and_the_strict_check_find_nothing(lab: &Lab) -> Result<()> {
    let page = fs::read_to_string(workspace_root().join(CHART).join("README.md"))?;
    let shown_values = page.split("```yaml values\n").nth(1);
    let shown_values = shown_values.and_then(|rest| rest.split("```").next());
    let shown_values = file(
        lab,
        "readme.yaml",
        shown_values.context("a block of values")?,
    )?;
    let signed = file(lab, "signed.yaml", &signed_values()?.to_string())?;
    for values in [Path::new(VALUES), &shown_values, &signed] {
        let mut lint = helm(lab)?;
        lint.args(["lint", "--strict", CHART, "--values", &shown(values)]);
        let said = run(lint).await?;
        ensure!(said.contains("0 chart(s) failed"), "{said}");
        let rendered = run(template(lab, "istio-system", values)?).await?;
        let rendered = file(lab, "chart.yaml", &rendered)?;
        let output = divvy(&["check", "--strict", &shown(&rendered)]).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{said}");
    }
    Ok(())
}

/// Values with the example of signatures.
fn signed_values() -> Result<Value> {
    let example = workspace_root().join("envoy/examples/signed.yaml");
    let configuration: Value =
        serde_json::from_str(&from_yaml_or_json(&fs::read_to_string(example)?)?)?;
    Ok(json!({
        "image": {"digest": DIGEST}, "routes": {"gateway": "shop/shop", "namespace": "shop"},
        "configuration": configuration,
    }))
}

pub async fn keys_of_signatures_come_from_the_environment_alone(lab: &Lab) -> Result<()> {
    let host = json!({"name": "DIVVY_KEYS", "valueFrom": "HOST"});
    let strict = json!({"name": "DIVVY_STRICT", "value": "1"});
    for (env, expected) in [
        (json!([]), json!([host])),
        (json!([strict]), json!([strict, host])),
        (json!([host, strict]), json!([host, strict])),
    ] {
        let mut values = signed_values()?;
        values["env"] = env;
        let values = file(lab, "signed.yaml", &values.to_string())?;
        let rendered = resources(&run(template(lab, "istio-system", &values)?).await?)?;
        let plugin = ["WasmPlugin", "istio-system", "divvy"].map(str::to_owned);
        let plugin = rendered.get(&plugin).context("a plugin")?;
        assert_eq!(plugin["spec"]["vmConfig"]["env"], expected);
    }
    let mut values = signed_values()?;
    values["env"] = json!([{"name": "DIVVY_KEYS", "value": "2027a:ICEiIyQl"}]);
    let values = file(lab, "signed.yaml", &values.to_string())?;
    let output = finished(template(lab, "istio-system", &values)?).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "keys in values are accepted");
    ensure!(
        said.contains("env/0") && !said.contains("ICEiIyQl"),
        "{said}"
    );
    Ok(())
}

pub async fn values_that_divvy_refuses_are_refused(lab: &Lab) -> Result<()> {
    for (set, message) in [
        ("configuration.rolouts=1", "rolouts"),
        ("image.digest=latest", "digest"),
        ("image.digest=", "image.digest is missing"),
        ("routes.gateway=", "routes.gateway is missing"),
        (
            "configuration.rollouts[0].strategy.canary.weight=101",
            "weight",
        ),
    ] {
        let mut command = template(lab, "istio-system", Path::new(VALUES))?;
        command.args(["--set", set]);
        let output = finished(command).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{set} is accepted");
        ensure!(said.contains(message), "{set}: {said}");
    }
    Ok(())
}

/// Resources by kind, namespace and name, without what each writer decides: labels, and the order of removed headers.
fn resources(text: &str) -> Result<BTreeMap<[String; 3], Value>> {
    let mut all = BTreeMap::new();
    for document in text.split("---\n") {
        let json = from_yaml_or_json(document)?;
        let mut value: Value = serde_json::from_str(&json)?;
        // In front of the first line of dashes.
        if value["kind"].is_null() {
            continue;
        }
        let metadata = value["metadata"]
            .as_object_mut()
            .context("a resource has metadata")?;
        metadata.remove("labels");
        let patch = value.pointer_mut("/spec/configPatches/0/patch/value/typed_config");
        let removed = patch.and_then(|patch| {
            patch.pointer_mut("/early_header_mutation_extensions/0/typed_config/mutations")
        });
        if let Some(removed) = removed.and_then(Value::as_array_mut) {
            removed.sort_by_key(Value::to_string);
        }
        let name = |place: &str| {
            let name = value.pointer(place).and_then(Value::as_str);
            name.unwrap_or_default().to_owned()
        };
        let key = [
            name("/kind"),
            name("/metadata/namespace"),
            name("/metadata/name"),
        ];
        ensure!(
            all.insert(key.clone(), value).is_none(),
            "{key:?} is there twice"
        );
    }
    Ok(all)
}

/// The configurations of the repository.
fn configurations() -> Result<Vec<(String, Value)>> {
    let root = workspace_root();
    let mut files = vec![root.join("envoy/divvy.yaml")];
    for entry in fs::read_dir(root.join("envoy/examples"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        // Not all examples are configurations: some are files of Envoy.
        if let Ok(loaded) = LoadedConfig::read(&file, None) {
            all.push((shown(&file), loaded.raw));
        }
    }
    // The ways to name headers, and numbers that YAML could write with an exponent.
    let rollout = json!({
        "name": "a_b", "target": "{version}", "stable": "v1", "versions": [{"name": "v1"}, {"name": "V2.x"}],
        "match": [{"hosts": ["A.example.com.", "*.b.example.com"], "methods": ["GET"]}],
        "strategy": {"weighted": [{"version": "v1", "weight": 1_000_000}, {"version": "V2.x", "weight": 12_345_678 % 1_000_000}]},
        "expose": {"group": "X-Group", "id": "x-id"},
        "mirror": {"version": "V2.x", "percent": 0.0001},
    });
    let headers = json!({"route": "X-Route", "assignment": "x-assignment", "mirror": "x-mirror", "identity": "X-User"});
    for extra in [
        json!({"headers": headers, "identity": [{"header": "x-user"}]}),
        json!({"headers": headers, "identity": [{"cookie": "user"}]}),
        json!({"headers": {"baggage": "divvy"}, "trust": {"principals": ["spiffe://a/b"], "from": "baggage"}, "identity": [{"header": "x-user-id"}]}),
        json!({"trust": {"principals": ["spiffe://a/b"]}, "identity": [{"concat": [{"header": "x-user-id"}, {"sourceIp": true}]}]}),
    ] {
        let mut configuration = extra;
        configuration["rollouts"] = json!([rollout]);
        all.push((configuration["headers"].to_string(), configuration));
    }
    Ok(all)
}

pub async fn the_chart_has_what_render_istio_writes(lab: &Lab) -> Result<()> {
    let image = format!("registry.example.com/divvy@{DIGEST}");
    let [mut compared, mut without_routes] = [0, 0];
    for (name, configuration) in configurations()? {
        let config = file(lab, "configuration.json", &configuration.to_string())?;
        for at in ["gateway", "callers", "service"] {
            let is_gateway = at == "gateway";
            let selector = if is_gateway {
                "istio=ingressgateway"
            } else {
                "app=checkout"
            };
            let config = shown(&config);
            let mut words = vec![
                "render",
                "istio",
                &config,
                "--at",
                at,
                "--namespace",
                "shop",
            ];
            words.extend(["--image", &image, "--selector", selector]);
            if is_gateway {
                words.extend(["--gateway", "shop"]);
            }
            let output = divvy(&words).await?;
            if !output.status.success() {
                continue;
            }
            let mut rendered = resources(&String::from_utf8(output.stdout)?)?;

            let (key, value) = selector.split_once('=').context("a selector")?;
            let mut values = json!({
                "image": {"digest": DIGEST}, "at": at, "selector": {key: value}, "configuration": configuration,
                "routes": {"gateway": "shop", "namespace": "shop"},
            });
            let namespace = if is_gateway { "istio-system" } else { "shop" };
            let path = file(lab, "values.json", &values.to_string())?;
            let mut output = finished(template(lab, namespace, &path)?).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            if said.contains("set routes.enabled to false") {
                values["routes"]["enabled"] = json!(false);
                file(lab, "values.json", &values.to_string())?;
                output = finished(template(lab, namespace, &path)?).await?;
                rendered.retain(|[kind, ..], _| {
                    !["VirtualService", "DestinationRule"].contains(&&**kind)
                });
                without_routes += 1;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{name} at {at}: {said}");
            let charted = resources(&String::from_utf8(output.stdout)?)?;
            for (key, resource) in &rendered {
                let own = charted
                    .get(key)
                    .with_context(|| format!("{name} at {at}: no {key:?}"))?;
                ensure!(
                    own == resource,
                    "{name} at {at}:\n{own:#}\nis not\n{resource:#}"
                );
            }
            ensure!(
                charted.len() == rendered.len(),
                "{name} at {at}: {:?}",
                charted.keys()
            );
            compared += 1;
        }
    }
    ensure!(compared >= 60, "{compared} compared");
    ensure!(
        without_routes <= compared / 3,
        "{without_routes} of {compared} without routes"
    );
    Ok(())
}

/// A gateway with the chart installed.
pub struct Installed {
    /// A client of the gateway.
    pub client: Http1,
    _proxy: Proxy,
    _checkout: Service,
}

/// Installs the chart with the image of the lab, and starts a gateway.
pub async fn install(lab: &Lab) -> Result<Installed> {
    lab.cluster.clear().await?;
    let checkout = Service::start("checkout").await?;
    let [port] = free_ports()?;
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]},
    });
    lab.cluster.apply(&[checkout.entry(), gateway]).await?;
    change(lab, &[]).await?;
    let proxy = Proxy::start(lab, &Options::gateway()).await?;
    proxy.serves(port).await?;
    let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
    eventually("divvy", PATIENCE, async || {
        let answer = client.get_with("/", &[("x-canary", "true")]).await.ok()?;
        (served_by(&answer) == "v2").then_some(())
    })
    .await?;
    Ok(Installed {
        client,
        _proxy: proxy,
        _checkout: checkout,
    })
}

/// Installs or upgrades the chart with more values.
async fn change(lab: &Lab, more: &[&str]) -> Result<()> {
    let digest = lab.registry.crane(&["digest", &lab.image()])?;
    let name = format!("image.name={}/divvy", lab.registry.host);
    let digest = format!("image.digest={digest}");
    let mut command = helm(lab)?;
    command.args([
        "upgrade",
        "--install",
        "divvy",
        CHART,
        "--namespace",
        "istio-system",
    ]);
    command.args(["--values", VALUES, "--set", &name, "--set", &digest]);
    for set in more {
        command.args(["--set", set]);
    }
    run(command).await.map(drop)
}

pub async fn an_installed_chart_splits_changes_and_goes(lab: &Lab) -> Result<()> {
    let installed = install(lab).await?;
    let client = &installed.client;
    let plugin = lab.cluster.get("istio-system", "wasmplugin/divvy").await?;
    let configuration = plugin["spec"]["pluginConfig"].clone();
    let mut users = Vec::new();
    for user in 1..=200 {
        let user = format!("user-{user}");
        let (assignment, route) = expected(&configuration, &user)?;
        let forged = [("x-user-id", &*user), ("x-divvy-route", "v2")];
        let answer = client.get_with("/checkout", &forged).await?;
        assert_eq!(Some(served_by(&answer)), route.as_deref(), "{user}");
        assert_eq!(answer.header("x-divvy-version"), assignment.as_deref());
        users.push((user, served_by(&answer) == "v2"));
    }
    let on_v2 = users.iter().filter(|(_, on_v2)| *on_v2).count();
    // 20 % of the users, plus or minus four standard errors.
    ensure!((18..=62).contains(&on_v2), "{on_v2}");

    change(
        lab,
        &["configuration.rollouts[0].strategy.canary.weight=100"],
    )
    .await?;
    let (stable, _) = users
        .iter()
        .find(|(_, on_v2)| !on_v2)
        .context("a user of stable")?;
    eventually("v2 for all users", PATIENCE, async || {
        let answer = client.get_with("/", &[("x-user-id", stable)]).await.ok()?;
        (served_by(&answer) == "v2").then_some(())
    })
    .await?;

    let mut command = helm(lab)?;
    command.args(["uninstall", "divvy", "--namespace", "istio-system"]);
    run(command).await?;
    let left = [
        "get",
        "wasmplugins,envoyfilters,telemetries,virtualservices,destinationrules",
        "-A",
        "-o",
        "name",
    ];
    let left = lab.cluster.run(&left).await?;
    ensure!(left.trim().is_empty(), "{left}");
    Ok(())
}
