//! Many requests in bounded loops: each is answered, and the memory of Envoy stays flat.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::process::memory as memory_of;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::number;

const CONNECTIONS: usize = 16;
/// The parts of the load after each of which the memory is read. The first one fills pools and caches.
const PARTS: usize = 5;
/// Growth of resident memory from the first part to the last, in KiB. A byte per request would be
/// 800 KiB of a million.
const GROWTH: u64 = 512;

/// All callbacks and host calls of a request: identities, minted and sticky cookies, a guardrail, a
/// mirror, exposed headers, an A/B test.
fn configuration() -> Value {
    let versions = json!([{"name": "v1"}, {"name": "v2"}]);
    json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "headers": {
            "route": "x-divvy-route", "assignment": "x-divvy-assignment",
            "mirror": "x-divvy-mirror", "unit": "x-divvy-unit", "baggage": "divvy",
        },
        "responseHeader": "x-divvy-version",
        "rollouts": [{
            "name": "checkout", "target": "{version}", "versions": versions, "stable": "v1",
            "rules": [{"name": "testers", "when": {"header": "x-canary", "exact": "true"}, "use": "v2"}],
            "strategy": {"canary": {"version": "v2", "weight": 20}},
            "sticky": {"cookie": "sticky", "maxAge": "1h"},
            "guardrail": {"errors": {"max": 50}, "onBreach": "observe"},
            "mirror": {"version": "v2", "percent": 10, "methods": ["GET"]},
            "expose": {"group": "x-group", "id": "x-group-id", "response": true},
        }, {
            "name": "page", "versions": versions, "stable": "v1",
            "strategy": {"abTest": {"split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]}},
        }],
    })
}

/// Sends `count` requests on one connection, each as another user, one in four without an identity. One
/// after the other: Envoy closes a connection with further requests behind a direct response.
async fn client(addr: SocketAddr, count: usize, first: usize) -> Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut answer = Vec::new();
    for nth in first..first + count {
        let user = match nth % 4 {
            0 => "x-canary: true".to_owned(),
            _ => format!("x-user-id: user-{nth}"),
        };
        let request = format!("GET /checkout?a=b HTTP/1.1\r\nhost: shop\r\n{user}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "closed");
        }
        let text = || String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", text());
        let decided = find(&answer, b"x-divvy-version: checkout=").is_some();
        ensure!(decided, "{}", text());
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// `LOAD_REQUESTS=1000000`
#[tokio::test]
async fn no_request_fails_and_the_memory_stays_flat() -> Result<()> {
    let plugin = Plugin::load("envoy/plugin.yaml")?
        .with_build(Build::Module)
        .with_configuration(&configuration().to_string());
    let mut edge = Bootstrap::load("envoy/edge.yaml")?
        .without_access_log()?
        .with_plugin(plugin);
    for manager in edge.connection_managers()? {
        let host = &mut manager["route_config"]["virtual_hosts"][0];
        host["routes"] = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]);
    }
    let options = Options {
        build: Build::Module,
        ..Options::default()
    };
    let envoy = Envoy::start(&Binary::find()?, &edge, &options).await?;
    let addr = envoy.listener("edge").await?;
    let each = number("LOAD_REQUESTS", 100_000)? / PARTS / CONNECTIONS;
    let mut memory = Vec::new();
    for part in 0..PARTS {
        let clients = (0..CONNECTIONS).map(|nth| {
            let first = (part * CONNECTIONS + nth) * each;
            tokio::spawn(client(addr, each, first))
        });
        for client in clients.collect::<Vec<_>>() {
            let log = || envoy.log().split_off(envoy.log_mark().saturating_sub(20));
            client.await?.with_context(|| log().join("\n"))?;
        }
        memory.push(memory_of(envoy.pid())?);
    }
    println!(
        "{} requests, memory in KiB: {memory:?}",
        each * PARTS * CONNECTIONS
    );
    let counted = envoy.prometheus().await?;
    let decided = counted.sum("divvy_requests_total", &[("divvy_rollout", "checkout")]);
    ensure!(
        decided == (each * PARTS * CONNECTIONS) as f64,
        "{decided} decisions were counted"
    );
    let growth = memory[PARTS - 1].saturating_sub(memory[0]);
    ensure!(growth <= GROWTH, "{memory:?}");
    Ok(())
}
