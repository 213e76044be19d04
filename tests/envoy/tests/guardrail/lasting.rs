//! What a verdict outlives: whatever happens to configurations and VMs within one revision.

use anyhow::{Context, Result};
use divvy_envoy_tests::{Edge, PATIENCE, canary, configuration, told};
use divvy_lab::envoy::Push;
use divvy_lab::eventually;
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

use super::{
    CANARY, HEALTHY, ROLLED_BACK, TAKEN_BACK, Upload, assert_rolled_back, canary_user, changed,
    fail_three_times, guarded, standing, start, transition, transitions, wait_until_all_say,
    weights,
};

pub fn three_in_a_row(weight: f64) -> Value {
    guarded(canary(weight), json!({"consecutiveErrors": 3}))
}

/// An edge whose v2 is rolled back, as all workers know, and a user who would have it.
async fn rolled_back(configuration: &Value, workers: u32) -> Result<(Edge, String)> {
    let user = canary_user()?;
    let edge = start(configuration, workers).await?;
    let line = fail_three_times(&edge, &user).await?;
    assert_eq!(
        line,
        "v2 is rolled back to stable: 3 requests in a row failed, consecutiveErrors; it stays so \
        until the revision changes"
    );
    wait_until_all_say(&edge, &user, TAKEN_BACK).await?;
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
async fn it_outlives_a_push_with_another_weight() -> Result<()> {
    let (edge, user) = rolled_back(&three_in_a_row(50.0), 2).await?;
    for weight in [1.0, 100.0, 20.0] {
        edge.put(&three_in_a_row(weight)).await?;
        let when = format!("at {weight} %");
        assert_rolled_back(&edge, &user, &when).await?;
    }
    assert_eq!(transitions(&edge, 0).len(), 1);
    Ok(())
}

/// The plugin with this configuration in VMs of its own: those with the same code and the same
/// configuration of the VM are shared.
fn in_new_vms(configuration: &Value, number: u32) -> Result<Plugin> {
    let plugin = Plugin::load("envoy/plugin.yaml")?;
    let mut plugin = plugin.with_configuration(&configuration.to_string());
    plugin.config()["vm_config"]["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": number.to_string(),
    });
    Ok(plugin)
}

/// How many VMs this Envoy has ever made.
pub async fn vms_made(edge: &Edge) -> Result<u64> {
    const CREATED: &str = "wasm.envoy.wasm.runtime.v8.created";
    let stats = edge.envoy.stats(CREATED).await?;
    stats.get(CREATED).copied().context(CREATED)
}

#[tokio::test]
async fn it_outlives_a_push_that_makes_all_vms_new() -> Result<()> {
    let configuration = three_in_a_row(50.0);
    let (edge, user) = rolled_back(&configuration, 2).await?;
    for number in 1..=3 {
        let before = vms_made(&edge).await?;
        let pushed = edge
            .envoy
            .push(&in_new_vms(&configuration, number)?)
            .await?;
        assert_eq!(pushed, Push::Accepted);
        // For the main thread and for each worker.
        let made = vms_made(&edge).await?;
        assert!(made >= before + 3, "{before} {made}");
        assert_rolled_back(&edge, &user, &format!("in new VMs, {number}")).await?;
    }
    assert_eq!(transitions(&edge, 0).len(), 1);
    Ok(())
}

#[tokio::test]
async fn it_outlives_the_way_to_another_configuration_and_back() -> Result<()> {
    let first = three_in_a_row(50.0);
    let (edge, user) = rolled_back(&first, 2).await?;
    // Keeps the root of the first one alive, which is then taken back without being configured.
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
async fn what_was_decided_meanwhile_holds_for_the_configuration_that_comes_back() -> Result<()> {
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
        wait_until_all_say(&edge, &user, TAKEN_BACK).await?;
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
    // The first one would judge by a single failure.
    let first = json!({"errors": limit(100.0), "consecutiveErrors": 1});
    let edge = start(&guarded(canary(50.0), first), 2).await?;
    let late = Upload::begin(&edge, &user, "/?status=503", "v2").await?;
    edge.put(&guarded(canary(50.0), json!({"errors": limit(100.0)})))
        .await?;
    for _ in 0..2 {
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(told(&answer), Some(CANARY));
    }
    assert!(late.end().await?.starts_with("HTTP/1.1 503 "));
    // A third one tells what was counted, once it has all three.
    edge.put(&guarded(
        canary(50.0),
        json!({"errors": limit(0.0001), "minRequests": 3, "onBreach": "observe"}),
    ))
    .await?;
    // Who never got a request does not judge. This one is nobody's, so it is not counted.
    edge.client.get("/").await?;
    transition(&edge, 0).await?;
    let told = "v2 breaches its guardrail: 1 of 3 requests failed, errors.max is 0.0001 %; nothing \
        happens, onBreach is observe";
    assert_eq!(transitions(&edge, 0), [told]);
    assert_eq!(standing(&edge).await?, HEALTHY);
    Ok(())
}

#[tokio::test]
async fn a_late_outcome_of_another_revision_is_dropped() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"errors": {"max": 0.0001}, "minRequests": 1});
    let first = guarded(canary(50.0), guardrail);
    let edge = start(&first, 2).await?;
    let late = Upload::begin(&edge, &user, "/?status=503", "v2").await?;
    edge.put(&changed(first, json!({"revision": "2"}))).await?;
    assert!(late.end().await?.starts_with("HTTP/1.1 503 "));
    // One failure of one would do. With a success before it, a failure of this revision is one
    // of two.
    assert_eq!(told(&edge.get_as(&user, "/").await?), Some(CANARY));
    let answer = edge.get_as(&user, "/?status=503").await?;
    assert_eq!(told(&answer), Some(CANARY));
    let line = transition(&edge, 0).await?;
    assert!(line.contains(": 1 of 2 requests failed"), "{line}");
    Ok(())
}
