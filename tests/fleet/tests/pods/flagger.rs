//! `istio/flagger`: the real Flagger releases builds whose users divvy chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_istio_tests::free_ports;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_lab::eventually;
use serde_json::json;

use crate::engine::{Engine, failing, slow};
use crate::load::Load;

/// Timeout of a whole release.
const RELEASE: Duration = Duration::from_secs(120);
const CANARY: &str = "/apis/flagger.app/v1beta1/namespaces/shop/canaries/checkout";

/// A running Flagger with the shop's checkout.
struct Flagger<'a> {
    engine: Engine<'a>,
}

impl<'a> Flagger<'a> {
    /// Applies `istio/flagger` with short intervals, and waits until this build serves all users.
    async fn start(pods: &'a Pods, build: &str) -> Result<Flagger<'a>> {
        let edits = [
            (
                "interval: 30s\n    threshold",
                "interval: 2s\n    threshold",
            ),
            ("interval: 2m", "interval: 6s"),
        ];
        let mut engine = Engine::prepare(pods, "flagger", &["canaries"], &edits).await?;
        let [port] = free_ports()?;
        let mut command = engine.command("flagger")?;
        let kubeconfig = pods.lab().cluster.kubeconfig().display();
        command
            .arg(format!("-kubeconfig={kubeconfig}"))
            .arg(format!(
                "-metrics-server=http://{}",
                engine.prometheus.address()
            ))
            .arg(format!("-port={port}"))
            .args(["-mesh-provider=istio", "-namespace=shop", "-log-level=info"]);
        engine.run(command)?;
        let flagger = Flagger { engine };
        flagger.deploy(build).await?;
        flagger.phase("Initialized").await?;
        flagger.engine.serves_all(build).await?;
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
        self.engine.cluster().apply(&[deployment]).await
    }

    /// Waits for a phase of the Canary.
    async fn phase(&self, phase: &str) -> Result<()> {
        self.engine
            .until(phase, CANARY, RELEASE, |canary| {
                canary["status"]["phase"] == phase
            })
            .await
            .map(drop)
    }

    /// Begins the release of a build, and waits for its end.
    async fn release(&self, build: &str, end: &str) -> Result<()> {
        self.deploy(build).await?;
        self.phase("Progressing").await?;
        self.phase(end).await
    }

    /// The number of 200 users whom each build serves.
    async fn users(&self) -> Result<BTreeMap<String, u32>> {
        let mut users = BTreeMap::new();
        for version in self.engine.served(200).await?.into_values() {
            *users.entry(version).or_default() += 1;
        }
        Ok(users)
    }

    /// Whether Flagger named this metric as the reason against a build.
    fn halted_by(&self, metric: &str) -> bool {
        // Not the events of the Canary, of which the API server has the last one of many.
        let lines = self.engine.log("Halt");
        lines.iter().any(|line| line.contains(metric))
    }
}

pub async fn flagger_promotes_a_good_build_and_no_build_without_traffic_or_with_errors(
    pods: &Pods,
) -> Result<()> {
    let flagger = Flagger::start(pods, "v1").await?;
    let gateway = flagger.engine.shop.addr();
    let load = Load::start(gateway);

    // A good build: divvy's share of the users has it, then all.
    flagger.deploy("v2").await?;
    flagger.phase("Progressing").await?;
    let tester = [("x-canary", "true"), ("x-user-id", "tester")];
    flagger.engine.shop.until_version("v2", &tester).await?;
    let users = flagger.users().await?;
    let on_v2 = users.get("v2").copied().unwrap_or_default();
    // 20 % of 200 users, with four standard deviations.
    ensure!((18..=62).contains(&on_v2), "{users:?}");
    flagger.phase("Succeeded").await?;
    flagger.engine.serves_all("v2").await?;
    let codes = load.stop().await;
    ensure!(
        codes.len() == 1 && codes.get(&200).is_some_and(|count| *count > 500),
        "{codes:?}"
    );

    // No traffic: the last release's requests have left the window of the queries.
    let requests = "sum(increase(divvy_responses_total{divvy_version=\"canary\"}[6s])) > 0";
    eventually("no requests", RELEASE, async || {
        let series = flagger.engine.prometheus.query(requests).await.ok()?;
        series.is_empty().then_some(())
    })
    .await?;
    flagger.release("v3", "Failed").await?;
    ensure!(flagger.halted_by("divvy-requests"));
    flagger.engine.serves_all("v2").await?;

    // A build that is slower than the primary × 1.1, and one with errors: it comes last, because the verdict of the
    // guardrail stays.
    for (build, behaviour, metric) in [
        // 300 ms are twice 120 ms in the buckets of the histogram.
        ("v4", slow(), "divvy-latency 2."),
        ("v5", failing(50.0), "divvy-errors"),
    ] {
        pods.behave(build, &behaviour);
        let load = Load::start(gateway);
        flagger.release(build, "Failed").await?;
        let codes = load.stop().await;
        ensure!(
            codes.contains_key(&500) == (behaviour.error_percent > 0.0),
            "{codes:?}"
        );
        ensure!(
            flagger.halted_by(metric),
            "{metric}: {:?}",
            flagger.engine.log("Halt")
        );
        flagger.engine.serves_all("v2").await?;
        println!("requests during the release of {build}, ended by {metric}: {codes:?}");
    }
    Ok(())
}
