//! Versions that Envoy cannot reach: how many requests fail, when stable serves, and recovery.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::setup::{
    Edge, PATIENCE, Setup, all_users_get, assignment_of, configuration, log_mark, rollout_with,
    served_by,
};
use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use divvy_lab::upstream::Upstream;
use serde_json::{Value, json};

const WORKERS: u32 = 4;
const AWAY: &str = "checkout=v1;reason=unreachable";
const ACTIVE: &str = "checkout=v2;reason=active";

/// An address at which nothing listens.
fn closed() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// A cluster with these hosts.
fn cluster(name: &str, hosts: &[SocketAddr]) -> Value {
    let hosts = hosts.iter().map(|host| {
        let address = json!({"address": host.ip().to_string(), "port_value": host.port()});
        json!({"endpoint": {"address": {"socket_address": address}}})
    });
    let hosts: Vec<_> = hosts.collect();
    let assignment = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]});
    json!({"name": name, "connect_timeout": "1s", "load_assignment": assignment})
}

fn clusters(edge: &mut Bootstrap) -> Result<&mut Vec<Value>> {
    let clusters = edge.json()["static_resources"]["clusters"].as_array_mut();
    clusters.context("the clusters")
}

/// Blue/green to a version with this target, on 4 workers, with further clusters.
async fn start(target: &str, more: &[Value]) -> Result<Edge> {
    let fields =
        json!({"versions": [{"name": "v1", "target": "v1"}, {"name": "v2", "target": target}]});
    let rollout = rollout_with("checkout", all_users_get("v2"), fields);
    let setup = Setup::new(&configuration(&[rollout]))?.workers(WORKERS);
    let setup = setup.bootstrap(|edge| {
        let mut edge = edge.without_access_log()?;
        clusters(&mut edge)?.extend(more.iter().cloned());
        Ok(edge)
    })?;
    setup.start().await
}

/// The log lines about the rollout.
fn lines(edge: &Edge) -> Vec<String> {
    let text = |line: &String| {
        let (_, text) = line.split_once(&log_mark())?;
        Some(text.split_once("rollout checkout: ")?.1.to_owned())
    };
    edge.envoy.log_since(0).iter().filter_map(text).collect()
}

/// Connections of which at least one reaches each worker, with a probability of more than 99.9 %.
fn connections(edge: &Edge) -> Vec<Http1> {
    (0..32).map(|_| Http1::new(edge.addr)).collect()
}

async fn state(edge: &Edge) -> Result<(f64, f64, f64)> {
    let metrics = edge.metrics().await?;
    let get = |name, version| {
        let of = [("divvy_rollout", "checkout"), ("divvy_version", version)];
        metrics
            .get(name, &of)
            .with_context(|| format!("{name} of {version}"))
    };
    let weights = (
        get("divvy_weight_ppm", "v1")?,
        get("divvy_weight_ppm", "v2")?,
    );
    Ok((get("divvy_guardrail_state", "v2")?, weights.0, weights.1))
}

