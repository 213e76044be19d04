//! Copies of requests, which Envoy sends to the cluster in divvy's mirror header.

use std::fs;
use std::time::Duration;

use crate::setup::{
    Edge, PATIENCE, Setup, all_users_get, canary, configuration, rollout_with, seen_upstream,
    served_by, with,
};
use anyhow::{Context, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{raw, raw_http2, request, websocket_handshake};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::{eventually, workspace_root};
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

/// A WebSocket begins as a GET, but what the client then sends are writes.
#[tokio::test]
async fn an_upgrade_is_never_copied() -> Result<()> {
    const CONNECT: [(&str, &str); 3] = [
        (":method", "CONNECT"),
        (":authority", "shop:80"),
        ("x-user-id", "1"),
    ];
    const EXTENDED: [(&str, &str); 6] = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", "/"),
        ("x-user-id", "1"),
    ];
    let reads = json!({"version": "v2", "percent": 100, "methods": ["GET", "HEAD", "CONNECT"]});
    let setup = Setup::new(&mirroring(canary(0.0), reads, json!({})))?;
    let edge = setup.bootstrap(with_connect)?.start().await?;
    let handshake = websocket_handshake("/", "1");
    for (upgrade, connection) in [
        ("upgrade: websocket", "connection: upgrade"),
        ("Upgrade: WebSocket", "Connection: Upgrade"),
        ("UPGRADE: websocket", "CONNECTION: keep-alive, Upgrade"),
        ("upgrade: websocket", "connection: UPGRADE ,foo"),
    ] {
        let handshake = handshake.replace("upgrade: websocket", upgrade);
        let handshake = handshake.replace("connection: upgrade", connection);
        let answer = raw(edge.addr, handshake.as_bytes()).await?;
        let served = (answer.status, served_by(&answer));
        assert_eq!(served, (101, Some("v1")), "{upgrade} {connection}");
    }
    for fields in [&EXTENDED[..], &CONNECT] {
        let mark = edge.envoy.log_mark();
        raw_http2(edge.addr, fields).await?;
        let routed = |line: &str| line.contains("\"cluster\":\"v1\"");
        let log = edge.envoy.wait_for_log_since(mark, routed, PATIENCE);
        log.await.with_context(|| format!("{fields:?}"))?;
    }
    // Copied, after all those that must not be. Without `connection` it is not an upgrade, and Envoy
    // removes the header.
    let plain = [&b"x-user-id: 1"[..], b"upgrade: websocket"];
    assert_eq!(edge.raw_get("/", &plain).await?.status, 200);
    shadows(&edge, 1).await?;
    assert_eq!(edge.upstreams["v2"].requests(), 1, "and nothing else");
    Ok(())
}

#[tokio::test]
async fn the_shipped_example_copies_no_websocket() -> Result<()> {
    let text = fs::read_to_string(workspace_root().join("envoy/examples/shadow.yaml"))?;
    let example = serde_json::from_str(&from_yaml_or_json(&text)?)?;
    let edge = Edge::start(&example).await?;
    let mut copies = 0;
    for user in 0..30 {
        let user = user.to_string();
        let handshake = websocket_handshake("/", &user);
        assert_eq!(raw(edge.addr, handshake.as_bytes()).await?.status, 101);
        let answer = edge.get_as(&user, "/echo").await?;
        copies += seen_upstream(&answer, "x-divvy-mirror")?.len();
    }
    assert!(copies > 0, "no request is copied");
    shadows(&edge, copies).await?;
    assert_eq!(edge.upstreams["v2"].requests(), copies as u64);
    Ok(())
}

/// With CONNECT and the extended CONNECT of HTTP/2, which the shipped file does not allow.
fn with_connect(mut bootstrap: Bootstrap) -> Result<Bootstrap> {
    for manager in bootstrap.connection_managers()? {
        manager["http2_protocol_options"]["allow_connect"] = json!(true);
        let upgrades = manager["upgrade_configs"].as_array_mut();
        upgrades
            .context("the shipped file allows WebSockets")?
            .push(json!({"upgrade_type": "CONNECT"}));
        let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
        let routes = routes.as_array_mut().context("routes")?;
        let mirrored = routes.iter().find(|route| route["name"] == "mirrored");
        let mut connect = mirrored.context("the shipped file mirrors")?.clone();
        connect["match"] = json!({"connect_matcher": {}});
        routes.insert(0, connect);
    }
    Ok(bootstrap)
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
