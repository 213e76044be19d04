//! The time until a bad version is rolled back.

use std::time::{Duration, Instant};

use crate::setup::{REQUESTS, canary, soak};
use anyhow::{Context, Result};
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::{Value, json};

use super::load::Load;
use super::{ROLLED_BACK, guarded, standing, start, transitions, weights};

const PER_SECOND: u32 = 200;

/// A v2 that turns bad, with a tenth of 200 requests per second, and its expected verdict.
struct Fall<'a> {
    guardrail: Value,
    good: Behaviour,
    bad: Behaviour,
    /// The maximum time until it is rolled back.
    within: Duration,
    /// The text of the log line between the counts and the semicolon.
    logged: &'a str,
}

impl Fall<'_> {
    /// The time from v2's failure until the last request that it serves is sent.
    async fn time(&self, workers: u32) -> Result<Duration> {
        let edge = start(&guarded(canary(10.0), self.guardrail.clone()), workers).await?;
        let v2 = edge.upstreams.get("v2").context("v2")?;
        v2.behave(self.good.clone());
        let load = Load::start(&edge, PER_SECOND);
        eventually("v2 to be well used", self.within, async || {
            (v2.requests() >= 30).then_some(())
        })
        .await?;
        assert_eq!(transitions(&edge, 0), [""; 0], "nothing is wrong yet");

        v2.behave(self.bad.clone());
        let turned = Instant::now();
        // Stable serves all users: enough requests in a row to reach every worker.
        let quiet = usize::try_from(3 * PER_SECOND)?;
        let patience = self.within + Duration::from_secs(10);
        let last = eventually("stable to serve all users", patience, async || {
            let seen = load.seen();
            let last = seen.iter().rposition(|answer| answer.by_v2)?;
            (seen.len() - last > quiet).then(|| seen[last].sent)
        })
        .await?;
        let took = last.saturating_duration_since(turned);
        let back = load.seen().iter().filter(|seen| seen.taken_back).count();
        assert!(back > 30, "only {back} were served by stable for v2");
        drop(load);

        assert_eq!(standing(&edge).await?, ROLLED_BACK);
        assert_eq!(weights(&edge).await?, [1_000_000, 0]);
        let requests = edge.counts(REQUESTS).await?;
        let labels = ["checkout", "v1", "rolled_back"]
            .map(str::to_owned)
            .to_vec();
        let counted = requests.get(&labels).copied().unwrap_or_default();
        assert!(counted >= u64::try_from(back)?, "{requests:?}");
        // One VM logs it once, with its counts.
        let lines = transitions(&edge, 0);
        let [line] = &lines[..] else {
            panic!("{lines:#?}");
        };
        let counts = line
            .strip_prefix("v2 is rolled back to stable: ")
            .and_then(|rest| rest.strip_suffix("; it stays so until the revision changes"))
            .and_then(|rest| rest.strip_suffix(self.logged))
            .with_context(|| line.clone())?;
        let (bad, all) = counts.split_once(" of ").context("k of n")?;
        let (bad, all): (u64, u64) = (bad.parse()?, all.trim().parse()?);
        assert!(0 < bad && bad <= all && 20 <= all, "{line}");
        assert!(all <= v2.requests(), "{line}");
        println!("{workers} workers: {:.2} s: {line}", took.as_secs_f64());
        Ok(took)
    }
}

fn failing(percent: f64) -> Behaviour {
    Behaviour {
        error_percent: percent,
        ..Behaviour::default()
    }
}

fn slow(delay: Duration) -> Behaviour {
    Behaviour {
        delay,
        ..Behaviour::default()
    }
}

/// The long version takes the median of ten runs.
async fn everything_fails(workers: u32) -> Result<()> {
    let fall = Fall {
        guardrail: json!({"errors": {"max": 1}}),
        good: Behaviour::default(),
        bad: failing(100.0),
        within: Duration::from_secs(5),
        logged: " requests failed, errors.max is 1 %",
    };
    let mut tries = Vec::new();
    for _ in 0..if soak() { 10 } else { 1 } {
        tries.push(fall.time(workers).await?);
    }
    tries.sort();
    let median = tries[tries.len() / 2];
    println!("{workers} workers: median {median:.2?} of {tries:.2?}");
    assert!(median < fall.within, "{median:?}");
    Ok(())
}

#[tokio::test]
async fn a_version_that_always_fails_is_rolled_back_in_5_seconds_with_2_workers() -> Result<()> {
    everything_fails(2).await
}

#[tokio::test]
async fn a_version_that_always_fails_is_rolled_back_in_5_seconds_with_4_workers() -> Result<()> {
    everything_fails(4).await
}

#[tokio::test]
async fn five_percent_of_errors_at_a_limit_of_one_are_rolled_back_in_a_minute() -> Result<()> {
    let fall = Fall {
        guardrail: json!({"errors": {"max": 1}}),
        good: Behaviour::default(),
        bad: failing(5.0),
        within: Duration::from_mins(1),
        logged: " requests failed, errors.max is 1 %",
    };
    assert!(fall.time(2).await? < fall.within);
    Ok(())
}

#[tokio::test]
async fn a_version_that_takes_twice_as_long_is_rolled_back_in_a_minute() -> Result<()> {
    let latency = json!({"quantile": 0.95, "max": "60ms", "window": "30s"});
    let fall = Fall {
        guardrail: json!({"latency": latency}),
        good: slow(Duration::from_millis(40)),
        bad: slow(Duration::from_millis(80)),
        within: Duration::from_mins(1),
        logged: " requests took longer than latency.max, 60ms, for quantile 0.95",
    };
    assert!(fall.time(2).await? < fall.within);
    Ok(())
}
