//! The end of a verdict, and verdicts other than a rollback.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::setup::{PATIENCE, all_users_get, assignment_of, canary, configuration, rollout};
use anyhow::Result;
use divvy::request::Empty;
use divvy_lab::eventually;
use serde_json::{Value, json};

use super::{
    CANARY, FROZEN, HEALTHY, TAKEN_BACK, all_workers_respond, assignments_of_all_workers,
    canary_user, changed, decided, fail_three_times, guarded, instant, now, policy, standing,
    start, transition, transitions, wait_until, wait_until_all_workers_respond, weights,
};

/// Ticks come every second; a busy machine may be late.
const TICK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_new_revision_ends_a_verdict_at_once() -> Result<()> {
    let user = canary_user()?;
    let first = guarded(canary(50.0), json!({"consecutiveErrors": 3}));
    let edge = start(&first, 2).await?;
    fail_three_times(&edge, &user).await?;
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await?;
    edge.put(&changed(first, json!({"revision": "2"}))).await?;
    assert!(all_workers_respond(&edge, &user, CANARY).await?);
    assert_eq!(standing(&edge).await?, HEALTHY);
    assert_eq!(weights(&edge).await?, [500_000, 500_000]);
    // It trips again.
    fail_three_times(&edge, &user).await?;
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await
}

#[tokio::test]
async fn a_version_recovers_after_a_time_that_doubles() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"consecutiveErrors": 3, "recoverAfter": "1s"});
    let edge = start(&guarded(canary(50.0), guardrail), 2).await?;
    for seconds in [1, 2] {
        let wait = Duration::from_secs(seconds);
        let begun = Instant::now();
        let line = fail_three_times(&edge, &user).await?;
        let end = format!("consecutiveErrors; it is tried again in {seconds}s");
        assert!(line.ends_with(&end), "{line}");
        let tripped = Instant::now();
        let mark = edge.envoy.log_mark();
        assert_eq!(transition(&edge, mark).await?, "v2 is tried again");
        assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
        assert!(tripped.elapsed() < wait + TICK, "{:?}", tripped.elapsed());
        wait_until_all_workers_respond(&edge, &user, CANARY).await?;
        assert_eq!(standing(&edge).await?, HEALTHY);
        assert_eq!(weights(&edge).await?, [500_000, 500_000]);
    }
    let line = fail_three_times(&edge, &user).await?;
    assert!(line.ends_with("it is tried again in 4s"), "{line}");
    Ok(())
}

#[tokio::test]
async fn with_observe_a_breach_is_only_logged() -> Result<()> {
    let user = canary_user()?;
    let errors = json!({"max": 50, "window": "1s"});
    let guardrail = json!({"errors": errors, "minRequests": 20, "onBreach": "observe"});
    let edge = start(&guarded(canary(50.0), guardrail), 2).await?;
    for _ in 0..20 {
        edge.get_as(&user, "/?status=503").await?;
    }
    assert_eq!(
        transition(&edge, 0).await?,
        "v2 breaches its guardrail: 20 of 20 requests failed, errors.max is 50 %; nothing \
        happens, onBreach is observe"
    );
    assert!(all_workers_respond(&edge, &user, CANARY).await?);
    assert_eq!(standing(&edge).await?, HEALTHY);
    assert_eq!(weights(&edge).await?, [500_000, 500_000]);
    // The window stretches up to ten seconds if it has too few requests: successes make it short.
    let settled = async || {
        edge.get_as(&user, "/").await.ok()?;
        transitions(&edge, 0).into_iter().nth(1)
    };
    let line = eventually("the breach to be over", PATIENCE, settled).await?;
    assert_eq!(line, "v2 is within its guardrail again");
    Ok(())
}

/// A canary that starts with 10 % at `start` and grows every two seconds.
fn ramp(start: u64) -> Value {
    let steps = json!([
        {"weight": 10, "hold": "2s"},
        {"weight": 60, "hold": "2s"},
        {"weight": 100},
    ]);
    json!({"canary": {"version": "v2", "start": instant(start), "steps": steps}})
}

#[tokio::test]
async fn a_frozen_ramp_continues_step_by_step() -> Result<()> {
    let user = canary_user()?;
    let edge = start(
        &configuration(&[rollout("checkout", all_users_get("v1"))]),
        2,
    )
    .await?;
    let guardrail = json!({
        "consecutiveErrors": 3, "onBreach": "freeze", "recoverAfter": "3s", "evidence": false,
    });
    let begin = now()? + 500;
    edge.put(&guarded(ramp(begin), guardrail)).await?;
    wait_until_all_workers_respond(&edge, &user, CANARY).await?;
    assert_eq!(
        fail_three_times(&edge, &user).await?,
        "v2 is frozen at 10 %: 3 requests in a row failed, consecutiveErrors; it goes on in 3s"
    );
    let mark = edge.envoy.log_mark();
    // By the clock it would have 60 %.
    wait_until(begin + 2_000 + 200).await?;
    assert_eq!(standing(&edge).await?, FROZEN);
    assert_eq!(weights(&edge).await?, [900_000, 100_000]);
    let tenth = policy(&guarded(canary(10.0), json!({"consecutiveErrors": 3})))?;
    for number in 0..100 {
        let user = format!("user-{number}");
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(
            assignment_of(&answer),
            Some(&*decided(&tenth, &user, &Empty))
        );
    }
    assert_eq!(transitions(&edge, mark), [""; 0], "it went on too early");

    let line = transition(&edge, mark).await?;
    assert_eq!(line, "v2 goes on from 10 %, one step per hold");
    let thawed = Instant::now();
    assert_eq!(weights(&edge).await?, [900_000, 100_000]);
    eventually("the next step", PATIENCE, async || {
        (weights(&edge).await.ok()? == [400_000, 600_000]).then_some(())
    })
    .await?;
    let took = thawed.elapsed();
    let hold = Duration::from_secs(2);
    assert!(took < hold + TICK, "{took:?}");
    assert_eq!(standing(&edge).await?, HEALTHY);
    Ok(())
}

#[tokio::test]
async fn after_a_rollback_a_ramp_restarts_with_its_first_step() -> Result<()> {
    let user = canary_user()?;
    let guardrail = json!({"consecutiveErrors": 3, "recoverAfter": "1s", "evidence": false});
    // By the clock it would have 100 %.
    let edge = start(&guarded(ramp(now()? - 3_600_000), guardrail), 2).await?;
    assert_eq!(weights(&edge).await?, [0, 1_000_000]);
    fail_three_times(&edge, &user).await?;
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await?;
    let line = eventually("the second line", PATIENCE, async || {
        transitions(&edge, 0).into_iter().nth(1)
    });
    assert_eq!(line.await?, "v2 is tried again, from the first step, 10 %");
    let seen = RefCell::new(Vec::new());
    eventually("the last step", PATIENCE, async || {
        let weights = weights(&edge).await.ok()?;
        seen.borrow_mut().push(weights[1]);
        (weights[1] == 1_000_000).then_some(())
    })
    .await?;
    let mut steps = seen.into_inner();
    steps.dedup();
    steps.retain(|weight| *weight > 0);
    assert_eq!(steps, [100_000, 600_000, 1_000_000]);
    let answers = assignments_of_all_workers(&edge, "any-user").await?;
    assert!(
        answers
            .iter()
            .any(|answer| assignment_of(answer) == Some(CANARY))
    );
    Ok(())
}
