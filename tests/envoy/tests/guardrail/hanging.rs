//! Versions that accept requests and then send nothing, and clients that do not read.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    Edge, HEALTHY, PATIENCE as TEST_TIMEOUT, ROLLED_BACK, Setup, Upload, canary_user, guarded, now,
    standing, start, transition, transitions, wait_until,
};
use crate::setup::{all_users_get, assignment_of};

/// The patience of the guardrails of these tests.
const PATIENCE: Duration = Duration::from_secs(2);

/// A GET of this user, whose response is not read.
async fn open(edge: &Edge, user: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(edge.addr).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// 20 requests per second to a version that turns bad, from clients that wait.
#[tokio::test]
async fn a_version_that_hangs_is_rolled_back_within_patience_and_5_seconds() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"errors": {"max": 1}, "patience": "2s"});
    let edge = start(&guarded(all_users_get("v2"), guardrail), 2).await?;
    let v2 = edge.upstreams.get("v2").context("v2")?;
    for _ in 0..30 {
        assert_eq!(edge.get_as(&user, "/").await?.status, 200);
    }
    v2.behave(Behaviour {
        delay: Duration::from_mins(2),
        ..Behaviour::default()
    });
    let turned = Instant::now();
    let mut waiting = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while standing(&edge).await? != ROLLED_BACK {
        pace.tick().await;
        waiting.push(open(&edge, &user, "/").await?);
        assert!(turned.elapsed() < PATIENCE + Duration::from_secs(15));
    }
    let took = turned.elapsed();
    println!(
        "rolled back after {took:.1?}, patience {PATIENCE:?}, {} requests",
        waiting.len()
    );
    assert!(took < PATIENCE + Duration::from_secs(5), "{took:?}");
    // The other worker reads the verdict at its next tick; until then its users still wait for v2.
    let lines = [format!("x-user-id: {user}")];
    eventually("both workers to serve stable", TEST_TIMEOUT, async || {
        for _ in 0..8 {
            let answer = tokio::time::timeout(PATIENCE, edge.raw_get("/", &lines));
            let answer = answer.await.ok()?.ok()?;
            (answer.status == 200).then_some(())?;
        }
        Some(())
    })
    .await
}

#[tokio::test]
async fn open_streams_that_hang_count_once() -> Result<()> {
    let user = canary_user()?;
    for path in ["/?delay=2m", "/?body-delay=2m&size=16000"] {
        let guardrail = json!({"errors": {"max": 1}, "minRequests": 11, "patience": "2s"});
        let edge = start(&guarded(all_users_get("v2"), guardrail), 1).await?;
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.push(open(&edge, &user, path).await?);
        }
        wait_until(now()? + 5_000).await?;
        drop(waiting);
        // Ten failures do not suffice, even if each ended in the meantime.
        wait_until(now()? + 1_500).await?;
        assert_eq!(transitions(&edge, 0), [""; 0], "{path}");
        edge.get_as(&user, "/").await?;
        let line = transition(&edge, 0).await?;
        assert!(line.contains("10 of 11 requests failed"), "{path}: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn clients_that_leave_early_make_slow_requests_and_no_errors() -> Result<()> {
    let user = canary_user()?;
    let left = async |edge: &Edge| {
        for _ in 0..6 {
            let stream = open(edge, &user, "/?delay=2m").await?;
            wait_until(now()? + 150).await?;
            drop(stream);
        }
        anyhow::Ok(())
    };
    let guardrail = json!({"errors": {"max": 1}, "consecutiveErrors": 3, "minRequests": 5});
    let edge = start(&guarded(all_users_get("v2"), guardrail), 1).await?;
    left(&edge).await?;
    assert_eq!(transitions(&edge, 0), [""; 0]);

    let latency = json!({"quantile": 0.95, "max": "100ms"});
    let guardrail = json!({"latency": latency, "minRequests": 6});
    let edge = start(&guarded(all_users_get("v2"), guardrail), 1).await?;
    left(&edge).await?;
    let line = transition(&edge, 0).await?;
    assert!(line.contains("6 of 6 requests took longer"), "{line}");
    Ok(())
}

/// With the timeout of a route, Envoy ends these responses with UT, a flag of the upstream.
#[tokio::test]
async fn clients_that_do_not_read_are_not_failures() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"consecutiveErrors": 3, "patience": "1s"});
    let edge = Setup::new(&guarded(all_users_get("v2"), guardrail))?
        .workers(1)
        .bootstrap(|mut edge| {
            for manager in edge.connection_managers()? {
                let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
                for route in routes.as_array_mut().context("routes")? {
                    route["route"]["timeout"] = json!("2s");
                }
            }
            Ok(edge)
        })?
        .start()
        .await?;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let mut stream = socket.connect(edge.addr).await?;
        let head =
            format!("GET /?size=30000000 HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        idle.push(stream);
    }
    eventually("timeouts of the route", TEST_TIMEOUT, async || {
        let log = edge.envoy.access_log();
        (log.iter().filter(|line| line.contains("\"UT\"")).count() == 4).then_some(())
    })
    .await?;
    wait_until(now()? + 1_500).await?;
    assert_eq!(standing(&edge).await?, HEALTHY);
    // The same timeout before the headers, and in a short body, is the version's failure.
    for path in ["/?delay=2m", "/?body-delay=2m&size=100", "/?delay=2m"] {
        let mut stream = open(&edge, &user, path).await?;
        let mut received = Vec::new();
        let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut received)).await;
    }
    transition(&edge, 0).await?;
    Ok(())
}

#[tokio::test]
async fn streams_that_may_pause_and_uploads_do_not_hang() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"consecutiveErrors": 1, "patience": "1s"});
    let edge = start(&guarded(all_users_get("v2"), guardrail), 1).await?;
    let events = open(&edge, &user, "/events?count=2&interval=1m").await?;
    let mut socket = TcpStream::connect(edge.addr).await?;
    let handshake = divvy_lab::client::websocket_handshake("/feed", &user);
    socket.write_all(handshake.as_bytes()).await?;
    let upload = Upload::begin(&edge, &user, "/", "v2").await?;
    wait_until(now()? + 4_000).await?;
    assert_eq!(standing(&edge).await?, HEALTHY);
    assert!(upload.end().await?.starts_with("HTTP/1.1 200 "));
    drop((events, socket));
    wait_until(now()? + 1_500).await?;
    assert_eq!(standing(&edge).await?, HEALTHY);
    assert_eq!(
        assignment_of(&edge.get_as(&user, "/").await?),
        Some("checkout=v2;reason=active")
    );
    Ok(())
}
