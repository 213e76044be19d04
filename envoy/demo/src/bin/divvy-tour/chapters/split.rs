//! Who gets what, and who stays.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Figure, begin, everybody_came, watch};
use crate::load::Load;
use crate::screen::Screen;
use crate::stage::{Stage, canary};

pub async fn stable(screen: &mut Screen, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "1  Stable buckets",
        "A fifth of the users get v2, and the same ones with every request.",
    );
    watch(screen, load, "20 %", Duration::from_secs(12)).await;
    everybody_came(load).await?;
    everybody_came(load).await?;
    let seen = load.seen();
    let share = seen.shares().of("v2") * 100.0;
    let moved: u64 = seen.moves.values().sum();
    Ok(vec![
        // 200 users: 20 ± 2.8 points is one standard error.
        Figure::new(
            "share of users with v2",
            format!("{share:.1} %"),
            (share - 20.0).abs() < 6.0,
        ),
        Figure::new("users who changed version", moved.to_string(), moved == 0),
    ])
}

pub async fn growth(screen: &mut Screen, stage: &Stage, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "2  From 1 % to 50 %",
        "A canary that grows only adds users: whoever has v2 keeps it.",
    );
    stage.put(&canary(1)).await?;
    everybody_came(load).await?;
    load.begin_anew();
    for weight in [1, 5, 10, 25, 50] {
        stage.put(&canary(weight)).await?;
        watch(screen, load, &format!("{weight} %"), Duration::from_secs(6)).await;
    }
    everybody_came(load).await?;
    let seen = load.seen();
    let back = seen.moved("v2", "v1");
    let forth = seen.moved("v1", "v2");
    let share = seen.shares().of("v2") * 100.0;
    Ok(vec![
        Figure::new("users who moved to v2", forth.to_string(), forth > 70),
        Figure::new("users who moved back", back.to_string(), back == 0),
        Figure::new(
            "share at 50 %",
            format!("{share:.1} %"),
            (share - 50.0).abs() < 8.0,
        ),
    ])
}

pub async fn flip(screen: &mut Screen, stage: &Stage, load: &Load) -> Result<Vec<Figure>> {
    begin(
        screen,
        "3  Blue/green",
        "One push moves everybody to the other version, and no request fails.",
    );
    let active =
        |version: &str| -> Value { json!({"strategy": {"blueGreen": {"active": version}}}) };
    load.begin_anew();
    let mut flips = 0;
    for version in ["v1", "v2", "v1", "v2", "v1"] {
        stage.put(&active(version)).await?;
        flips += 1;
        watch(screen, load, version, Duration::from_secs(4)).await;
    }
    everybody_came(load).await?;
    let seen = load.seen();
    let failed = format!("{} of {} in {flips} flips", seen.failed, seen.requests);
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
