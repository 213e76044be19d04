//! Configurations of more than 50 rollouts: the series of the later ones exist from their first use. The
//! native module adds up what it counts in them until its next tick.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::setup::{
    DURATIONS, Edge, REQUESTS, RESPONSES, Setup, all_users_get, configuration, expect,
    rollout_with, with,
};
use anyhow::{Result, ensure};
use divvy_lab::client::Http1;
use serde_json::{Value, json};

/// Number of pushes under load.
const PUSHES: usize = 20;

fn numbered(number: usize) -> String {
    format!("r{number}")
}

/// Rollouts `r0`, `r1` and so on, each for the path of its number. Later ones than the fiftieth have no
/// series at the start.
fn many_rollouts(count: usize) -> Value {
    let only = |number: usize| json!({"match": [{"path": {"exact": format!("/{number}")}}]});
    let rollouts: Vec<_> = (0..count)
        .map(|number| rollout_with(&numbered(number), all_users_get("v2"), only(number)))
        .collect();
    configuration(&rollouts)
}

#[tokio::test]
async fn beyond_fifty_rollouts_series_exist_from_the_first_request() -> Result<()> {
    let edge = Edge::start(&many_rollouts(52)).await?;
    let known = async || -> Result<BTreeSet<String>> {
        let metrics = edge.metrics().await?;
        let labels = metrics.labels("divvy_requests_total");
        Ok(labels
            .iter()
            .map(|labels| labels["divvy_rollout"].clone())
            .collect())
    };
    let mut expected: BTreeSet<_> = (0..50).map(numbered).collect();
    assert_eq!(known().await?, expected);
    for number in [51, 50, 51, 3] {
        edge.client.get(&format!("/{number}")).await?;
        expected.insert(numbered(number));
        assert_eq!(known().await?, expected);
    }
    let once = [
        (["r3", "v2", "active"], 1),
        (["r50", "v2", "active"], 1),
        (["r51", "v2", "active"], 2),
    ];
    edge.wait_for_counts(REQUESTS, &expect(once)).await
}

/// Waits until the counters of `r51` have this number of requests.
async fn wait_for_counters(edge: &Edge, requests: u64) -> Result<()> {
    let request = expect([(["r51", "v2", "active"], requests)]);
    edge.wait_for_counts(REQUESTS, &request).await?;
    let response = expect([(["r51", "v2", "2xx"], requests)]);
    edge.wait_for_counts(RESPONSES, &response).await
}

#[tokio::test]
async fn no_count_beyond_fifty_rollouts_is_lost_by_a_push() -> Result<()> {
    let edge = Edge::start(&many_rollouts(52)).await?;
    let wait = async |requests: u64| wait_for_counters(&edge, requests).await;
    let ask = async |times: usize| -> Result<()> {
        for _ in 0..times {
            edge.client.get("/51").await?;
        }
        Ok(())
    };
    ask(20).await?;
    wait(20).await?;
    // The native module counts at its ticks; these counts wait for none.
    ask(20).await?;
    edge.put(&many_rollouts(53)).await?;
    ask(20).await?;
    wait(60).await?;
    ask(20).await?;
    edge.put(&many_rollouts(1)).await?;
    wait(80).await
}

/// While requests come, the histogram goes on as well.
#[tokio::test]
async fn no_count_beyond_fifty_rollouts_is_lost_by_pushes_under_load() -> Result<()> {
    let setup = Setup::new(&many_rollouts(52))?.workers(3);
    let edge = setup
        .bootstrap(|edge| edge.without_access_log())?
        .start()
        .await?;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, done) = (Http1::new(edge.addr), Arc::clone(&done));
            tokio::spawn(async move {
                let mut requests = 0;
                while !done.load(Ordering::SeqCst) {
                    let answer = client.get("/51").await?;
                    ensure!(answer.status == 200, "{}", answer.status);
                    requests += 1;
                }
                Ok(requests)
            })
        })
        .collect();
    for push in 0..PUSHES {
        let version = json!({"version": push.to_string()});
        edge.put(&with(many_rollouts(52), version)).await?;
    }
    done.store(true, Ordering::SeqCst);
    let mut requests = 0;
    for client in clients {
        requests += client.await??;
    }
    ensure!(requests > 100, "{requests} requests alone");
    wait_for_counters(&edge, requests).await?;
    let durations = expect([(["r51", "v2"], requests)]);
    edge.wait_for_counts(DURATIONS, &durations).await
}
