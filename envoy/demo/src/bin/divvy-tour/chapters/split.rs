//! Stable buckets, a growing canary, and blue/green.

use std::time::Duration;

use anyhow::Result;
use divvy_demo::screen::Screen;
use serde_json::{Value, json};

use super::{Figure, all_users_sent, begin, watch};
use crate::load::{Load, USERS};
use crate::stage::{Stage, canary};

pub async fn stable_buckets(screen: &mut Screen, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "1  Stable buckets",
        "20 % of the users get v2, and each user gets the same version every time.",
    )?;
    watch(screen, load, "20 %", Duration::from_secs(12)).await?;
    all_users_sent(load).await?;
    all_users_sent(load).await?;
    let seen = load.seen();
    let moved: u64 = seen.moves.values().sum();
    Ok(vec![
        share("share of users with v2", seen.shares().of("v2"), 0.2),
        Figure::new("users whose version changed", moved.to_string(), moved == 0),
    ])
}

pub async fn growing_canary(
    screen: &mut Screen,
    stage: &Stage,
    load: &Load,
) -> Result<Vec<Figure>> {
    begin(
        screen,
        "2  From 1 % to 50 %",
        "A growing canary only adds users: users with v2 keep it.",
    )?;
    stage.put(&canary(1)).await?;
    all_users_sent(load).await?;
    load.reset();
    for weight in [1, 5, 10, 25, 50] {
        stage.put(&canary(weight)).await?;
        watch(screen, load, &format!("{weight} %"), Duration::from_secs(6)).await?;
    }
    all_users_sent(load).await?;
    let seen = load.seen();
    let back = seen.moved("v2", "v1");
    let forth = seen.moved("v1", "v2");
    Ok(vec![
        Figure::new("users who moved to v2", forth.to_string(), forth > 70),
        Figure::new("users who moved back", back.to_string(), back == 0),
        share("share at 50 %", seen.shares().of("v2"), 0.5),
    ])
}

/// The share of a version among all users, with the interval that has 95 % of the samples of this size.
fn share(name: &'static str, seen: f64, weight: f64) -> Figure {
    let margin = 1.96 * (weight * (1.0 - weight) / f64::from(USERS)).sqrt();
    let [seen, low, high] = [seen, weight - margin, weight + margin].map(|share| share * 100.0);
    Figure::new(
        name,
        format!("{seen:.1} % (95 % interval: {low:.1} to {high:.1} %)"),
        (low..=high).contains(&seen),
    )
}

pub async fn blue_green(screen: &mut Screen, stage: &Stage, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "3  Blue/green",
        "One push moves all users to the other version without a failed request.",
    )?;
    let active =
        |version: &str| -> Value { json!({"strategy": {"blueGreen": {"active": version}}}) };
    load.reset();
    let mut switches = 0;
    for version in ["v1", "v2", "v1", "v2", "v1"] {
        stage.put(&active(version)).await?;
        switches += 1;
        watch(screen, load, version, Duration::from_secs(4)).await?;
    }
    all_users_sent(load).await?;
    let seen = load.seen();
    let failed = format!(
        "{} of {} in {switches} switches",
        seen.failed, seen.requests
    );
    let v1 = seen.shares().of("v1") * 100.0;
    Ok(vec![
        Figure::new("failed requests", failed, seen.failed == 0),
        Figure::new(
            "users on the active version",
            format!("{v1:.0} %"),
            v1 >= 100.0,
        ),
    ])
}
