//! Rollback of a failing version, and its recovery.

use std::time::{Duration, Instant};

use anyhow::Result;
use divvy_demo::screen::{Look, Screen};
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::json;
use tokio::time::sleep;

use super::{Figure, all_users_sent, begin, watch};
use crate::draw;
use crate::load::Load;
use crate::stage::Stage;

pub async fn rollback(screen: &mut Screen, stage: &Stage, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "4  Rollback",
        "v2 serves 10 % and begins to fail. The proxy rolls it back by itself.",
    )?;
    let rollout = json!({
        "revision": "tour",
        "strategy": {"canary": {"version": "v2", "weight": 10}},
        "guardrail": {"errors": {"max": 1, "window": "30s"}, "recoverAfter": "8s"},
    });
    stage.put(&rollout).await?;
    all_users_sent(load).await?;
    watch(screen, load, "healthy", Duration::from_secs(4)).await?;
    load.reset();
    stage.v2.behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let broken = Instant::now();
    let mut failures = Vec::new();
    let mut before = 0;
    // After a period in which every user sent a request without a failure, v2 is rolled back.
    let rolled_back = loop {
        let seen = load.seen();
        failures.push((seen.failed - before) as f64);
        before = seen.failed;
        screen.frame(&draw::failures(&failures))?;
        let quiet = seen
            .last_failure
            .map_or(Duration::ZERO, |last| last.elapsed());
        if seen.failed > 0 && quiet > Duration::from_secs(2) {
            break true;
        }
        if broken.elapsed() > Duration::from_secs(30) {
            break false;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let seen = load.seen();
    let took = seen.last_failure.map(|last| last.duration_since(broken));
    let seconds = took.unwrap_or_default().as_secs_f64();
    screen.spans(draw::failures(&failures))?;
    screen.line(
        Look::Plain,
        &format!(
            "  {} requests failed, the last one after {seconds:.1} s",
            seen.failed
        ),
    )?;

    begin(
        screen,
        "5  Recovery",
        "v2 works again. After recoverAfter it is tried again with the same users.",
    )?;
    stage.v2.behave(Behaviour::default());
    let repaired = Instant::now();
    load.reset();
    eventually(
        "v2 to be tried again",
        Duration::from_secs(40),
        async || {
            let shares = load.seen().shares();
            let _ = screen.frame(&draw::bar("waiting", &shares));
            (shares.of("v2") > 0.05).then_some(())
        },
    )
    .await?;
    let back = repaired.elapsed().as_secs_f64();
    watch(screen, load, "recovered", Duration::from_secs(3)).await?;
    let after = load.seen();
    Ok(vec![
        Figure::new(
            "time to rollback",
            format!("{seconds:.1} s"),
            rolled_back && seconds < 5.0,
        ),
        Figure::new(
            "time to the next attempt",
            format!("{back:.1} s"),
            back < 30.0,
        ),
        Figure::new(
            "failures after the recovery",
            after.failed.to_string(),
            after.failed == 0,
        ),
    ])
}
