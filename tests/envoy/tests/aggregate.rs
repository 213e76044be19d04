//! `envoy/aggregate.yaml`: Envoy itself continues with v1 while v2 is unreachable. Which requests never fail, and which
//! may.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::setup::{Edge, PATIENCE, REQUESTS, Setup, assignment_of, served_by};
use anyhow::{Context, Result, ensure};
use divvy_lab::client::{Http1, Response, request};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::upstream::{Behaviour, Upstream};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ACTIVE: &str = "checkout=v2;reason=active";

/// A free port.
fn free() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// The shipped edge with blue/green to v2, and with the clusters and routes of the file. v2 is at `host`.
async fn start(host: SocketAddr) -> Result<Edge> {
    let read = |path: &str| -> Result<Value> {
        let text = fs::read_to_string(workspace_root().join(path))?;
        Ok(serde_json::from_str(&from_yaml_or_json(&text)?)?)
    };
    let mut file = read("envoy/aggregate.yaml")?;
    let taken = |list: &mut Value| list.as_array_mut().map(std::mem::take).context("a list");
    let (routes, mut own) = (taken(&mut file["routes"])?, taken(&mut file["clusters"])?);
    let setup = Setup::new(&read("envoy/examples/unreachable.yaml")?)?.workers(4);
    let setup = setup.bootstrap(|mut edge| {
        for manager in edge.connection_managers()? {
            let all = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut();
            let all = all.context("routes")?;
            ensure!(all[0]["name"] == "decided", "{}", all[0]);
            all.splice(..1, routes.iter().cloned());
            let format = &mut manager["access_log"][0]["typed_config"]["log_format"];
            format["json_format"]["host"] = json!("%UPSTREAM_HOST%");
        }
        Ok(edge)
    })?;
    let edge = setup.start_with(|edge| {
        let clusters = edge.json()["static_resources"]["clusters"].as_array_mut();
        let clusters = clusters.context("clusters")?;
        clusters.retain(|cluster| cluster["name"] != "v2");
        let hosts = &mut own[1]["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
        hosts["endpoint"]["address"]["socket_address"]["port_value"] = json!(host.port());
        clusters.append(&mut own);
        Ok(())
    });
    edge.await
}

async fn send(client: &Http1, method: &str, body: &[u8]) -> Result<Response> {
    let none: [(&str, &str); 0] = [];
    let answer = client.send(request(method, "/", &none, body.to_vec())?);
    answer.await
}

/// Number of requests that v1 has received.
fn by_v1(edge: &Edge) -> Result<u64> {
    Ok(edge.upstreams.get("v1").context("v1")?.requests())
}

#[tokio::test]
async fn no_read_fails_while_v2_ends_and_no_request_at_all_while_it_is_away() -> Result<()> {
    for starts in [true, false] {
        let host = free()?;
        let mut v2 = None;
        if starts {
            v2 = Some(Upstream::start_on("v2", host).await?);
        }
        let edge = start(host).await?;
        let clients: Vec<_> = (0..32).map(|_| Http1::new(edge.addr)).collect();
        let mut versions = [0, 0];
        for number in 0..500 {
            // v2 ends while requests are sent.
            if number == 100
                && let Some(v2) = v2.take()
            {
                v2.stop().await;
            }
            let client = &clients[number % clients.len()];
            let answer = match starts {
                true => send(client, "GET", b"").await?,
                false => send(client, "POST", b"a body").await?,
            };
            assert_eq!(answer.status, 200, "request {number}");
            assert_eq!(assignment_of(&answer), Some(ACTIVE));
            versions[usize::from(served_by(&answer) == Some("v2"))] += 1;
        }
        assert_eq!(versions[1] > 0, starts, "{versions:?}");
        assert!(versions[0] >= 400, "{versions:?}");
        let requests = edge.counts(REQUESTS).await?;
        assert_eq!(requests.values().sum::<u64>(), 500);
        println!("0 of 500 failed; served by v1 and v2: {versions:?}");
    }
    Ok(())
}

#[tokio::test]
async fn at_the_instant_when_v2_closes_its_connections_a_read_succeeds_and_a_write_fails()
-> Result<()> {
    for (method, status, reached_v1) in [("GET", "200", 1), ("POST", "503", 0)] {
        let host = free()?;
        let v2 = Upstream::start_on("v2", host).await?;
        let edge = start(host).await?;
        let mut client = TcpStream::connect(edge.addr).await?;
        let bytes = format!("{method} / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n");
        let mut answers = Vec::new();
        let mut v2 = Some(v2);
        for _ in 0..2 {
            if answers.is_empty() {
                client.write_all(bytes.as_bytes()).await?;
            } else {
                // Envoy reads the request, writes it to its pooled connection, and then reads that v2 closed this.
                let close = async {
                    client.write_all(bytes.as_bytes()).await?;
                    v2.take().context("v2")?.stop().await;
                    anyhow::Ok(())
                };
                edge.envoy.paused(close).await?;
            }
            let mut buffer = vec![0; 10_000];
            let read = client.read(&mut buffer).await?;
            answers.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
        }
        let of = |answer: &str| format!("HTTP/1.1 {answer} ");
        assert!(answers[0].starts_with(&of("200")), "{answers:?}");
        assert!(answers[1].starts_with(&of(status)), "{answers:?}");
        assert_eq!(by_v1(&edge)?, reached_v1);
        let lines = edge.envoy.stop().await;
        let flag = format!(r#""flags":"{}""#, if status == "503" { "UC" } else { "-" });
        let last = lines.iter().rfind(|line| line.starts_with('{'));
        assert!(last.context("a line")?.contains(&flag), "{lines:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_v2_has_received_is_sent_to_v1_only_if_it_reads() -> Result<()> {
    let host = free()?;
    let v2 = Upstream::start_on("v2", host).await?;
    let edge = start(host).await?;
    v2.behave(Behaviour {
        reset_percent: 100.0,
        ..Behaviour::default()
    });
    let (mut at_v1, mut at_v2) = (0, 0);
    for method in ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"] {
        let answer = send(&edge.client, method, b"").await?;
        let reads = ["GET", "HEAD", "OPTIONS"].contains(&method);
        at_v1 += u64::from(reads);
        at_v2 += 1;
        assert_eq!(answer.status, if reads { 200 } else { 503 }, "{method}");
        assert_eq!((by_v1(&edge)?, v2.requests()), (at_v1, at_v2), "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn the_access_log_has_the_host_that_answered_but_not_its_cluster() -> Result<()> {
    let edge = start(free()?).await?;
    assert_eq!(served_by(&edge.client.get("/").await?), Some("v1"));
    let v1 = edge.upstreams.get("v1").context("v1")?.addr();
    let lines = edge.envoy.stop().await;
    let line = lines.iter().find(|line| line.starts_with('{'));
    let line: Value = serde_json::from_str(line.context("a line")?)?;
    assert_eq!(line["cluster"], "v2");
    assert_eq!(line["host"], v1.to_string());
    Ok(())
}

/// Before, Envoy would have to keep the whole body for a second try.
#[tokio::test]
async fn a_body_above_the_buffer_limit_is_served_once_a_health_check_has_noticed() -> Result<()> {
    const HEALTHY: &str = "cluster.v2-hosts.membership_healthy";
    let host = free()?;
    let v2 = Upstream::start_on("v2", host).await?;
    let edge = start(host).await?;
    let body = vec![b'x'; 1_000_000];
    let mut v2 = Some(v2);
    for (version, healthy) in [("v2", 1), ("v1", 0)] {
        eventually("a health check", PATIENCE, async || {
            let stats = edge.envoy.stats(HEALTHY).await.ok()?;
            (stats.get(HEALTHY) == Some(&healthy)).then_some(())
        })
        .await?;
        for _ in 0..10 {
            let answer = send(&edge.client, "POST", &body).await?;
            assert_eq!((answer.status, served_by(&answer)), (200, Some(version)));
        }
        if let Some(v2) = v2.take() {
            v2.stop().await;
        }
    }
    Ok(())
}
