//! Routes before and after `divvy convert`, with equal requests, on a real Istio: one module per source.
//!
//! Routes of Argo and Flagger before are those that they write at a step, in the folders here.

pub mod argo;
pub mod flagger;
pub mod gateway_api;
pub mod http_routes;
pub mod ingress_nginx;
pub mod virtual_services;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use divvy_cli::convert::choice::Choices;
use divvy_cli::convert::convert;
use divvy_cli::manifest::{ManifestNode, json as text_of};
use divvy_cli::source::parse_yaml;
use divvy_cli::source::tree::YamlVersion;
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::lab::Lab;
use divvy_lab::client::{Http1, Response, request};
use divvy_lab::tally::Tally;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// Requests per source, divided among its rows.
const REQUESTS: usize = 1200;
/// Minimum per row, so that the tolerance of two shares is at most 16 points.
const MIN_REQUESTS: usize = 500;

/// A request: method, host, path, headers, and whether the source divides it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    bool,
);

/// What a source of Istio leaves in the cluster.
const OF_ISTIO: &str = "virtualservices,destinationrules,serviceentries";

/// A change from old routes to what a source is converted to.
struct Change<'c> {
    /// Name of the source, for messages.
    source: &'c str,
    /// The old routes.
    before: &'c [Value],
    /// The documents that are converted.
    converted: &'c [Value],
    /// How long ago the release began.
    age: Duration,
    /// Gates that are passed since then.
    passed: &'c [&'c str],
    rows: &'c [Row],
}

impl<'c> Change<'c> {
    /// The change of routes to what they are converted to.
    fn of_routes(source: &'c str, routes: &'c [Value], rows: &'c [Row]) -> Change<'c> {
        Change {
            source,
            before: routes,
            converted: routes,
            age: Duration::ZERO,
            passed: &[],
            rows,
        }
    }
}

/// The documents of a source with their values.
fn documents(folder: &str, name: &str) -> Result<Vec<Value>> {
    values(&format!("src/cli/tests/convert/{folder}"), name)
}

/// The old routes of a source that is not one of routes.
fn old_routes(folder: &str, name: &str) -> Result<Vec<Value>> {
    values(&format!("tests/istio/tests/converting/{folder}"), name)
}

fn values(folder: &str, name: &str) -> Result<Vec<Value>> {
    let path = workspace_root().join(folder).join(format!("{name}.yaml"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let roots = parse_yaml(&text).map_err(|error| anyhow::anyhow!("{name}: {}", error.message))?;
    let values = roots.iter().map(|root| {
        let node = ManifestNode::of(root, YamlVersion::V11);
        Ok(serde_json::from_str(&text_of::write(&node))?)
    });
    values.collect()
}

/// All texts of this key below a value.
fn texts(value: &Value, key: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| texts(one, key, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key
                    && let Some(text) = value.as_str()
                {
                    found.insert(text.to_owned());
                }
                texts(value, key, found);
            }
        }
        _ => {}
    }
}

/// The port that the sources give a service.
fn port_of(name: &str) -> u16 {
    match name.starts_with("greeter") || name.starts_with("other") {
        true => 9000,
        false => 8080,
    }
}

/// The entry of a service: all versions, or the one in its name.
fn service_entry(host: &str, upstreams: &[Upstream]) -> Value {
    let name = host.split('.').next().unwrap_or_default();
    let own = match name.rsplit('-').next().unwrap_or_default() {
        // Names of Argo and Flagger.
        "stable" | "primary" => "v1",
        "canary" => "v2",
        own => own,
    };
    let has_own = upstreams.iter().any(|upstream| upstream.version() == own);
    // A service without subsets in the sources has one version.
    let own = match (has_own, name) {
        (true, _) => Some(own),
        (false, "files") => Some("v1"),
        (false, _) => None,
    };
    let versions = upstreams
        .iter()
        .filter(|upstream| own.is_none_or(|own| upstream.version() == own));
    let endpoints = versions.map(|upstream| {
        json!({
            "address": upstream.addr().ip().to_string(),
            "ports": {"http": upstream.addr().port()},
            "labels": {"app": name, "version": upstream.version()},
        })
    });
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "hosts": [format!("{name}.shop.svc.cluster.local")],
            "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": port_of(name), "name": "http", "protocol": "HTTP"}],
            "endpoints": endpoints.collect::<Vec<_>>(),
        },
    })
}

