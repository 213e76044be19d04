//! `divvy top` with real Envoys.

use crate::setup::{
    DURATIONS, Edge, PATIENCE, Setup, all_users_get, canary, configuration, expect, rollout,
    served_by,
};
use anyhow::{Context, Result, ensure};
use divvy::config;
use divvy_cli::top::{self, FleetView};
use divvy_lab::eventually;
use serde_json::{Value, json};

const USERS: usize = 200;

/// It blocks, so it runs on its own thread.
async fn look(urls: Vec<String>) -> Result<FleetView> {
    Ok(tokio::task::spawn_blocking(move || top::look(&urls)).await?)
}

fn hash(configuration: &Value) -> Result<String> {
    let policy = config::parse(configuration.to_string().as_bytes());
    let policy = policy.ok().context("it is refused")?;
    Ok(format!("{:08x}", policy.fingerprint))
}

#[tokio::test]
async fn top_shows_configurations_requests_and_durations() -> Result<()> {
    let configuration = configuration(&[rollout("checkout", canary(25.0))]);
    let edge = Edge::start(&configuration).await?;
    let mut new = 0;
    for user in 0..USERS {
        let answer = edge.get_as(user.to_string(), "/").await?;
        new += usize::from(served_by(&answer) == Some("v2"));
    }
    ensure!(new > 0 && new < USERS, "{new} of {USERS}");
    // Envoy merges histograms periodically; counters are exact at once.
    let durations = [("v1", USERS - new), ("v2", new)];
    let durations = durations.map(|(version, count)| (["checkout", version], count as u64));
    edge.wait_for_counts(DURATIONS, &expect(durations)).await?;

    let view = look(vec![edge.envoy.admin().to_string()]).await?;
    assert_eq!(view.findings(), [""; 0]);
    assert_eq!(view.proxies[0].hash, Some(hash(&configuration)?));
    let checkout = &view.rollouts["checkout"];
    assert_eq!(checkout.reasons["split"], USERS as f64);
    for (version, weight, requests) in [("v1", 75.0, USERS - new), ("v2", 25.0, new)] {
        let shown = &checkout.versions[version];
        let requests = requests as f64;
        assert_eq!(shown.weight, Some(weight), "{version}");
        assert_eq!(shown.requests, requests, "{version}");
        assert_eq!(shown.seen, requests / USERS as f64 * 100.0, "{version}");
        assert_eq!(shown.classes["2xx"], requests, "{version}");
        assert!(shown.p50.is_some() && shown.p50 <= shown.p95, "{version}");
    }
    Ok(())
}

#[tokio::test]
async fn top_marks_a_rollout_that_was_removed() -> Result<()> {
    let kept = rollout("kept", all_users_get("v1"));
    let both = configuration(&[kept.clone(), rollout("removed", canary(25.0))]);
    let edge = Edge::start(&both).await?;
    edge.get_as("1", "/").await?;
    edge.put(&configuration(&[kept])).await?;
    // The gauges follow the configuration with its first request.
    edge.get_as("1", "/").await?;
    let admin = edge.envoy.admin().to_string();
    let marked = async || {
        let view = look(vec![admin.clone()]).await.ok()?;
        let states = ["kept", "removed"].map(|name| view.rollouts[name].configured);
        (states == [true, false]).then_some(())
    };
    eventually("the mark of the removed rollout", PATIENCE, marked).await
}

#[tokio::test]
async fn top_reports_an_envoy_without_stats_tags() -> Result<()> {
    let configuration = configuration(&[rollout("checkout", all_users_get("v1"))]);
    let without_tags = |mut edge: divvy_lab::bootstrap::Bootstrap| {
        edge.json()["stats_config"]["stats_tags"] = json!([]);
        Ok(edge)
    };
    // Not `good`: the check of the gauges needs the labels.
    let setup = Setup::of_anything(&configuration.to_string())?;
    let edge = setup.bootstrap(without_tags)?.start().await?;
    let findings = look(vec![edge.envoy.admin().to_string()]).await?.findings();
    let [finding] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(
        finding.contains("its Envoy needs the stats_tags"),
        "{finding}"
    );
    Ok(())
}

#[tokio::test]
async fn top_reports_proxies_that_differ_are_inert_or_do_not_respond() -> Result<()> {
    let one = Edge::start(&configuration(&[rollout("checkout", all_users_get("v1"))])).await?;
    let other = Edge::start(&configuration(&[rollout("checkout", all_users_get("v2"))])).await?;
    let bad = configuration(&[rollout("checkout", all_users_get("v9"))]).to_string();
    let inert = Setup::of_anything(&bad)?.start().await?;
    let edges = [&one, &other, &inert].map(|edge| edge.envoy.admin().to_string());
    // No process listens on this port, and no other test can get it.
    let silent = "127.0.0.1:1".to_owned();
    let [inert, silence] = [&edges[2], &silent].map(|url| format!("http://{url}/stats/prometheus"));

    let urls = edges.into_iter().chain([silent]).collect();
    let findings = look(urls).await?.findings();
    let says = |what: &str| findings.iter().any(|finding| finding.starts_with(what));
    assert!(
        says(&format!(
            "{inert} has no valid configuration and serves stable"
        )),
        "{findings:?}"
    );
    assert!(
        says(&format!("{silence} does not answer: ")),
        "{findings:?}"
    );
    assert!(
        says("proxies have different configurations"),
        "{findings:?}"
    );
    assert!(says("checkout v2 has different shares"), "{findings:?}");
    assert_eq!(findings.len(), 5, "{findings:?}");
    Ok(())
}
