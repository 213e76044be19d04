//! A version that turns bad, and comes back.

use std::time::{Duration, Instant};

use anyhow::Result;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::json;
use tokio::time::sleep;

use super::{Figure, begin, everybody_came, watch};
use crate::draw;
use crate::load::Load;
use crate::screen::{Look, Screen};
use crate::stage::Stage;

pub async fn rollback(screen: &mut Screen, stage: &Stage, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "4  A v2 that turns bad",
        "v2 has 10 % and begins to fail. The proxy takes it back by itself.",
    );
    let rollout = json!({
        "revision": "tour",
        "strategy": {"canary": {"version": "v2", "weight": 10}},
        "guardrail": {"errors": {"max": 1, "window": "30s"}, "recoverAfter": "8s"},
    });
    stage.put(&rollout).await?;
    everybody_came(load).await?;
    watch(screen, load, "healthy", Duration::from_secs(4)).await;
    load.begin_anew();
    stage.v2.behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let broken = Instant::now();
    let mut failures = Vec::new();
    let mut before = 0;
    // Once everybody came by without a failure, there are no more.
    let rolled_back = loop {
        let seen = load.seen();
        failures.push((seen.failed - before) as f64);
        before = seen.failed;
        screen.frame(&format!("failures   {}", draw::spark(&failures)));
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
    screen.line(
        Look::Plain,
        &format!("  failures   {}", draw::spark(&failures)),
    );
    screen.line(
        Look::Plain,
        &format!(
            "  {} requests failed, the last after {seconds:.1} s",
            seen.failed
        ),
    );

    begin(
        screen,
        "5  Recovery",
        "v2 is mended. After recoverAfter it is tried again by the same users.",
    );
    stage.v2.behave(Behaviour::default());
    let healed = Instant::now();
    load.begin_anew();
    eventually("v2 to come back", Duration::from_secs(40), async || {
        let shares = load.seen().shares();
        screen.frame(&format!("{:<10} {}", "waiting", draw::bar(&shares)));
        (shares.of("v2") > 0.05).then_some(())
    })
    .await?;
    let back = healed.elapsed().as_secs_f64();
    watch(screen, load, "recovered", Duration::from_secs(3)).await;
    let after = load.seen();
    Ok(vec![
        Figure::new(
            "until stable served everybody",
            format!("{seconds:.1} s"),
            rolled_back && seconds < 5.0,
        ),
        Figure::new(
            "until v2 was tried again",
            format!("{back:.1} s"),
            back < 30.0,
        ),
        Figure::new(
            "failures after that",
            after.failed.to_string(),
            after.failed == 0,
        ),
    ])
}