/// Sends requests on connections to all workers until each has found out.
async fn falls_back(
    target: &str,
    more: &[Value],
    headers: &[(&str, &str)],
    limit: usize,
) -> Result<()> {
    let edge = start(target, more).await?;
    let clients = connections(&edge);
    let failed = |answer: &divvy_lab::client::Response| {
        answer.status == 503 || answer.header("grpc-status") == Some("14")
    };
    let mut all = 0;
    let mut tripped = None;
    for client in &clients {
        let mut on_this = 0;
        for _ in 0..limit + 2 {
            let answer = client.get_with("/", headers).await?;
            if failed(&answer) {
                on_this += 1;
                assert_eq!(assignment_of(&answer), Some(ACTIVE));
            } else {
                assert_eq!(answer.status, 200);
                assert_eq!(
                    (assignment_of(&answer), served_by(&answer)),
                    (Some(AWAY), Some("v1"))
                );
                tripped.get_or_insert_with(Instant::now);
            }
        }
        assert!(on_this <= limit, "{on_this} failures on one connection");
        all += on_this;
    }
    let workers = usize::try_from(WORKERS)?;
    assert!((limit..=limit * workers).contains(&all), "{all} failures");
    // One tick later all workers know, and nothing tries for 5 seconds.
    let tripped = tripped.context("stable never served")?;
    eventually("the next tick", PATIENCE, async || {
        (tripped.elapsed() > Duration::from_millis(1_500)).then_some(())
    })
    .await?;
    if tripped.elapsed() < Duration::from_millis(4_500) {
        for client in connections(&edge) {
            let answer = client.get_with("/", headers).await?;
            assert_eq!((answer.status, assignment_of(&answer)), (200, Some(AWAY)));
        }
    }
    eventually("the gauges", PATIENCE, async || {
        (state(&edge).await.ok()? == (3.0, 1e6, 0.0)).then_some(())
    })
    .await?;
    let logged = lines(&edge);
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].starts_with("v2 is unreachable: "), "{logged:#?}");
    println!(
        "{target} {headers:?}: {all} of at most {} requests failed",
        limit * workers
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_cluster_fails_three_requests_per_worker() -> Result<()> {
    falls_back("absent", &[], &[], 3).await
}

#[tokio::test]
async fn a_cluster_without_hosts_fails_three_requests_per_worker() -> Result<()> {
    falls_back("empty", &[cluster("empty", &[])], &[], 3).await
}

#[tokio::test]
async fn a_refused_connection_fails_seven_requests_per_worker() -> Result<()> {
    let refused = cluster("refused", &[closed()?]);
    falls_back("refused", &[refused], &[], 7).await
}

#[tokio::test]
async fn grpc_calls_count_although_envoy_answers_them_with_200() -> Result<()> {
    let grpc = [("content-type", "application/grpc")];
    falls_back("absent", &[], &grpc, 3).await
}

#[tokio::test]
async fn one_request_tries_after_each_pause_and_an_answer_ends_the_outage() -> Result<()> {
    let host = closed()?;
    let edge = start("later", &[cluster("later", &[host])]).await?;
    let clients = connections(&edge);
    // Requests on all workers for the first two pauses, 5 s and 10 s; each failure with its time.
    let mut failures: Vec<Instant> = Vec::new();
    let begun = Instant::now();
    let mut tripped = None;
    'load: loop {
        for client in &clients {
            let sent = Instant::now();
            let answer = client.get("/").await?;
            if answer.status == 503 {
                failures.push(sent);
            } else if tripped.is_none() {
                tripped = Some(sent);
            }
            let since: Option<Duration> = tripped.map(|at| at.elapsed());
            if since.is_some_and(|since| since > Duration::from_millis(17_500)) {
                break 'load;
            }
            ensure!(begun.elapsed() < 4 * PATIENCE, "{failures:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let tripped = tripped.context("stable never served")?;
    // Other workers may fail until their next tick.
    let tries: Vec<_> = failures
        .iter()
        .filter(|at| **at > tripped + Duration::from_millis(2_500))
        .map(|at| at.duration_since(tripped).as_secs_f64())
        .collect();
    let [first, second] = &tries[..] else {
        panic!("{tries:?}");
    };
    assert!(
        (4.5..7.5).contains(first) && (14.5..17.5).contains(second),
        "{tries:?}"
    );
    println!("tries {first:.1} s and {second:.1} s after the trip");
    // The version comes up: within the third pause, 20 s, its users are back without a push.
    let _v2 = Upstream::start_on("v2", host).await?;
    eventually("v2 to serve", Duration::from_secs(30), async || {
        let answer = clients[0].get("/").await.ok()?;
        (assignment_of(&answer) == Some(ACTIVE) && answer.status == 200).then_some(())
    })
    .await?;
    let back = Instant::now();
    eventually("all workers", PATIENCE, async || {
        for client in &clients {
            let answer = client.get("/").await.ok()?;
            if assignment_of(&answer) != Some(ACTIVE) {
                return None;
            }
        }
        Some(())
    })
    .await?;
    println!(
        "all workers {:.1} s after the first",
        back.elapsed().as_secs_f64()
    );
    eventually("the gauges", PATIENCE, async || {
        (state(&edge).await.ok()? == (0.0, 0.0, 1e6)).then_some(())
    })
    .await?;
    let logged = lines(&edge);
    assert_eq!(logged.len(), 2, "{logged:#?}");
    assert_eq!(logged[1], "v2 is reachable again");
    Ok(())
}