fn subsets(host: &str) -> Value {
    let name = host.split('.').next().unwrap_or_default();
    let subset = |name: &str, version: &str| json!({"name": name, "labels": {"version": version}});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "host": format!("{name}.shop.svc.cluster.local"),
            "subsets": [
                subset("v1", "v1"), subset("v2", "v2"), subset("v3", "v3"),
                subset("stable", "v1"), subset("canary", "v2"),
            ],
        },
    })
}

/// A gateway, with divvy and what it needs.
struct Gateway<'l> {
    lab: &'l Lab,
    client: Http1,
    upstreams: Vec<Upstream>,
}

impl<'l> Gateway<'l> {
    async fn new(lab: &'l Lab, client: Http1) -> Result<Gateway<'l>> {
        Ok(Gateway {
            lab,
            client,
            upstreams: upstreams().await?,
        })
    }

    /// Applies the services of these routes with all subsets.
    async fn destinations(&self, routes: &[Value]) -> Result<()> {
        let mut hosts = BTreeSet::new();
        texts(&json!(routes), "host", &mut hosts);
        ensure!(!hosts.is_empty(), "the routes have no destinations");
        let around = hosts
            .iter()
            .flat_map(|host| [service_entry(host, &self.upstreams), subsets(host)]);
        self.lab.cluster.apply(&around.collect::<Vec<_>>()).await
    }

    async fn send(&self, row: &Row, user: usize) -> Result<Response> {
        let (method, host, path, headers, _) = row;
        let user = format!("user-{user}");
        let mut all = vec![("host", *host), ("x-user-id", user.as_str())];
        all.extend_from_slice(headers);
        self.client.send(request(method, path, &all, "")?).await
    }

    async fn answers(&self, rows: &[Row]) -> Result<Vec<Tally>> {
        let mut tallies = Vec::new();
        for row in rows {
            let mut tally = Tally::default();
            for user in 0..REQUESTS.div_ceil(rows.len()).max(MIN_REQUESTS) {
                tally.add(&self.send(row, user).await?);
            }
            tallies.push(tally);
        }
        Ok(tallies)
    }

    /// Replaces the configuration of divvy, without fields of an earlier one.
    async fn configure(&self, mut configuration: Value) -> Result<()> {
        let cluster = &self.lab.cluster;
        let plugin = cluster.get("istio-system", "wasmplugin/divvy").await?;
        let old = plugin["spec"]["pluginConfig"].as_object();
        for key in old.into_iter().flat_map(|old| old.keys()) {
            if configuration.get(key).is_none() {
                configuration[key] = Value::Null;
            }
        }
        let patch = json!({"spec": {"pluginConfig": configuration}});
        cluster
            .patch("istio-system", "wasmplugin/divvy", &patch)
            .await
    }

    /// Whether divvy decides by user and the routes follow it.
    async fn follows(&self, row: &Row) -> Option<()> {
        for user in 0..60 {
            let first = self.send(row, user).await.ok()?;
            let second = self.send(row, user).await.ok()?;
            let version = |answer: &Response| answer.header("x-shop-version").map(str::to_owned);
            first.header("x-divvy-version")?;
            if version(&first)? != version(&second)? {
                return None;
            }
        }
        Some(())
    }

    /// Whether divvy decides about requests that the source does not divide.
    async fn decides(&self, row: &Row) -> Option<()> {
        let answer = self.send(row, 0).await.ok()?;
        answer.header("x-divvy-version").map(drop)
    }

    /// The answers through the old routes.
    async fn before(&self, change: &Change<'_>) -> Result<Vec<Tally>> {
        self.configure(json!({"version": "before", "rollouts": []}))
            .await?;
        self.lab.cluster.apply(change.before).await?;
        eventually("the old routes", PATIENCE, async || {
            for row in change.rows {
                for user in 0..20 {
                    let answer = self.send(row, user).await.ok()?;
                    // Envoy answers gRPC by itself with 200 too.
                    let is_routed = answer.header("x-shop-version").is_some()
                        || answer.header("location").is_some();
                    let is_before = answer.header("x-divvy-version").is_none();
                    (answer.status < 400 && is_routed && is_before).then_some(())?;
                }
            }
            Some(())
        })
        .await?;
        self.answers(change.rows).await
    }

    /// Converts the documents, and applies configuration and routes.
    async fn convert(&self, change: &Change<'_>) -> Result<()> {
        let file: PathBuf = self.lab.dir().join(format!("{}.json", change.source));
        let items = json!({"apiVersion": "v1", "kind": "List", "items": change.converted});
        fs::write(&file, items.to_string())?;
        let identity = "header:x-user-id".parse().map_err(anyhow::Error::msg)?;
        let begin = humantime::format_rfc3339_seconds(SystemTime::now() - change.age).to_string();
        let choices = Choices {
            identity: vec![identity],
            start: Some(begin.clone()),
            ..Choices::default()
        };
        let report = convert(&[file], &choices)?;
        let value = |node: &ManifestNode| -> Result<Value> {
            Ok(serde_json::from_str(&text_of::write(node))?)
        };
        let routes: Result<Vec<_>> = report.routes.iter().map(value).collect();
        self.lab.cluster.apply(&routes?).await?;
        let mut configuration = value(&report.configuration)?;
        configuration["version"] = json!(change.source);
        configuration["responseHeader"] = json!("x-divvy-version");
        let rollouts = configuration["rollouts"].as_array_mut();
        for rollout in rollouts.into_iter().flatten() {
            if let Some(canary) = rollout["strategy"].get_mut("canary")
                && !change.passed.is_empty()
            {
                let passed = change.passed.iter();
                let passed = passed.map(|gate| json!({"gate": gate, "at": begin}));
                canary["passed"] = passed.collect();
            }
        }
        self.configure(configuration).await
    }

    /// Compares the answers through the old routes with those after the change.
    async fn compare(&self, change: &Change<'_>) -> Result<()> {
        let Change { source, rows, .. } = change;
        let old = self.before(change).await;
        let old = old.with_context(|| (*source).to_owned())?;
        self.convert(change).await?;
        let is_divided = rows.iter().any(|row| row.4);
        eventually("the new routes", PATIENCE, async || {
            for row in *rows {
                match row.4 {
                    true => self.follows(row).await?,
                    false if is_divided => {}
                    false => self.decides(row).await?,
                }
            }
            Some(())
        })
        .await
        .with_context(|| (*source).to_owned())?;
        let new = self.answers(rows).await?;
        for ((row, old), new) in rows.iter().zip(&old).zip(&new) {
            ensure!(old.is_divided() == row.4, "{source}: {row:?}: {old:?}");
            old.same_as(new)
                .with_context(|| format!("{source}: {row:?}"))?;
        }
        Ok(())
    }

    /// Deletes the objects of a source.
    async fn clear(&self, kinds: &str) -> Result<()> {
        let delete = ["delete", "-n", "shop", kinds, "--all", "--wait=false"];
        self.lab.cluster.run(&delete).await.map(drop)
    }
}

async fn upstreams() -> Result<Vec<Upstream>> {
    let mut upstreams = Vec::new();
    for version in ["v1", "v2", "v3"] {
        upstreams.push(Upstream::start(version).await?);
    }
    Ok(upstreams)
}
