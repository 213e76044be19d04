//! Exact counts: each request is counted once, during ticks, pushes and verdicts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::setup::{
    PATIENCE, REQUESTS, assignment_of, canary, configuration, expect, rollout_with, soak, with,
    without,
};
use anyhow::{Context, Result, ensure};
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::{Value, json};

use super::{start, transitions};

const CLIENTS: u64 = 40;

/// `checkout` serves half of the users v2 and has this guardrail. `tags` decides about the same
/// requests and changes its verdict all the time.
fn both(guardrail: Value) -> Value {
    let checkout = json!({"revision": "1", "guardrail": guardrail});
    let falls = json!({
        "guardrail": {"errors": {"max": 0.1, "window": "1s"}, "recoverAfter": "1s"},
    });
    let tags = rollout_with("tags", canary(50.0), falls);
    configuration(&[
        rollout_with("checkout", canary(50.0), checkout),
        without(tags, "target"),
    ])
}

/// Sends requests; returns the number that v2 served and the number of failures.
async fn client(client: u64, http: Http1, each: u64, done: Arc<AtomicU64>) -> Result<[u64; 2]> {
    let mut counted = [0; 2];
    for number in 0..each {
        let user = format!("user-{client}-{number}");
        let answer = http.get_with("/", &[("x-user-id", user)]).await?;
        let assignment = assignment_of(&answer).context("the response has no assignment")?;
        if assignment.starts_with("checkout=v2;reason=split") {
            counted[0] += 1;
            counted[1] += u64::from(answer.status == 503);
        } else {
            ensure!(
                assignment.starts_with("checkout=v1;reason=split"),
                "{assignment}"
            );
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    Ok(counted)
}

/// The long version sends 100,000 requests.
#[tokio::test]
async fn four_workers_count_every_request_during_ticks_pushes_and_verdicts() -> Result<()> {
    let each = if soak() { 2_500 } else { 500 };
    let all = CLIENTS * each;
    // No error rate is above 100 %.
    let first = both(json!({"errors": {"max": 100, "window": "1h"}}));
    let edge = start(&first, 4).await?;
    edge.upstreams.get("v2").context("v2")?.behave(Behaviour {
        error_percent: 5.0,
        ..Behaviour::default()
    });
    let done = Arc::new(AtomicU64::new(0));
    let running: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let http = Http1::new(edge.addr);
            tokio::spawn(client(number, http, each, Arc::clone(&done)))
        })
        .collect();
    // New configurations, and some that return.
    let mut pushes = 0;
    while running.iter().any(|client| !client.is_finished()) {
        let version = json!({"version": (pushes % 5).to_string()});
        edge.put(&with(first.clone(), version)).await?;
        pushes += 1;
        let before = done.load(Ordering::SeqCst);
        eventually("requests after the push", PATIENCE, async || {
            let now = done.load(Ordering::SeqCst);
            (now == all || now >= before + 500).then_some(())
        })
        .await?;
    }
    let (mut served, mut failed) = (0, 0);
    for client in running {
        let [by_v2, of_them] = client.await??;
        served += by_v2;
        failed += of_them;
    }

    let mut requests = edge.counts(REQUESTS).await?;
    let (tags, checkout) = {
        let tags: u64 = (requests.iter())
            .filter(|(labels, _)| labels[0] == "tags")
            .map(|(_, count)| *count)
            .sum();
        requests.retain(|labels, _| labels[0] == "checkout");
        (tags, requests)
    };
    let expected = expect([
        (["checkout", "v1", "split"], all - served),
        (["checkout", "v2", "split"], served),
    ]);
    assert_eq!(checkout, expected);
    assert_eq!(tags, all);

    // The guardrail logs its counts when it has as many requests as v2 served.
    let limit = json!({"max": 0.0001, "window": "1h"});
    edge.put(&both(json!({
        "errors": limit, "minRequests": served, "onBreach": "observe",
    })))
    .await?;
    // A configuration without requests does not judge. This request has no identity, so it is not
    // counted.
    edge.client.get("/").await?;
    let line = eventually("the guardrail's counts", PATIENCE, async || {
        transitions(&edge, 0).into_iter().next()
    })
    .await?;
    assert_eq!(
        line,
        format!(
            "v2 breaches its guardrail: {failed} of {served} requests failed, errors.max is \
            0.0001 %; nothing happens, onBreach is observe"
        )
    );
    let said = edge.envoy.log();
    let verdicts = said.iter().filter(|line| {
        line.contains("rollout tags: v2 is rolled back") || line.contains("rollout tags: v2 is tr")
    });
    let verdicts = verdicts.count();
    println!("{all} requests, {served} of them to v2, {pushes} pushes, {verdicts} verdicts");
    assert!(pushes >= 5 && verdicts >= 2, "{pushes} {verdicts}");
    Ok(())
}
