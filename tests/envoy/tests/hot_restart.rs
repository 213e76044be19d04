//! Gauges during a hot restart, in which Envoy adds those of the old process to its own. Queries of
//! METRICS.md have to be right for the sums too.

use crate::setup::{Edge, PATIENCE, Setup, WEIGHTS, configuration, counts, rollout_with};
use anyhow::{Context, Result, ensure};
use divvy_lab::envoy::HotRestart;
use divvy_lab::eventually;
use serde_json::{Value, json};

/// Time in seconds for which both processes live, if the test waits for the end of the first one.
const SHORT: u32 = 12;
/// The same if it does not.
const LONG: u32 = 600;

/// What the queries of METRICS.md return for one proxy.
#[derive(PartialEq, Debug)]
struct Answers {
    /// `divvy_config_inert >= 1`
    inert: bool,
    /// `divvy_guardrail_state > 0`
    held_back: bool,
    /// `divvy_guardrail_state > 0 and divvy_weight_ppm == 0`
    rolled_back: bool,
    /// `divvy_weight_ppm` of v2 / the sum of all
    share: f64,
}

async fn answers(edge: &Edge) -> Result<Answers> {
    let metrics = edge.metrics().await?;
    let of = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    let gauge = |name: &str| metrics.get(name, &of).unwrap_or_default();
    let (state, weight) = (gauge("divvy_guardrail_state"), gauge("divvy_weight_ppm"));
    let sum: u64 = counts(&metrics, WEIGHTS)?.values().sum();
    Ok(Answers {
        inert: edge.gauge("divvy_config_inert").await?.context("a gauge")? >= 1.0,
        held_back: state > 0.0,
        rolled_back: state > 0.0 && weight == 0.0,
        share: weight / (sum.max(1) as f64),
    })
}

/// What one of the two processes does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Standing {
    /// It serves a ramp of 40 %.
    Healthy,
    /// Its ramp is frozen at 40 %.
    Frozen,
    /// It has rolled v2 back.
    RolledBack,
    /// It has no valid configuration.
    Inert,
}
use Standing::{Frozen, Healthy, Inert, RolledBack};

impl Standing {
    /// Its `divvy_guardrail_state`, if it has one.
    fn state(self) -> Option<f64> {
        match self {
            Healthy => Some(0.0),
            Frozen => Some(1.0),
            RolledBack => Some(2.0),
            Inert => None,
        }
    }
}

/// A ramp that has been at 40 % for long.
fn ramp(on_breach: &str) -> Value {
    let steps = json!([{"weight": 40, "hold": "1h"}, {"weight": 40}]);
    let canary = json!({"version": "v2", "start": "2026-01-01T00:00:00Z", "steps": steps});
    let guardrail = json!({"consecutiveErrors": 3, "onBreach": on_breach, "evidence": false});
    let strategy = json!({"canary": canary});
    configuration(&[rollout_with(
        "checkout",
        strategy,
        json!({"guardrail": guardrail}),
    )])
}

async fn start(standing: Standing, hot_restart: HotRestart) -> Result<Edge> {
    let setup = match standing {
        Inert => Setup::of_anything("{")?,
        Frozen => Setup::new(&ramp("freeze"))?,
        Healthy | RolledBack => Setup::new(&ramp("rollback"))?,
    };
    let setup = setup.workers(1).hot_restart(hot_restart);
    let edge = setup.start().await?;
    let fails = matches!(standing, Frozen | RolledBack);
    for user in 0..if fails { 40 } else { 0 } {
        edge.get_as(format!("user-{user}"), "/?status=500").await?;
    }
    Ok(edge)
}

/// Starts both processes one after the other and returns them when the second one has added the
/// gauges of the first one to its own.
async fn both(old: Standing, new: Standing, parent_shutdown: u32) -> Result<(Edge, Edge)> {
    let first = start(old, HotRestart::First).await?;
    let base_id = first.envoy.base_id()?;
    let state = async |edge: &Edge| -> Result<Option<f64>> {
        let of = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
        Ok(edge.metrics().await?.get("divvy_guardrail_state", &of))
    };
    let settled = async || (state(&first).await.ok()? == old.state()).then_some(());
    eventually("the state of the first process", PATIENCE, settled).await?;

    let second = HotRestart::Next {
        base_id,
        epoch: 1,
        parent_shutdown,
        drain: 1,
    };
    let second = start(new, second).await?;
    let states = old.state().zip(new.state()).map(|(old, new)| old + new);
    let inert = f64::from(u8::from(old == Inert) + u8::from(new == Inert));
    let added = async || {
        let weights = counts(&second.metrics().await.ok()?, WEIGHTS).ok()?;
        let of_both = weights.values().sum::<u64>() == 2_000_000 || old == Inert;
        let same = state(&second).await.ok()? == states
            && second.gauge("divvy_config_inert").await.ok()? == Some(inert);
        (same && of_both).then_some(())
    };
    eventually("the sums of both processes", PATIENCE, added).await?;
    ensure!(first.envoy.exit().is_none(), "the first process has ended");
    Ok((first, second))
}

/// The answers while both processes live.
async fn during(old: Standing, new: Standing) -> Result<Answers> {
    let (_first, second) = both(old, new, LONG).await?;
    answers(&second).await
}

fn served(held_back: bool, share: f64) -> Answers {
    Answers {
        inert: false,
        held_back,
        rolled_back: held_back && share == 0.0,
        share,
    }
}

#[tokio::test]
async fn two_frozen_processes_are_not_a_rollback() -> Result<()> {
    assert_eq!(during(Frozen, Frozen).await?, served(true, 0.4));
    Ok(())
}

#[tokio::test]
async fn after_a_rollback_in_the_old_process_the_new_one_serves() -> Result<()> {
    let (first, second) = both(RolledBack, Healthy, SHORT).await?;
    assert_eq!(answers(&second).await?, served(true, 0.2));
    first.envoy.wait_for_exit().await;
    eventually("the answers of one process", PATIENCE, async || {
        (answers(&second).await.ok()? == served(false, 0.4)).then_some(())
    })
    .await
}

#[tokio::test]
async fn two_processes_that_rolled_back_are_a_rollback() -> Result<()> {
    assert_eq!(during(RolledBack, RolledBack).await?, served(true, 0.0));
    Ok(())
}

#[tokio::test]
async fn two_processes_without_a_valid_configuration_are_inert() -> Result<()> {
    let inert = Answers {
        inert: true,
        ..served(false, 0.0)
    };
    assert_eq!(during(Inert, Inert).await?, inert);
    Ok(())
}
