//! Copies of requests, which Envoy sends to the cluster in divvy's mirror header.

use std::time::Duration;

use crate::setup::{
    Edge, PATIENCE, all_users_get, canary, configuration, rollout_with, seen_upstream, served_by,
    with,
};
use anyhow::Result;
use divvy_lab::client::request;
use divvy_lab::eventually;
use serde_json::{Value, json};

fn mirroring(strategy: Value, mirror: Value, further: Value) -> Value {
    let mirror = json!({ "mirror": mirror });
    configuration(&[rollout_with("checkout", strategy, with(mirror, further))])
}

/// Waits until v2 has received this number of copies.
async fn shadows(edge: &Edge, count: usize) -> Result<()> {
    let arrived = async || (edge.upstreams["v2"].shadows().len() == count).then_some(());
    eventually(&format!("{count} copies"), PATIENCE, arrived).await
}

#[tokio::test]
async fn the_configured_share_and_methods_are_mirrored() -> Result<()> {
    let mirror = json!({"version": "v2", "percent": 30, "methods": ["GET", "HEAD"]});
    let edge = Edge::start(&mirroring(canary(0.0), mirror, json!({}))).await?;
    let policy = divvy::config::parse(
        mirroring(
            canary(0.0),
            json!({"version": "v2", "percent": 30}),
            json!({}),
        )
        .to_string()
        .as_bytes(),
    );
    let policy = policy.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let mut expected = 0;
    for user in 0..300 {
        let user = user.to_string();
        let headers = [(&b"x-user-id"[..], user.as_bytes())];
        let known = divvy::request::Request::from_headers(&policy.names, headers);
        let copied = divvy::decide::decide(&policy, &known).mirror.is_some();
        expected += usize::from(copied);
        let answer = edge.get_as(&user, "/echo").await?;
        assert_eq!(served_by(&answer), Some("v1"), "the copy does not answer");
        assert_eq!(
            seen_upstream(&answer, "x-divvy-route")?,
            [""; 0],
            "that is removed"
        );
        let named = seen_upstream(&answer, "x-divvy-mirror")?;
        assert_eq!(named, if copied { vec!["v2"] } else { vec![] });
        let headers = [("x-user-id", &*user)];
        edge.client
            .send(request("POST", "/", &headers, "")?)
            .await?;
    }
    assert!((60..120).contains(&expected), "{expected}");
    shadows(&edge, expected).await?;
    for shadow in edge.upstreams["v2"].shadows() {
        assert_eq!(shadow.method, "GET");
        assert!(shadow.host.contains("-shadow"), "{}", shadow.host);
    }
    assert_eq!(
        edge.upstreams["v2"].requests(),
        expected as u64,
        "and nothing else"
    );
    Ok(())
}

#[tokio::test]
async fn no_copy_to_the_serving_version_or_when_disabled_or_on_request_of_the_client() -> Result<()>
{
    let all = json!({"version": "v2", "percent": 100});
    let off = mirroring(canary(0.0), all.clone(), json!({"enabled": false}));
    let edge = Edge::start(&mirroring(all_users_get("v2"), all.clone(), json!({}))).await?;
    let forged = [("x-divvy-mirror", "v2"), ("x-user-id", "1")];
    let unasked = configuration(&[rollout_with("checkout", canary(0.0), json!({}))]);
    for other in [None, Some(off), Some(unasked)] {
        if let Some(other) = other {
            edge.put(&other).await?;
        }
        for _ in 0..20 {
            let answer = edge.client.get_with("/echo", &forged).await?;
            assert_eq!(seen_upstream(&answer, "x-divvy-mirror")?, [""; 0]);
        }
    }
    // A copied request after all those that must not be copied.
    edge.put(&mirroring(canary(0.0), all, json!({}))).await?;
    edge.get_as("1", "/").await?;
    shadows(&edge, 1).await
}

#[tokio::test]
async fn a_version_that_is_rolled_back_gets_no_copies() -> Result<()> {
    let mirror = json!({"version": "v2", "percent": 100});
    let guarded = json!({
        "guardrail": {"consecutiveErrors": 5, "errors": {"max": 1}},
        "rules": [{"name": "half", "when": {"path": true, "prefix": "/canary"}, "percent": 100, "use": "v2"}],
    });
    let edge = Edge::start(&mirroring(canary(0.0), mirror, guarded)).await?;
    edge.get_as("1", "/").await?;
    shadows(&edge, 1).await?;
    for _ in 0..10 {
        edge.get_as("1", "/canary?status=503").await?;
    }
    let gone = async || {
        let answer = edge.get_as("1", "/canary").await.ok()?;
        (served_by(&answer) == Some("v1")).then_some(())
    };
    eventually("v2 to be rolled back", PATIENCE, gone).await?;
    let answer = edge.get_as("1", "/echo").await?;
    assert_eq!(seen_upstream(&answer, "x-divvy-mirror")?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_slow_copy_does_not_delay_the_response() -> Result<()> {
    let mirror = json!({"version": "v2", "percent": 100});
    let edge = Edge::start(&mirroring(canary(0.0), mirror, json!({}))).await?;
    edge.upstreams["v2"].behave(divvy_lab::upstream::Behaviour {
        delay: Duration::from_secs(60),
        ..Default::default()
    });
    // Each would take a minute if it waited for the copy; a client times out after 30 s.
    for user in 0..50 {
        let answer = edge.get_as(user.to_string(), "/").await?;
        assert_eq!(served_by(&answer), Some("v1"));
    }
    shadows(&edge, 50).await
}
