//! `divvy ui` for a fleet: real Envoys in a real Prometheus.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use divvy_cli::{Verb, read_words, ui};
use divvy_fleet_tests::prometheus::Prometheus;
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::proxies::{Proxy, configuration, rollout};
use crate::traffic::Traffic;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_a_prometheus_show_a_rollback_in_one_of_two_proxies() -> Result<()> {
    let prometheus = Prometheus::start().await?;
    let guardrail = json!({"minRequests": 10, "errors": {"max": 5, "window": "10s"}});
    let fields = json!({"guardrail": guardrail});
    let text = configuration(&[rollout("checkout", "v3", json!({"weight": 20}), &fields)]);
    let text = text.to_string();
    let a = Proxy::start("divvy-edge", "a", &text).await?;
    let b = Proxy::start("divvy-edge", "b", &text).await?;
    let _traffic = [&a, &b].map(|proxy| Traffic::start(proxy.address, "/checkout", 50, 1));
    prometheus.scrape(&[a.target(), b.target()])?;

    let page = TempDir::new()?;
    std::fs::write(page.path().join("index.html"), "<html><head></head></html>")?;
    let folder = page.path().to_str().context("a path")?;
    let url = prometheus.address().to_string();
    let words = [
        "ui",
        "--page",
        folder,
        "--prometheus",
        &url,
        "--window",
        "10s",
        "--every",
        "500ms",
    ];
    let Verb::Ui(args) = read_words(&words)?.verb else {
        bail!("another verb");
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = Http1::new(listener.local_addr()?);
    let server = tokio::spawn(ui::server(&args)?.run(listener));
    let live = async || -> Result<Value> { client.get("/api/live").await?.json() };

    let healthy = eventually("values of v3", PATIENCE, async || {
        let live = live().await.ok()?;
        let points = live["rollout"]["series"]["v3"].as_array()?;
        // Share, requests per second, errors and durations.
        let is_whole = |point: &Value| {
            point[1] == 20.0
                && point[2].as_f64() > Some(5.0)
                && point[3] == 0.0
                && point[4].is_number()
        };
        points.iter().any(is_whole).then(|| live.clone())
    })
    .await?;
    assert_eq!(
        (&healthy["agree"], &healthy["error"]),
        (&json!(true), &Value::Null)
    );
    let names: Vec<_> = [0, 1]
        .map(|index| healthy["proxies"][index]["url"].clone())
        .into();
    assert_eq!(names, ["a", "b"]);

    a.behave("v3", 50.0, 0);
    let text = "checkout v3 is rolled back in 1 of 2 proxies: a";
    let held = eventually("the rollback", PATIENCE, async || {
        let live = live().await.ok()?;
        let mut events = live["events"].as_array()?.iter();
        events
            .any(|event| event["text"] == text)
            .then(|| live.clone())
    })
    .await?;
    assert_eq!(held["rollouts"][0]["state"], "rolled back");
    let findings = held["findings"].as_array().context("findings")?;
    ensure!(findings.iter().any(|finding| finding == text), "{held}");
    server.abort();
    Ok(())
}
