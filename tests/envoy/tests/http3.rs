//! The HTTP/3 listener of the shipped edge, with its comment removed: Envoy calls no log callback for
//! its streams, so the filter counts them when they are deleted.

use std::fs;

use anyhow::{Context, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::eventually;
use divvy_lab::http3::{Http3, SERVER};
use divvy_lab::tls::Authority;
use divvy_lab::workspace_root;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setup::{
    Edge, PATIENCE, REQUESTS, RESPONSES, Setup, all_users_get, assignment_of, configuration,
    expect, rollout_with, served_by,
};

/// envoy/edge.yaml with its HTTP/3 listener, and a certificate for it.
fn with_http3(authority: &Authority, dir: &TempDir) -> Result<Bootstrap> {
    let shipped = fs::read_to_string(workspace_root().join("envoy/edge.yaml"))?;
    let mut text = String::new();
    let mut within = false;
    for line in shipped.lines() {
        within = (within || line.trim_start() == "# - name: edge-http3") && !line.trim().is_empty();
        let comment = line.trim_start().strip_prefix("# ");
        match comment.filter(|_| within) {
            Some(comment) => text += &format!("    {comment}\n"),
            None => text += &format!("{line}\n"),
        }
    }
    let identity = authority.issue_to_host(SERVER)?;
    let (certificate, key) = identity.pem();
    for (name, content) in [("tls.crt", certificate), ("tls.key", key)] {
        let path = dir.path().join(name);
        fs::write(&path, content)?;
        let shipped = format!("/etc/edge/{name}");
        assert!(text.contains(&shipped), "edge.yaml lacks {shipped}");
        text = text.replace(&shipped, &path.display().to_string());
    }
    let path = dir.path().join("edge.yaml");
    fs::write(&path, text)?;
    Bootstrap::load(path)
}

/// An edge that serves all users v2, with this guardrail, and a client.
async fn start(guardrail: Value) -> Result<(Edge, Http3, TempDir)> {
    let (authority, dir) = (Authority::new()?, TempDir::new()?);
    let fields = json!({"revision": "1", "guardrail": guardrail});
    let rollout = rollout_with("checkout", all_users_get("v2"), fields);
    let setup = Setup::new(&configuration(&[rollout]))?.workers(1);
    let setup =
        setup.bootstrap(|_| Ok(with_http3(&authority, &dir)?.with_downstream_protocol()))?;
    let edge = setup.start().await?;
    let client = Http3::connect(edge.envoy.listener("edge-http3").await?, authority.pem()).await?;
    Ok((edge, client, dir))
}

async fn state(edge: &Edge) -> Result<f64> {
    let of = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    let state = edge.metrics().await?.get("divvy_guardrail_state", &of);
    state.context("no divvy_guardrail_state")
}

async fn wait_for_rollback(edge: &Edge) -> Result<()> {
    eventually("a rollback", PATIENCE, async || {
        (state(edge).await.ok()? == 2.0).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_version_that_fails_over_http3_is_rolled_back() -> Result<()> {
    let (edge, client, _dir) = start(json!({"consecutiveErrors": 3})).await?;
    let user = [("x-user-id", "u")];
    let answer = client.send("GET", "/", &user, b"").await?;
    assert_eq!((answer.status, served_by(&answer)), (200, Some("v2")));
    let mut by_v2 = 0;
    for _ in 0..14 {
        let answer = client.send("GET", "/?status=500", &user, b"").await?;
        by_v2 += usize::from(served_by(&answer) == Some("v2"));
    }
    assert_eq!(by_v2, 3);
    wait_for_rollback(&edge).await?;
    let answer = client.send("GET", "/", &user, b"").await?;
    assert_eq!(
        assignment_of(&answer),
        Some("checkout=v1;reason=rolled_back")
    );
    // Each request and each response once.
    let requests = expect([
        (["checkout", "v2", "active"], 4),
        (["checkout", "v1", "rolled_back"], 12),
    ]);
    edge.wait_for_counts(REQUESTS, &requests).await?;
    let responses = expect([
        (["checkout", "v2", "2xx"], 1),
        (["checkout", "v2", "5xx"], 3),
        (["checkout", "v1", "5xx"], 11),
        (["checkout", "v1", "2xx"], 1),
    ]);
    edge.wait_for_counts(RESPONSES, &responses).await
}

#[tokio::test]
async fn calls_resets_and_missing_responses_over_http3_are_counted() -> Result<()> {
    let (edge, client, _dir) = start(json!({"errors": {"max": 1}, "minRequests": 1000})).await?;
    let call = ("content-type", "application/grpc");
    let message = b"\0\0\0\0\0";
    let path = "/shop.Checkout/Pay";
    for (headers, path, body) in [
        (&[call, ("x-test-grpc-status", "0")][..], path, &message[..]),
        (&[call, ("x-test-grpc-status", "14")], path, message),
        (&[call, ("x-test-grpc-status", "5")], path, message),
        (&[], "/?status=404", b""),
        (&[], "/?reset=headers", b""),
    ] {
        let mut all = vec![("x-user-id", "u")];
        all.extend(headers);
        let method = if body.is_empty() { "GET" } else { "POST" };
        client.send(method, path, &all, body).await?;
    }
    // A client that cancels before the response.
    let v2 = edge.upstreams.get("v2").context("v2")?;
    let before = v2.requests();
    let user = [("x-user-id", "u")];
    let stream = client.open("GET", "/?delay=1m", &user, b"").await?;
    eventually("the request upstream", PATIENCE, async || {
        (v2.requests() > before).then_some(())
    })
    .await?;
    drop(stream);
    let responses = expect([
        (["checkout", "v2", "2xx"], 2),
        (["checkout", "v2", "grpc_error"], 1),
        (["checkout", "v2", "4xx"], 1),
        (["checkout", "v2", "5xx"], 1),
        (["checkout", "v2", "none"], 1),
    ]);
    edge.wait_for_counts(RESPONSES, &responses).await
}

#[tokio::test]
async fn a_version_that_hangs_over_http3_is_rolled_back() -> Result<()> {
    let (edge, client, _dir) = start(json!({"consecutiveErrors": 3, "patience": "2s"})).await?;
    let mut open = Vec::new();
    for path in ["/?delay=1m", "/?body-delay=1m&size=100", "/?delay=1m"] {
        open.push(client.open("GET", path, &[("x-user-id", "u")], b"").await?);
    }
    wait_for_rollback(&edge).await
}
