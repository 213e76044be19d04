//! Steps that wait for evidence, and gates, in real proxies.

use crate::setup::{Edge, PATIENCE, all_users_get, configuration, rollout};
use anyhow::{Context, Result};
use divvy::policy::Policy;
use divvy_lab::eventually;
use serde_json::{Value, json};

use super::ramps::{ask, share};
use super::{
    CANARY, canary_user, guarded, instant, now, policy, start, transitions, wait_until,
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
    let passed = now()? + 4_000;
    let open = gated(json!([{"gate": "qa", "at": instant(passed)}]));
    for edge in &edges {
        edge.push(&open).await?;
    }
    let library: Policy = policy(&open)?;
    let (mut before, mut after) = (0, 0);
    for number in 0.. {
        let user = format!("user-{number}");
        for edge in &edges {
            // The answer is that of the library by the schedule, to the millisecond.
            if ask(edge, &library, &user).await?.is_some() {
                let is_before = share(&library, now()?)? == 300_000;
                *(if is_before { &mut before } else { &mut after }) += 1;
            }
        }
        if now()? > passed + 1_500 {
            break;
        }
    }
    assert!(
        before > 100 && after > 100,
        "{before} before, {after} after"
    );
    let restarted = start(&open, 2).await?;
    for edge in edges.iter().chain([&restarted]) {
        eventually("the weight behind the gate", PATIENCE, async || {
            (weights(edge).await.ok()? == [400_000, 600_000]).then_some(())
        })
        .await?;
        assert_eq!(transitions(edge, 0), [""; 0]);
    }
    Ok(())
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
