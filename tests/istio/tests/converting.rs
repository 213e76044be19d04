//! Routes of Istio and of the Gateway API before and after `divvy convert`, with equal requests.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use divvy_cli::convert::choice::Choices;
use divvy_cli::convert::convert;
use divvy_cli::manifest::{ManifestNode, json as text_of};
use divvy_cli::source::parse_yaml;
use divvy_cli::source::tree::YamlVersion;
use divvy_istio_tests::files::{Edit, prepared};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::Shop;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::{Http1, Response, request};
use divvy_lab::tally::Tally;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// Requests per source, divided among its rows.
const REQUESTS: usize = 1200;

/// A request: method, host, path, headers, and whether the source divides it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    bool,
);

const REVIEWS: &str = "reviews.shop.svc.cluster.local";
const SHOP: &str = "shop.example.com";
const PAYMENTS: &str = "payments.shop.svc.cluster.local";
const CATALOG: &str = "catalog.example.com";

const VIRTUAL_SERVICES: &[(&str, &[Row])] = &[
    (
        "two-weights",
        &[
            ("GET", REVIEWS, "/", &[], true),
            ("POST", REVIEWS, "/a?b=c", &[], true),
        ],
    ),
    (
        "header-rule",
        &[
            ("GET", SHOP, "/checkout", &[], true),
            ("GET", SHOP, "/checkouts", &[], true),
            ("GET", SHOP, "/checkout", &[("x-canary", "true")], false),
            (
                "GET",
                SHOP,
                "/checkout",
                &[("cookie", "a=b; ring=beta")],
                false,
            ),
            ("GET", SHOP, "/checkout", &[("cookie", "ring=beta2")], true),
            ("GET", SHOP, "/static/a", &[("x-canary", "true")], false),
        ],
    ),
    (
        "weights-behind-match",
        &[
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1")],
                true,
            ),
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1"), ("x-debug", "off")],
                false,
            ),
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1"), ("x-debug", "on")],
                true,
            ),
            ("GET", PAYMENTS, "/", &[("x-tenant", "acme-1")], false),
            ("GET", PAYMENTS, "/?preview=1", &[], false),
        ],
    ),
    (
        "other-sums",
        &[
            ("GET", CATALOG, "/find", &[], true),
            ("GET", CATALOG, "/FINDER", &[], true),
            ("GET", CATALOG, "/v12/find", &[], true),
            ("GET", CATALOG, "/v12/find/a", &[], false),
            ("GET", CATALOG, "/", &[], false),
        ],
    ),
    (
        "three-weights",
        &[
            ("GET", "ratings.example.com", "/ratings", &[], true),
            ("POST", "ratings.example.com", "/ratings", &[], false),
            ("GET", "ratings.example.com", "/ratings/1", &[], false),
        ],
    ),
];

const HTTP_ROUTES: &[(&str, &[Row])] = &[
    (
        "two-backends",
        &[
            ("GET", SHOP, "/checkout", &[], true),
            ("GET", SHOP, "/checkout/1", &[], true),
            ("GET", SHOP, "/checkout", &[("x-canary", "true")], false),
        ],
    ),
    (
        "different-settings",
        &[
            ("GET", "pay.example.com", "/pay?preview=1", &[], false),
            ("GET", "pay.example.com", "/pay", &[], true),
            ("GET", "pay.example.com", "/pay/1?preview=2", &[], true),
        ],
    ),
    (
        "three-backends",
        &[
            ("GET", "a.example.com", "/ratings", &[], true),
            ("POST", "a.example.com", "/ratings", &[], false),
            ("GET", "a.example.com", "/v2/ratings/7", &[], true),
            ("GET", "a.example.com", "/v2", &[], false),
        ],
    ),
    (
        "without-weights",
        &[
            ("GET", "search.example.com", "/", &[], true),
            ("PUT", "search.example.com", "/a", &[], true),
        ],
    ),
    (
        "grpc",
        &[
            (
                "POST",
                "greeter.example.com",
                "/demo.Greeter/SayHello",
                &[("content-type", "application/grpc")],
                true,
            ),
            (
                "POST",
                "greeter.example.com",
                "/demo.Greeter/SayHello",
                &[("content-type", "application/grpc"), ("x-beta", "1")],
                false,
            ),
            (
                "POST",
                "greeter.example.com",
                "/demo.Third/Call",
                &[("content-type", "application/grpc")],
                false,
            ),
        ],
    ),
];

/// The documents of a source with their values.
fn documents(folder: &str, name: &str) -> Result<Vec<Value>> {
    let path = format!("src/cli/tests/convert/{folder}/{name}.yaml");
    let text = fs::read_to_string(workspace_root().join(path))?;
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
    let own = name.rsplit('-').next().unwrap_or_default();
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
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "host": format!("{name}.shop.svc.cluster.local"),
            "subsets": [subset("v1"), subset("v2"), subset("v3")],
        },
    })
}

/// A gateway, with divvy and what it needs.
struct Gateway<'l> {
    lab: &'l Lab,
    client: Http1,
    upstreams: Vec<Upstream>,
}

