//! Chapters of the tour, in order.

mod chain;
mod guardrail;
mod people;
mod split;

use std::time::{Duration, Instant};

use anyhow::Result;
use divvy_demo::screen::{Look, Screen};
use tokio::time::sleep;

use crate::load::{Load, USERS};
use crate::stage::{Stage, canary};
use crate::{draw, pace};

/// Measured result of a chapter.
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    /// Whether the value is in the expected range.
    pub in_range: bool,
}

impl Figure {
    pub fn new(name: &'static str, value: String, in_range: bool) -> Figure {
        Figure {
            name,
            value,
            in_range,
        }
    }
}

/// Runs all chapters.
pub async fn all(screen: &mut Screen) -> Result<Vec<Figure>> {
    let stage = Stage::start(&canary(20)).await?;
    let load = Load::start(stage.edge);
    let mut figures = Vec::new();
    screen.line(
        Look::Bold,
        &format!("divvy in a real Envoy: {USERS} users, 200 requests per second"),
    )?;
    screen.spans(draw::legend())?;
    figures.extend(split::stable_buckets(screen, &load).await?);
    figures.extend(split::growing_canary(screen, &stage, &load).await?);
    figures.extend(split::blue_green(screen, &stage, &load).await?);
    figures.extend(guardrail::rollback(screen, &stage, &load).await?);
    drop(load);
    figures.extend(people::sign_in(screen, &stage).await?);
    figures.extend(people::shadow(screen, &stage).await?);
    figures.extend(chain::chain(screen).await?);
    Ok(figures)
}

/// Prints the heading of a chapter and its summary.
fn begin(screen: &mut Screen, title: &str, summary: &str) -> Result<()> {
    screen.gap()?;
    screen.line(Look::Bold, title)?;
    screen.line(Look::Dim, &format!("  {summary}"))?;
    Ok(())
}

/// Shows the shares for this time, at least until every user sent a request. The last frame stays.
async fn watch(screen: &mut Screen, load: &Load, label: &str, time: Duration) -> Result<()> {
    let end = Instant::now() + pace(time);
    let first = load.seen().requests;
    loop {
        let seen = load.seen();
        let complete = seen.requests >= first + u64::from(USERS) + 8;
        let bar = draw::bar(label, &seen.shares());
        if complete && Instant::now() >= end {
            screen.spans(bar)?;
            return Ok(());
        }
        screen.frame(&bar)?;
        // The frame rate; nothing is awaited.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every user sent another request, so that the shares are current.
async fn all_users_sent(load: &Load) -> Result<()> {
    let before = load.seen().requests;
    divvy_lab::eventually("all users", Duration::from_secs(60), async || {
        (load.seen().requests >= before + u64::from(USERS) + 8).then_some(())
    })
    .await
}
