//! Ramps follow the clock: versions and gauges equal those of the library at the same time.

use std::collections::BTreeSet;

use crate::setup::{Edge, PATIENCE, all_users_get, assignment_of, configuration, rollout};
use anyhow::{Context, Result};
use divvy::policy::{Policy, RolloutId};
use divvy::request::Environment;
use divvy_lab::eventually;
use serde_json::{Value, json};

use super::{CANARY, STABLE, decided, guarded, instant, now, policy, start, wait_until, weights};

/// The library's environment at a time.
#[derive(Debug)]
pub(super) struct At(pub(super) u64);

impl Environment for At {
    fn now(&self) -> Option<u64> {
        Some(self.0)
    }
}

fn ramp(start: u64, steps: Value) -> Value {
    let strategy = json!({"canary": {"version": "v2", "start": instant(start), "steps": steps}});
    guarded(strategy, json!({"errors": {"max": 1}, "evidence": false}))
}

/// The share of v2 by the library at a time, in parts per million.
fn share(policy: &Policy, at: u64) -> Result<u64> {
    let rollout = policy.rollout(RolloutId(0)).context("a rollout")?;
    let share = rollout.ramp_share(RolloutId(0), Some(at), &At(at));
    Ok(u64::from(share.context("a share")?.ppm()))
}

/// Sends a request of a user and compares it with the library, at a time between two known ones.
/// Returns the response if the share did not change between them.
pub(super) async fn ask(edge: &Edge, policy: &Policy, user: &str) -> Result<Option<String>> {
    let before = now()?;
    let answer = edge.get_as(user, "/").await?;
    let after = now()?;
    let answer = assignment_of(&answer)
        .context("the response has no assignment")?
        .to_owned();
    let possible = [before, after].map(|at| decided(policy, user, &At(at)));
    assert!(possible.contains(&answer), "{answer}, not {possible:?}");
    Ok((share(policy, before)? == share(policy, after)?).then_some(answer))
}

#[tokio::test]
async fn a_ramp_that_began_long_ago_or_starts_later_has_the_share_of_the_library() -> Result<()> {
    const HOUR: u64 = 3_600_000;
    let now = now()?;
    let steps =
        || json!([{"weight": 1, "hold": "2h"}, {"weight": 30, "hold": "2h"}, {"weight": 50}]);
    let gated = || json!([{"weight": 20, "hold": "1h"}, {"weight": 40}, {"weight": 100}]);
    let edge = start(&ramp(now + HOUR, steps()), 2).await?;
    for (name, configuration, ppm) in [
        ("far away", ramp(now + HOUR, steps()), 0),
        ("the first step", ramp(now - HOUR, steps()), 10_000),
        ("the second step", ramp(now - 3 * HOUR, steps()), 300_000),
        ("the last step", ramp(now - 5 * HOUR, steps()), 500_000),
        ("a gate", ramp(now - 1_000 * HOUR, gated()), 400_000),
    ] {
        edge.push(&configuration).await?;
        let policy = policy(&configuration)?;
        assert_eq!(weights(&edge).await?, [1_000_000 - ppm, ppm], "{name}");
        assert_eq!(share(&policy, now)?, ppm, "{name}");
        for number in 0..200 {
            let answer = ask(&edge, &policy, &format!("user-{number}")).await?;
            assert!(answer.is_some(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_ramp_begins_and_grows_and_keeps_its_users() -> Result<()> {
    // A machine that is too slow to see every step gets longer ones.
    for hold in [1, 4, 16] {
        if grows(hold).await? {
            return Ok(());
        }
    }
    anyhow::bail!("no step was long enough to see its users and its weight")
}

/// A ramp with steps of this number of seconds. Returns whether each weight was seen in time, and each user.
async fn grows(hold: u64) -> Result<bool> {
    let edge = start(
        &configuration(&[rollout("checkout", all_users_get("v1"))]),
        2,
    )
    .await?;
    let begin = now()? + 1_000;
    let step = |weight: u64| json!({"weight": weight, "hold": format!("{hold}s")});
    let steps = json!([step(10), step(50), step(90), {"weight": 100}]);
    let configuration = ramp(begin, steps);
    edge.put(&configuration).await?;
    let policy = policy(&configuration)?;
    let (mut seen, mut canaries) = (BTreeSet::new(), BTreeSet::new());
    let mut in_time = true;
    while now()? < begin + 3_500 * hold {
        for number in 0..40 {
            let user = format!("user-{number}");
            let answer = ask(&edge, &policy, &user).await?;
            if answer.as_deref() == Some(CANARY) {
                canaries.insert(user);
            } else if answer.as_deref() == Some(STABLE) {
                assert!(!canaries.contains(&user), "{user} has left");
            }
        }
        // A tick writes the gauges every second, so they are up to a second old.
        let earliest = now()?.saturating_sub(2_000);
        let [_, ppm] = weights(&edge).await?;
        let last = share(&policy, now()?)?;
        assert!(ppm <= last, "{ppm}, not {last}");
        in_time &= share(&policy, earliest)? <= ppm;
        seen.insert(ppm);
    }
    eventually("the last weight", PATIENCE, async || {
        (weights(&edge).await.ok()? == [0, 1_000_000]).then_some(())
    })
    .await?;
    println!("steps of {hold} s: {seen:?}, in time: {in_time}");
    Ok(in_time && canaries.len() == 40 && seen.len() >= 4)
}

#[tokio::test]
async fn two_proxies_that_started_at_different_times_agree() -> Result<()> {
    let begin = now()?;
    let even = json!({"from": 5, "by": 5, "to": 100, "every": "1s"});
    let strategy = json!({"canary": {"version": "v2", "start": instant(begin), "ramp": even}});
    let configuration = guarded(strategy, json!({"errors": {"max": 1}, "evidence": false}));
    let policy = policy(&configuration)?;
    let early = start(&configuration, 2).await?;
    let first = share(&policy, now()?)?;
    // Two steps later.
    wait_until(now()? + 2_000).await?;
    let late = start(&configuration, 2).await?;
    assert!(share(&policy, now()?)? > first);
    let mut compared = 0;
    for number in 0..500 {
        let user = format!("user-{number}");
        let before = share(&policy, now()?)?;
        let answers = [
            ask(&early, &policy, &user).await?,
            ask(&late, &policy, &user).await?,
        ];
        if before == share(&policy, now()?)? {
            assert_eq!(answers[0], answers[1], "{user}");
            compared += 1;
        }
    }
    // The other requests were sent when a step changed.
    assert!(compared >= 480, "{compared}");
    let shares = async |edge: &Edge| weights(edge).await.ok();
    eventually("the same weights", PATIENCE, async || {
        (shares(&early).await? == shares(&late).await?).then_some(())
    })
    .await
}
