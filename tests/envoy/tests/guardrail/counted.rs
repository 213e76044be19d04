//! Which requests count as failed or slow. A verdict logs its number of requests, and `minRequests`
//! makes it wait for the last one, so that a request that counts twice or not at all is detected.

use crate::setup::{Edge, PATIENCE, assignment_of, canary};
use anyhow::{Context, Result, ensure};
use divvy_lab::client::{Http2, raw, request, websocket_handshake};
use divvy_lab::eventually;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    CANARY, TAKEN_BACK, Upload, canary_user, changed, guarded, now, start, transition, transitions,
    wait_until,
};

const TESTER: &str = "x-tester: yes";

/// Sends a request and disconnects when v2 has received it; with `in_body` when the response has
/// begun.
async fn abort(edge: &Edge, user: &str, path: &str, in_body: bool) -> Result<()> {
    let v2 = edge.upstreams.get("v2").context("v2")?;
    let before = v2.requests();
    let mut stream = TcpStream::connect(edge.addr).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    eventually("the request upstream", PATIENCE, async || {
        (v2.requests() > before).then_some(())
    })
    .await?;
    if in_body {
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await?;
        ensure!(begin.starts_with(b"HTTP/1.1 "));
    }
    Ok(())
}

/// Opens a WebSocket that the server closes after an echo.
async fn closed_websocket(edge: &Edge, user: &str) -> Result<()> {
    let mut socket = TcpStream::connect(edge.addr).await?;
    let handshake = websocket_handshake("/feed?ws=drop", user);
    socket.write_all(handshake.as_bytes()).await?;
    // A masked "hi".
    socket.write_all(b"\x81\x82\0\0\0\0hi").await?;
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await?;
    ensure!(received.starts_with(b"HTTP/1.1 101 ") && received.ends_with(b"\x81\x02hi"));
    Ok(())
}

/// Uploads slowly; the response does not wait for the body.
async fn slow_upload(edge: &Edge, user: &str) -> Result<()> {
    let upload = Upload::begin(edge, user, "/", "v2").await?;
    wait_until(now()? + 150).await?;
    let answer = upload.end().await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn client_disconnects_closed_websockets_and_rules_are_not_failures() -> Result<()> {
    let user = canary_user()?;
    let testers =
        json!([{"name": "testers", "when": {"header": "x-tester", "exact": "yes"}, "use": "v2"}]);
    // 10 WebSockets, 5 uploads and 10 failures.
    let guardrail = json!({"errors": {"max": 1}, "minRequests": 25});
    let configuration = guarded(canary(50.0), guardrail);
    let edge = start(&changed(configuration, json!({"rules": testers})), 1).await?;
    for _ in 0..5 {
        abort(&edge, &user, "/?delay=30s", false).await?;
        abort(&edge, &user, "/?delay=30s&status=503", false).await?;
        abort(&edge, &user, "/?body-delay=30s&size=100000", true).await?;
        slow_upload(&edge, &user).await?;
    }
    for _ in 0..10 {
        closed_websocket(&edge, &user).await?;
    }
    let user_line = format!("x-user-id: {user}");
    for _ in 0..30 {
        let answer = edge.raw_get("/?status=503", &[TESTER, &user_line]).await?;
        assert_eq!(assignment_of(&answer), Some("checkout=v2;reason=rule"));
    }
    assert_eq!(transitions(&edge, 0), [""; 0]);

    // The first failures may reach a verdict together with the others only.
    for _ in 0..10 {
        let answer = edge.get_as(&user, "/?status=500").await?;
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    let line = transition(&edge, 0).await?;
    assert_eq!(
        line,
        "v2 is rolled back to stable: 10 of 25 requests failed, errors.max is 1 %; it stays so \
        until the revision changes"
    );
    // A rule still serves it.
    let answer = edge.raw_get("/", &[TESTER, &user_line]).await?;
    assert_eq!(assignment_of(&answer), Some("checkout=v2;reason=rule"));
    let answer = edge.raw_get("/", &[&user_line]).await?;
    assert_eq!(assignment_of(&answer), Some(TAKEN_BACK));
    Ok(())
}

/// 4xx and 501 say nothing about health: a version that fails is not hidden by one of them per failure.
#[tokio::test]
async fn four_hundreds_between_failures_do_not_hide_them() -> Result<()> {
    let user = canary_user()?;
    for (guardrail, said) in [
        (
            json!({"consecutiveErrors": 5}),
            "5 requests in a row failed",
        ),
        (
            json!({"errors": {"max": 1}, "minRequests": 5}),
            "5 of 5 requests failed",
        ),
    ] {
        let edge = start(&guarded(canary(50.0), guardrail), 1).await?;
        for _ in 0..5 {
            for path in [
                "/?status=404",
                "/?status=429",
                "/?status=501",
                "/?status=500",
            ] {
                edge.get_as(&user, path).await?;
            }
        }
        let line = transition(&edge, 0).await?;
        assert!(line.contains(said), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn grpc_failures_in_trailers_count() -> Result<()> {
    let user = canary_user()?;
    // Those with the statuses 5 and 12 are no evidence.
    let guardrail = json!({"errors": {"max": 1}, "minRequests": 30});
    let edge = start(&guarded(canary(50.0), guardrail), 1).await?;
    let client = Http2::connect(edge.addr).await?;
    for status in ["0", "5", "12", "14"] {
        for _ in 0..10 {
            let headers = [("x-user-id", &*user), ("x-test-grpc-status", status)];
            let answer = client.grpc("/shop.Checkout/Pay", &headers, b"").await?;
            assert_eq!((answer.status, assignment_of(&answer)), (200, Some(CANARY)));
            assert_eq!(answer.trailers["grpc-status"], status);
        }
    }
    assert_eq!(transitions(&edge, 0), [""; 0]);
    // The same header on a response that is not gRPC.
    for _ in 0..10 {
        let path = "/?header=grpc-status:14";
        let plain = request("GET", path, &[("x-user-id", &user)], "")?;
        assert_eq!(assignment_of(&client.send(plain).await?), Some(CANARY));
    }
    let line = transition(&edge, 0).await?;
    assert!(line.contains("10 of 30 requests failed"), "{line}");
    Ok(())
}

#[tokio::test]
async fn slow_uploads_event_streams_and_websockets_are_not_slow_responses() -> Result<()> {
    let user = canary_user()?;
    let latency = json!({"quantile": 0.95, "max": "100ms"});
    // 10 uploads and 15 slow responses.
    let guardrail = json!({"latency": latency, "minRequests": 25});
    let edge = start(&guarded(canary(50.0), guardrail), 1).await?;
    let user_line = format!("x-user-id: {user}");
    for _ in 0..5 {
        slow_upload(&edge, &user).await?;
        slow_upload(&edge, &user).await?;
        closed_websocket(&edge, &user).await?;
        let events = "GET /events?count=1&delay=110ms HTTP/1.1\r\nhost: shop\r\n";
        let events = format!("{events}{user_line}\r\n\r\n");
        let answer = raw(edge.addr, events.as_bytes()).await?;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    for _ in 0..15 {
        let answer = edge.get_as(&user, "/?delay=110ms").await?;
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    let line = transition(&edge, 0).await?;
    assert!(
        line.contains(": 15 of 25 requests took longer than latency.max, 100ms"),
        "{line}"
    );
    Ok(())
}
