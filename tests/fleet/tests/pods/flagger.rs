//! `istio/flagger`: the real Flagger releases builds whose users divvy chooses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use divvy_fleet_tests::prometheus::Prometheus;
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::lab::Part;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::Http1;
use divvy_lab::upstream::{Behaviour, StatusCode};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

use crate::load::Load;

/// Timeout of a whole release.
const RELEASE: Duration = Duration::from_secs(120);
const CANARY: &str = "/apis/flagger.app/v1beta1/namespaces/shop/canaries/checkout";

/// A file that `make` puts below `target/flagger`.
fn built(name: &str) -> Result<PathBuf> {
    let path = workspace_root().join("target/flagger").join(name);
    ensure!(
        path.exists(),
        "target/flagger/{name} is missing: run `make flagger`"
    );
    Ok(path)
}

/// A running Flagger with the shop's checkout.
struct Flagger<'a> {
    shop: Shop<'a>,
    prometheus: Prometheus,
    api: Http1,
    _flagger: Part,
}

impl<'a> Flagger<'a> {
    /// Applies `istio/flagger` with short intervals, and waits until this build serves all users.
    async fn start(pods: &'a Pods, build: &str) -> Result<Flagger<'a>> {
        let lab = pods.lab();
        let cluster = &lab.cluster;
        let crds = built("crds.yaml")?.display().to_string();
        cluster
            .run(&["apply", "--server-side", "-f", &crds])
            .await?;
        cluster
            .run(&["wait", "--for=condition=Established", "crd", "--all"])
            .await?;
        let prometheus = Prometheus::start().await?;
        let address = format!("http://{}", prometheus.address());
        let edits = [
            ("http://prometheus.monitoring:9090", &*address),
            (
                "interval: 30s\n    threshold",
                "interval: 2s\n    threshold",
            ),
            ("interval: 2m", "interval: 6s"),
            // 60 requests to a build that answers in less than 1 ms: their p95 is noise.
            ("thresholdRange: {max: 1.1}", "thresholdRange: {max: 1000}"),
        ];
        let edits: Vec<_> = edits
            .iter()
            .map(|(from, to)| Edit::replace(from, to))
            .collect();
        let shop = Shop::over_pods(pods, "flagger", &edits).await?;
        let [port] = free_ports()?;
        let mut command = Command::new(built("flagger")?);
        command
            .arg(format!("-kubeconfig={}", cluster.kubeconfig().display()))
            .arg(format!("-metrics-server={address}"))
            .arg(format!("-port={port}"))
            .args(["-mesh-provider=istio", "-namespace=shop", "-log-level=info"]);
        let dir = lab.dir().join("flagger");
        fs::create_dir_all(&dir)?;
        let process = Part::start("flagger", &dir, command)?;
        let flagger = Flagger {
            shop,
            prometheus,
            api: Http1::new(SocketAddr::from(([127, 0, 0, 1], pods.api_port))),
            _flagger: process,
        };
        let admin = SocketAddr::from(([127, 0, 0, 1], flagger.shop.proxy.admin_port));
        flagger.prometheus.scrape(&[(admin, "divvy", "gw-1")])?;
        flagger.deploy(build).await?;
        flagger.phase("Initialized").await?;
        flagger.shop.until_version(build, &[]).await?;
        Ok(flagger)
    }

    /// Changes the Deployment, which Flagger takes as a new build.
    async fn deploy(&self, build: &str) -> Result<()> {
        let labels = json!({"app": "checkout"});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                    "name": "checkout", "image": "none", "env": [{"name": "VERSION", "value": build}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                }]}},
            },
        });
        self.shop.lab.cluster.apply(&[deployment]).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.api.get(path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits for a phase of the Canary.
    async fn phase(&self, phase: &str) -> Result<()> {
        let last = RefCell::new(Value::Null);
        let reached = eventually(phase, RELEASE, async || {
            let status = self.get(CANARY).await.ok()?["status"].clone();
            let is_reached = status["phase"] == phase;
            last.replace(status);
            is_reached.then_some(())
        })
        .await;
        reached.with_context(|| last.borrow().to_string())
    }

    /// Begins the release of a build, and waits for its end.
    async fn release(&self, build: &str, end: &str) -> Result<()> {
        self.deploy(build).await?;
        self.phase("Progressing").await?;
        self.phase(end).await
    }

    /// The messages of Flagger's events about the Canary.
    async fn events(&self) -> Result<String> {
        let events = self.get("/api/v1/namespaces/shop/events").await?;
        let events = events["items"].as_array().context("a list of events")?;
        let messages = events.iter().filter_map(|event| event["message"].as_str());
        Ok(messages.collect::<Vec<_>>().join("\n"))
    }

    /// Waits until a build serves all users: the gateway receives new routes a moment later.
    async fn serves_all(&self, build: &str) -> Result<()> {
        eventually("one build for all users", PATIENCE, async || {
            let users = self.users().await.ok()?;
            users.keys().eq([build]).then_some(())
        })
        .await
    }

    /// The number of 200 users whom each build serves.
    async fn users(&self) -> Result<BTreeMap<String, u32>> {
        let client = self.shop.client();
        let mut users = BTreeMap::new();
        for user in 0..200 {
            let name = format!("user-{user}");
            let answer = client
                .get_with("/checkout", &[("x-user-id", &*name)])
                .await?;
            *users.entry(served_by(&answer).to_owned()).or_default() += 1;
        }
        Ok(users)
    }
}

pub async fn flagger_promotes_a_good_build_and_no_build_without_traffic_or_with_errors(
    pods: &Pods,
) -> Result<()> {
    let flagger = Flagger::start(pods, "v1").await?;
    let load = Load::start(flagger.shop.addr());

    // A good build: divvy's share of the users has it, then all.
    flagger.deploy("v2").await?;
    flagger.phase("Progressing").await?;
    let tester = [("x-canary", "true"), ("x-user-id", "tester")];
    flagger.shop.until_version("v2", &tester).await?;
    let users = flagger.users().await?;
    let on_v2 = users.get("v2").copied().unwrap_or_default();
    // 20 % of 200 users, with four standard deviations.
    ensure!((18..=62).contains(&on_v2), "{users:?}");
    flagger.phase("Succeeded").await?;
    flagger.serves_all("v2").await?;
    let codes = load.stop().await;
    ensure!(
        codes.len() == 1 && codes.get(&200).is_some_and(|count| *count > 500),
        "{codes:?}"
    );

    // No traffic: the last release's requests have left the window of the queries.
    let requests = "sum(increase(divvy_responses_total{divvy_version=\"canary\"}[6s])) > 0";
    eventually("no requests", RELEASE, async || {
        let series = flagger.prometheus.query(requests).await.ok()?;
        series.is_empty().then_some(())
    })
    .await?;
    flagger.release("v3", "Failed").await?;
    let events = flagger.events().await?;
    ensure!(events.contains("divvy-requests"), "{events}");
    flagger.serves_all("v2").await?;

    // Errors.
    pods.behave(
        "v4",
        &Behaviour {
            error_percent: 50.0,
            error_status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Behaviour::default()
        },
    );
    let load = Load::start(flagger.shop.addr());
    flagger.release("v4", "Failed").await?;
    let codes = load.stop().await;
    ensure!(codes.contains_key(&500), "{codes:?}");
    flagger.serves_all("v2").await?;
    println!("requests during the release with errors: {codes:?}");
    Ok(())
}
