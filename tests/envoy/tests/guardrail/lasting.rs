//! The lifetime of a verdict: it survives new configurations and VMs of one revision.

use crate::setup::{Edge, PATIENCE, assignment_of, canary, configuration};
use anyhow::{Context, Result};
use divvy_lab::envoy::Push;
use divvy_lab::eventually;
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

use super::{
    CANARY, HEALTHY, ROLLED_BACK, TAKEN_BACK, Upload, assert_rolled_back, canary_user, changed,
    fail_three_times, guarded, standing, start, transition, transitions,
    wait_until_all_workers_respond, weights,
};

pub fn three_in_a_row(weight: f64) -> Value {
    guarded(canary(weight), json!({"consecutiveErrors": 3}))
}

/// An edge whose v2 is rolled back on all workers, and a user of v2.
async fn rolled_back(configuration: &Value, workers: u32) -> Result<(Edge, String)> {
    let user = canary_user()?;
    let edge = start(configuration, workers).await?;
    let line = fail_three_times(&edge, &user).await?;
    assert_eq!(
        line,
        "v2 is rolled back to stable: 3 requests in a row failed, consecutiveErrors; it stays so \
        until the revision changes"
    );
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await?;
    eventually("the gauges", PATIENCE, async || {
        let says = standing(&edge).await.ok()? == ROLLED_BACK;
        let shows = weights(&edge).await.ok()? == [1_000_000, 0];
        (says && shows).then_some(())
    })
    .await?;
    assert_rolled_back(&edge, &user, "at first").await?;
    Ok((edge, user))
}

#[tokio::test]
async fn a_verdict_survives_a_push_with_another_weight() -> Result<()> {
    let (edge, user) = rolled_back(&three_in_a_row(50.0), 2).await?;
    for weight in [1.0, 100.0, 20.0] {
        edge.put(&three_in_a_row(weight)).await?;
        let when = format!("at {weight} %");
        assert_rolled_back(&edge, &user, &when).await?;
    }
    assert_eq!(transitions(&edge, 0).len(), 1);
    Ok(())
}

/// The plugin with this configuration in new VMs: Envoy shares VMs of equal code and VM
/// configuration.
fn in_new_vms(configuration: &Value, number: u32) -> Result<Plugin> {
    let plugin = Plugin::load("envoy/plugin.yaml")?;
    let mut plugin = plugin.with_configuration(&configuration.to_string());
    plugin.config()["vm_config"]["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": number.to_string(),
    });
    Ok(plugin)
}

/// The number of VMs that this Envoy has created.
pub async fn vms_made(edge: &Edge) -> Result<u64> {
    const CREATED: &str = "wasm.envoy.wasm.runtime.v8.created";
    let stats = edge.envoy.stats(CREATED).await?;
    stats.get(CREATED).copied().context(CREATED)
}

#[tokio::test]
async fn a_verdict_survives_a_push_that_replaces_all_vms() -> Result<()> {
    let configuration = three_in_a_row(50.0);
    let (edge, user) = rolled_back(&configuration, 2).await?;
    for number in 1..=3 {
        let before = vms_made(&edge).await?;
        let pushed = edge
            .envoy
            .push(&in_new_vms(&configuration, number)?)
            .await?;
        assert_eq!(pushed, Push::Accepted);
        // One for the main thread and one per worker.
        let made = vms_made(&edge).await?;
        assert!(made >= before + 3, "{before} {made}");
        assert_rolled_back(&edge, &user, &format!("in new VMs, {number}")).await?;
    }
    assert_eq!(transitions(&edge, 0).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_verdict_survives_a_push_of_another_configuration_and_back() -> Result<()> {
    let first = three_in_a_row(50.0);
    let (edge, user) = rolled_back(&first, 2).await?;
    // Keeps the first root context alive, which Envoy then reuses without configuring it.
    let upload = Upload::begin(&edge, &user, "/", "v1").await?;
    let windowed = json!({"consecutiveErrors": 3, "errors": {"max": 1, "window": "5m"}});
    for (name, other) in [
        ("another weight", three_in_a_row(20.0)),
        ("another window", guarded(canary(50.0), windowed)),
        ("no rollout", configuration(&[])),
    ] {
        edge.put(&other).await?;
        edge.client.get("/").await?;
        edge.put(&first).await?;
        assert_rolled_back(&edge, &user, &format!("back from {name}")).await?;
    }
    assert!(upload.end().await?.starts_with("HTTP/1.1 200 "));
    assert_eq!(transitions(&edge, 0).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_returning_configuration_adopts_the_verdict_made_meanwhile() -> Result<()> {
    let user = canary_user()?;
    let first = three_in_a_row(50.0);
    let windowed = json!({"consecutiveErrors": 3, "errors": {"max": 50, "window": "5m"}});
    for (name, other) in [
        ("another weight", three_in_a_row(20.0)),
        ("another window", guarded(canary(50.0), windowed)),
    ] {
        let edge = start(&first, 2).await?;
        let upload = Upload::begin(&edge, &user, "/", "v2").await?;
        edge.put(&other).await?;
        fail_three_times(&edge, &user).await?;
        wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await?;
        edge.put(&first).await?;
        assert_rolled_back(&edge, &user, &format!("back from {name}")).await?;
        assert!(upload.end().await?.starts_with("HTTP/1.1 200 "));
    }
    Ok(())
}

#[tokio::test]
async fn a_superseded_configuration_adds_its_late_counts_and_does_not_judge() -> Result<()> {
    let user = canary_user()?;
    let limit = |max: f64| json!({"max": max, "window": "1h"});
    // The first configuration would judge a single failure.
    let first = json!({"errors": limit(100.0), "consecutiveErrors": 1});
    let edge = start(&guarded(canary(50.0), first), 2).await?;
    let late = Upload::begin(&edge, &user, "/?status=503", "v2").await?;
    edge.put(&guarded(canary(50.0), json!({"errors": limit(100.0)})))
        .await?;
    for _ in 0..2 {
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    assert!(late.end().await?.starts_with("HTTP/1.1 503 "));
    // A third configuration reports the count when it has all three.
    edge.put(&guarded(
        canary(50.0),
        json!({"errors": limit(0.0001), "minRequests": 3, "onBreach": "observe"}),
    ))
    .await?;
    // A configuration without requests does not judge. This request has no identity, so it is not
    // counted.
    edge.client.get("/").await?;
    transition(&edge, 0).await?;
    let expected = "v2 breaches its guardrail: 1 of 3 requests failed, errors.max is 0.0001 %; nothing \
        happens, onBreach is observe";
    assert_eq!(transitions(&edge, 0), [expected]);
    assert_eq!(standing(&edge).await?, HEALTHY);
    Ok(())
}

#[tokio::test]
async fn a_late_sample_of_another_revision_is_dropped() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"errors": {"max": 0.0001}, "minRequests": 1});
    let first = guarded(canary(50.0), guardrail);
    let edge = start(&first, 2).await?;
    let late = Upload::begin(&edge, &user, "/?status=503", "v2").await?;
    edge.put(&changed(first, json!({"revision": "2"}))).await?;
    assert!(late.end().await?.starts_with("HTTP/1.1 503 "));
    // One failure of one request would trip. After a success, a failure of this revision is one of
    // two.
    assert_eq!(assignment_of(&edge.get_as(&user, "/").await?), Some(CANARY));
    let answer = edge.get_as(&user, "/?status=503").await?;
    assert_eq!(assignment_of(&answer), Some(CANARY));
    let line = transition(&edge, 0).await?;
    assert!(line.contains(": 1 of 2 requests failed"), "{line}");
    Ok(())
}
