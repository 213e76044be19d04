//! `divvy top` for a fleet: real Envoys in a real Prometheus.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_cli::top::{FleetView, look_at_prometheus};
use divvy_fleet_tests::prometheus::Prometheus;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

use crate::proxies::{Proxy, configuration, rollout};
use crate::traffic::Traffic;

const PATIENCE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(10);

/// It blocks, so it runs on its own thread.
async fn look(address: SocketAddr, job: Option<&'static str>) -> Result<FleetView> {
    let url = address.to_string();
    let look = move || look_at_prometheus(&url, job, WINDOW);
    tokio::task::spawn_blocking(look).await?
}

/// Looks until the findings contain all of these texts.
async fn until(prometheus: &Prometheus, texts: &[&str]) -> Result<FleetView> {
    let address = prometheus.address();
    let found = async || {
        let view = look(address, Some("divvy-edge")).await.ok()?;
        let findings = view.findings();
        let has = |text: &&str| findings.iter().any(|finding| finding.contains(text));
        texts.iter().all(has).then_some(view)
    };
    let outcome = eventually(&format!("the findings {texts:?}"), PATIENCE, found).await;
    if outcome.is_err() {
        let view = look(address, Some("divvy-edge")).await?;
        eprintln!("findings: {:#?}", view.findings());
    }
    outcome
}

/// The configuration with this weight of v3, which a guardrail rolls back if it fails.
fn edge(weight: u32) -> Value {
    let guardrail = json!({"minRequests": 10, "errors": {"max": 5, "window": "10s"}});
    let fields = json!({"guardrail": guardrail});
    configuration(&[rollout(
        "checkout",
        "v3",
        json!({"weight": weight}),
        &fields,
    )])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_shares_verdicts_and_disagreement_and_names_the_proxies() -> Result<()> {
    let prometheus = Prometheus::start().await?;
    let text = edge(20).to_string();
    let a = Proxy::start("divvy-edge", "a", &text).await?;
    let b = Proxy::start("divvy-edge", "b", &text).await?;
    let other = configuration(&[rollout("other", "v2", json!({"weight": 5}), &json!({}))]);
    let c = Proxy::start("divvy-mesh", "c", &other.to_string()).await?;
    let _traffic = [&a, &b].map(|proxy| Traffic::start(proxy.address, "/checkout", 50, 1));
    prometheus.scrape(&[a.target(), b.target(), c.target()])?;

    // A healthy fleet.
    let healthy = eventually("rates of a healthy fleet", PATIENCE, async || {
        let view = look(prometheus.address(), Some("divvy-edge")).await.ok()?;
        let version = view.rollouts.get("checkout")?.versions.get("v3")?;
        (version.rate? > 5.0 && version.p95.is_some()).then_some(view)
    })
    .await?;
    assert_eq!(healthy.findings(), [""; 0]);
    let proxies: Vec<_> = healthy.proxies.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(proxies, ["a", "b"]);
    let v3 = &healthy.rollouts["checkout"].versions["v3"];
    assert_eq!(v3.weight, Some(20.0));
    ensure!((10.0..=30.0).contains(&v3.seen), "{}", v3.seen);
    assert_eq!(v3.error_percent(), Some(0.0));

    // Without a job, the names have it, and the configurations of two jobs are not compared.
    let all = look(prometheus.address(), None).await?;
    ensure!(
        all.agree && all.findings().is_empty(),
        "{:?}",
        all.findings()
    );
    let rollouts: Vec<_> = all.rollouts.keys().collect();
    assert_eq!(rollouts, ["divvy-edge/checkout", "divvy-mesh/other"]);

    // Another weight in one proxy.
    b.put(&edge(30)).await?;
    let shares = "checkout v3 has different shares: 20.00 % in a; 30.00 % in b";
    let view = until(
        &prometheus,
        &["proxies have different configurations: ", shares],
    )
    .await?;
    assert!(!view.agree);

    // v3 fails in one proxy.
    b.put(&edge(20)).await?;
    a.behave("v3", 50.0, 0);
    let rolled_back = "checkout v3 is rolled back in 1 of 2 proxies: a";
    until(&prometheus, &[rolled_back]).await?;
    // A proxy that has ended.
    b.envoy.stop().await;
    let silent = "b does not answer: Prometheus cannot scrape it";
    until(&prometheus, &[silent]).await?;
    let page = fs::read_to_string(workspace_root().join("envoy/docs/MONITORING.md"))?;
    for finding in [shares, rolled_back, silent] {
        ensure!(page.contains(finding), "MONITORING.md lacks {finding:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_explains_what_it_cannot_use() -> Result<()> {
    let prometheus = Prometheus::start().await?;
    let error = async |address: SocketAddr, job| match look(address, job).await {
        Ok(view) => format!("{view:?}"),
        Err(error) => format!("{error:#}"),
    };
    let text = error(prometheus.address(), None).await;
    ensure!(text.contains("has no series of divvy: check"), "{text}");
    let text = error(prometheus.address(), Some("x\"}")).await;
    ensure!(
        text.contains("has no series of divvy with job=\"x\\\"}\": check"),
        "{text}"
    );
    let plain = Proxy::start_without_divvy("divvy-h", "h").await?;
    let text = error(plain.envoy.admin(), None).await;
    ensure!(text.contains("is not a Prometheus: "), "{text}");
    // No process listens on this port, and no other test can get it.
    let text = error(SocketAddr::from(([127, 0, 0, 1], 1)), None).await;
    ensure!(text.contains("does not answer"), "{text}");
    Ok(())
}
