//! The chapters of the tour, in their order.

mod chain;
mod guardrail;
mod people;
mod split;

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::draw;
use crate::load::{Load, USERS};
use crate::screen::{Look, Screen};
use crate::stage::{Stage, canary};

/// What a chapter measured.
pub struct Figure {
    pub what: &'static str,
    pub seen: String,
    /// Whether it is as promised.
    pub holds: bool,
}

impl Figure {
    pub fn new(what: &'static str, seen: String, holds: bool) -> Figure {
        Figure { what, seen, holds }
    }
}

/// All of them.
pub async fn all(screen: &mut Screen) -> Result<Vec<Figure>> {
    let stage = Stage::start(&canary(20)).await?;
    let load = Load::start(stage.edge);
    let mut figures = Vec::new();
    screen.line(
        Look::Bold,
        &format!("divvy in a real Envoy: {USERS} users, 200 requests a second"),
    );
    figures.extend(split::stable(screen, &load).await?);
    figures.extend(split::growth(screen, &stage, &load).await?);
    figures.extend(split::flip(screen, &stage, &load).await?);
    figures.extend(guardrail::rollback(screen, &stage, &load).await?);
    drop(load);
    figures.extend(people::sign_in(screen, &stage).await?);
    figures.extend(people::shadow(screen, &stage).await?);
    figures.extend(chain::chain(screen).await?);
    Ok(figures)
}

/// The heading of a chapter and its sentence.
fn begin(screen: &mut Screen, title: &str, sentence: &str) {
    screen.gap();
    screen.line(Look::Bold, title);
    screen.line(Look::Dim, &format!("  {sentence}"));
}

/// Shows who has what for so long, but until everybody came by, and leaves the last frame.
async fn watch(screen: &mut Screen, load: &Load, label: &str, time: Duration) {
    let end = Instant::now() + screen.pace(time);
    let first = load.seen().requests;
    loop {
        let seen = load.seen();
        let everybody = seen.requests >= first + u64::from(USERS) + 8;
        let text = format!("{label:<10} {}", draw::bar(&seen.shares()));
        if everybody && Instant::now() >= end {
            screen.line(Look::Plain, &format!("  {text}"));
            return;
        }
        screen.frame(&text);
        // A frame of the picture, not a wait for something to happen.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every user came by since it was asked, so that what they have is of now.
async fn everybody_came(load: &Load) -> Result<()> {
    let before = load.seen().requests;
    divvy_lab::eventually("all users", Duration::from_secs(60), async || {
        (load.seen().requests >= before + u64::from(USERS) + 8).then_some(())
    })
    .await
}
