//! Visitors without an identity, and mirrored requests.

use std::time::Duration;

use anyhow::{Context, Result};
use divvy_demo::screen::{Look, Screen};
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use serde_json::json;

use super::{Figure, begin};
use crate::stage::Stage;
use crate::{draw, pause};

const VISITORS: u32 = 60;
const READERS: u32 = 300;

pub async fn sign_in(screen: &mut Screen, stage: &Stage) -> Result<Vec<Figure>> {
    begin(
        screen,
        "6  Signing in",
        "Visitors get an identity as a cookie and keep their version when they sign in.",
    )?;
    stage
        .put(&json!({
            "strategy": {"canary": {"version": "v2", "weight": 50}},
            "sticky": {"cookie": "divvy_checkout"},
        }))
        .await?;
    let client = Http1::new(stage.edge);
    let (mut kept, mut changed_without) = (0, 0);
    for visitor in 1..=VISITORS {
        let first = client.get("/").await?;
        let cookies = cookies(&first);
        let user = format!("account-{visitor}");
        let signed_in = [("cookie", cookies.as_str()), ("x-user-id", &user)];
        let signed_in = client.get_with("/", &signed_in).await?;
        kept += u32::from(version(&signed_in)? == version(&first)?);
        let without = client.get_with("/", &[("x-user-id", &user)]).await?;
        changed_without += u32::from(version(&without)? != version(&first)?);
        screen.frame(&draw::count("kept", kept, visitor))?;
        pause(Duration::from_millis(100)).await;
    }
    screen.spans(draw::count("kept", kept, VISITORS))?;
    screen.line(
        Look::Plain,
        &format!("  without the cookie, {changed_without} would have changed version"),
    )?;
    let seen = format!("{kept} of {VISITORS}");
    // The cookie has an effect only if some visitors would change without it.
    let proves = changed_without > 10;
    Ok(vec![Figure::new(
        "visitors who kept their version",
        seen,
        kept == VISITORS && proves,
    )])
}

pub async fn shadow(screen: &mut Screen, stage: &Stage) -> Result<Vec<Figure>> {
    begin(
        screen,
        "7  Mirroring",
        "v1 serves all users, and v2 gets copies of the GET requests of 33 % of them.",
    )?;
    stage
        .put(&json!({
            "strategy": {"canary": {"version": "v2", "weight": 0}},
            "mirror": {"version": "v2", "percent": 33, "methods": ["GET"]},
        }))
        .await?;
    let client = Http1::new(stage.edge);
    let before = stage.v2.shadows().len();
    let mut expected = 0;
    for user in 1..=READERS {
        let id = user.to_string();
        let answer = client.get_with("/echo", &[("x-user-id", &id)]).await?;
        anyhow::ensure!(version(&answer)? == "v1", "a copy answered");
        expected += u32::from(answer.text().contains("x-divvy-mirror"));
        screen.frame(&draw::count("mirrored", expected, user))?;
        pause(Duration::from_millis(20)).await;
    }
    screen.spans(draw::count("mirrored", expected, READERS))?;
    let copied = || stage.v2.shadows().len() - before;
    eventually("the copies", Duration::from_secs(10), async || {
        (copied() == expected as usize).then_some(())
    })
    .await?;
    let copies = copied();
    let share = copies as f64 / f64::from(READERS) * 100.0;
    screen.line(
        Look::Plain,
        &format!("  {READERS} answers, all by v1; {copies} copies reached v2"),
    )?;
    // 300 users: 33 ± 2.7 points is one standard error.
    Ok(vec![Figure::new(
        "mirrored requests",
        format!("{share:.1} %"),
        (share - 33.0).abs() < 10.0,
    )])
}

/// Cookies in the form in which a browser returns them.
fn cookies(answer: &Response) -> String {
    let lines = answer.headers.get_all("set-cookie").iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

fn version(answer: &Response) -> Result<&str> {
    answer
        .header("x-shop-version")
        .context("the answer names no version")
}
