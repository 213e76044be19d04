//! Steps that wait for evidence, and gates, in real proxies.

use std::collections::BTreeSet;

use crate::setup::{Edge, PATIENCE, all_users_get, configuration, rollout};
use anyhow::{Context, Result, ensure};
use divvy::policy::Policy;
use divvy_lab::eventually;
use serde_json::{Value, json};

use super::ramps::{At, ask};
use super::{
    CANARY, canary_user, decided, guarded, instant, now, policy, start, transitions, wait_until,
    wait_until_all_workers_respond, weights,
};

/// A canary with its first step at `begin`.
fn stepped(begin: u64, steps: Value, passed: Value, min_requests: u32) -> Value {
    let canary = json!({
        "version": "v2", "start": instant(begin), "steps": steps, "passed": passed,
    });
    let guardrail = json!({"errors": {"max": 1}, "minRequests": min_requests});
    guarded(json!({"canary": canary}), guardrail)
}

/// The gauge `divvy_step_waiting`.
async fn waiting(edge: &Edge) -> Result<f64> {
    let of = [("divvy_rollout", "checkout")];
    let waiting = edge.metrics().await?.get("divvy_step_waiting", &of);
    waiting.context("no divvy_step_waiting")
}

#[tokio::test]
async fn a_gate_is_passed_at_its_instant_in_both_proxies_and_a_restart_changes_nothing()
-> Result<()> {
    // A machine that is too slow to ask all users before the instant gets more time.
    for delay in [4_000, 16_000, 64_000] {
        if is_passed_after(delay).await? {
            return Ok(());
        }
    }
    anyhow::bail!("no delay was long enough to ask all users before the instant")
}

/// The test with a gate that is passed this number of milliseconds after its configuration was written. Returns whether
/// both proxies were asked for all users before the instant, the first half of what the test shows.
async fn is_passed_after(delay: u64) -> Result<bool> {
    let begin = now()? - 60_000;
    let gated = |passed| {
        let steps = json!([
            {"weight": 10, "hold": "1s"}, {"weight": 30, "gate": "qa"},
            {"weight": 60, "hold": "1h"}, {"weight": 100},
        ]);
        stepped(begin, steps, passed, 20)
    };
    let closed = gated(json!([]));
    let edges = [start(&closed, 2).await?, start(&closed, 2).await?];
    for edge in &edges {
        assert_eq!(weights(edge).await?, [700_000, 300_000]);
    }
    let passed = now()? + delay;
    let open = gated(json!([{"gate": "qa", "at": instant(passed)}]));
    for edge in &edges {
        edge.push(&open).await?;
    }
    let library: Policy = policy(&open)?;
    // Users whose version changes at the instant.
    let before = |user: &String| decided(&library, user, &At(passed - 1));
    let after = |user: &String| decided(&library, user, &At(passed));
    let users = (0..).map(|number| format!("user-{number}"));
    let users: Vec<_> = users
        .filter(|user| before(user) != after(user))
        .take(50)
        .collect();
    let all = users.len() * edges.len();
    let (mut seen_before, mut seen_after) = (BTreeSet::new(), BTreeSet::new());
    while seen_after.len() < all {
        ensure!(now()? < passed + 60_000, "{} users", seen_after.len());
        for (number, edge) in edges.iter().enumerate() {
            for user in &users {
                // The answer is that of the library by the schedule, to the millisecond.
                if let Some(answer) = ask(edge, &library, user).await? {
                    let is_before = answer == before(user);
                    let seen = if is_before {
                        &mut seen_before
                    } else {
                        &mut seen_after
                    };
                    seen.insert((number, user));
                }
            }
        }
        if seen_before.len() == all {
            wait_until(passed - 100).await?;
        }
    }
    let restarted = start(&open, 2).await?;
    for edge in edges.iter().chain([&restarted]) {
        eventually("the weight behind the gate", PATIENCE, async || {
            (weights(edge).await.ok()? == [400_000, 600_000]).then_some(())
        })
        .await?;
        assert_eq!(transitions(edge, 0), [""; 0]);
    }
    Ok(seen_before.len() == all)
}

#[tokio::test]
async fn a_step_without_evidence_waits_and_says_so() -> Result<()> {
    let user = canary_user()?;
    let before = configuration(&[rollout("checkout", all_users_get("v1"))]);
    let edge = start(&before, 2).await?;
    let begin = now()? + 500;
    let steps = json!([{"weight": 10, "hold": "4s"}, {"weight": 60}]);
    edge.put(&stepped(begin, steps, json!([]), 200)).await?;
    wait_until_all_workers_respond(&edge, &user, CANARY).await?;
    wait_until(begin + 4_000).await?;
    eventually("divvy_step_waiting", PATIENCE, async || {
        (waiting(&edge).await.ok()? == 1.0).then_some(())
    })
    .await?;
    assert_eq!(weights(&edge).await?, [900_000, 100_000]);
    let lines = transitions(&edge, 0);
    let [line] = lines.as_slice() else {
        anyhow::bail!("not one line: {lines:?}");
    };
    assert!(
        line.starts_with("v2 waits at 10 % for evidence: "),
        "{line}"
    );
    assert!(
        line.ends_with(" of 200 requests since the step began"),
        "{line}"
    );
    for _ in 0..200 {
        edge.get_as(&user, "/").await?;
    }
    eventually("the next step", PATIENCE, async || {
        (weights(&edge).await.ok()? == [400_000, 600_000]).then_some(())
    })
    .await?;
    let line = &transitions(&edge, 0)[1];
    assert_eq!(line, "v2 has the scheduled weight again, 60 %");
    eventually("no divvy_step_waiting", PATIENCE, async || {
        (waiting(&edge).await.ok()? == 0.0).then_some(())
    })
    .await
}