impl Gateway<'_> {
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
            for user in 0..REQUESTS.div_ceil(rows.len()) {
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

    /// Compares the routes of a source with what they are converted to.
    async fn compare(&self, source: &str, routes: &[Value], rows: &[Row]) -> Result<()> {
        let cluster = &self.lab.cluster;
        self.configure(json!({"version": "before", "rollouts": []}))
            .await?;
        cluster.apply(routes).await?;
        eventually("the old routes", PATIENCE, async || {
            for row in rows {
                for user in 0..20 {
                    let answer = self.send(row, user).await.ok()?;
                    // Envoy answers gRPC by itself with 200 too.
                    answer.header("x-shop-version")?;
                    let is_before = answer.header("x-divvy-version").is_none();
                    (answer.status == 200 && is_before).then_some(())?;
                }
            }
            Some(())
        })
        .await
        .with_context(|| source.to_owned())?;
        let old = self.answers(rows).await?;

        let file: PathBuf = self.lab.dir().join(format!("{source}.json"));
        let items = json!({"apiVersion": "v1", "kind": "List", "items": routes});
        fs::write(&file, items.to_string())?;
        let identity = "header:x-user-id".parse().map_err(anyhow::Error::msg)?;
        let choices = Choices {
            identity: vec![identity],
            ..Choices::default()
        };
        let report = convert(&[file], &choices)?;
        let value = |node: &ManifestNode| -> Result<Value> {
            Ok(serde_json::from_str(&text_of::write(node))?)
        };
        let routes: Result<Vec<_>> = report.routes.iter().map(value).collect();
        cluster.apply(&routes?).await?;
        let mut configuration = value(&report.configuration)?;
        configuration["version"] = json!(source);
        configuration["responseHeader"] = json!("x-divvy-version");
        self.configure(configuration).await?;
        eventually("the new routes", PATIENCE, async || {
            for row in rows.iter().filter(|row| row.4) {
                self.follows(row).await?;
            }
            Some(())
        })
        .await
        .with_context(|| source.to_owned())?;
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

pub async fn virtual_services_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let gateway = Gateway {
        lab,
        client: shop.client(),
        upstreams: upstreams().await?,
    };
    for (source, rows) in VIRTUAL_SERVICES {
        gateway
            .clear("virtualservices,destinationrules,serviceentries")
            .await?;
        let mut routes = Vec::new();
        for mut document in documents("istio", source)? {
            if document["kind"] == "VirtualService" {
                document["metadata"]["namespace"] = json!("shop");
                document["spec"]["gateways"] = json!(["shop"]);
                routes.push(document);
            }
        }
        let mut hosts = BTreeSet::new();
        texts(&json!(routes), "host", &mut hosts);
        ensure!(!hosts.is_empty(), "{source} has no destinations");
        let around = hosts
            .iter()
            .flat_map(|host| [service_entry(host, &gateway.upstreams), subsets(host)]);
        lab.cluster.apply(&around.collect::<Vec<_>>()).await?;
        gateway.compare(source, &routes, rows).await?;
    }
    Ok(())
}

pub async fn http_routes_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let [port] = free_ports()?;
    let edits = [
        Edit::image(&lab.image()),
        Edit::replace(
            "{istio: ingressgateway}",
            "{gateway.networking.k8s.io/gateway-name: shop}",
        ),
    ];
    let folder = prepared(lab, &edits)?;
    let pods = json!({"gateway.networking.k8s.io/gateway-name": "shop"});
    let service = |name: &str, selector: &Value, port: u16| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": selector, "ports": [{"name": "http", "port": port}]},
        })
    };
    let listener = json!({"name": "http", "port": port, "protocol": "HTTP"});
    let mut all = vec![
        service("shop-istio", &pods, port),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"gatewayClassName": "istio", "listeners": [listener]},
        }),
    ];
    let upstreams = upstreams().await?;
    let mut names = BTreeSet::new();
    for (source, _) in HTTP_ROUTES {
        for document in documents("gateway-api", source)? {
            // The headers of tests have names too.
            let mut found = BTreeSet::new();
            texts(&document["spec"]["rules"], "name", &mut found);
            names.extend(found.into_iter().filter(|name| name.contains("-v")));
        }
    }
    for name in &names {
        all.push(service(name, &json!({"app": name}), port_of(name)));
        all.push(service_entry(name, &upstreams));
    }
    lab.cluster.apply(&all).await?;
    for file in ["base/plugin.yaml", "base/strip.yaml"] {
        let file = folder.join(file).display().to_string();
        lab.cluster.run(&["apply", "-f", &file]).await?;
    }
    let options = Options {
        namespace: "shop",
        labels: pods,
        ..Options::gateway()
    };
    let proxy = Proxy::start(lab, &options).await?;
    let gateway = Gateway {
        lab,
        client: Http1::new(SocketAddr::from(([127, 0, 0, 1], port))),
        upstreams,
    };
    for (index, (source, rows)) in HTTP_ROUTES.iter().enumerate() {
        gateway.clear("httproutes,grpcroutes").await?;
        let routes = documents("gateway-api", source)?;
        if routes.is_empty() {
            bail!("{source} is empty");
        }
        if index == 0 {
            lab.cluster.apply(&routes).await?;
            proxy.serves(port).await?;
        }
        gateway.compare(source, &routes, rows).await?;
    }
    names.insert("shop-istio".to_owned());
    for name in &names {
        let delete = ["delete", "-n", "shop", "service", name];
        lab.cluster.run(&delete).await?;
    }
    gateway.clear("httproutes,grpcroutes").await
}
