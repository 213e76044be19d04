//! Visitors, and copies of their requests.

use std::time::Duration;

use anyhow::{Context, Result};
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use serde_json::json;

use super::{Figure, begin};
use crate::screen::{Look, Screen};
use crate::stage::Stage;

const VISITORS: u32 = 60;
const READERS: u32 = 300;

pub async fn sign_in(screen: &mut Screen, stage: &Stage) -> Result<Vec<Figure>> {
    begin(
        screen,
        "6  Signing in",
        "Visitors are nobody, get a cookie, and keep their version when they sign in.",
    );
    stage
        .put(&json!({
            "strategy": {"canary": {"version": "v2", "weight": 50}},
            "sticky": {"cookie": "divvy_checkout"},
        }))
        .await?;
    let client = Http1::new(stage.edge);
    let (mut kept, mut hashed_otherwise) = (0, 0);
    for visitor in 1..=VISITORS {
        let first = client.get("/").await?;
        let cookies = cookies(&first);
        let user = format!("account-{visitor}");
        let signed_in = [("cookie", cookies.as_str()), ("x-user-id", &user)];
        let signed_in = client.get_with("/", &signed_in).await?;
        kept += u32::from(version(&signed_in)? == version(&first)?);
        let without = client.get_with("/", &[("x-user-id", &user)]).await?;
        hashed_otherwise += u32::from(version(&without)? != version(&first)?);
        screen.frame(&format!("{kept} of {visitor} kept their version"));
    }
    screen.line(
        Look::Plain,
        &format!("  {kept} of {VISITORS} kept it; by their account alone {hashed_otherwise} would have changed"),
    );
    let seen = format!("{kept} of {VISITORS}");
    Ok(vec![Figure::new(
        "kept their version",
        seen,
        kept == VISITORS,
    )])
}

pub async fn shadow(screen: &mut Screen, stage: &Stage) -> Result<Vec<Figure>> {
    begin(
        screen,
        "7  A shadow",
        "v1 serves everybody, and v2 gets copies of what a third of the users read.",
    );
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
        let user = user.to_string();
        let answer = client.get_with("/echo", &[("x-user-id", &user)]).await?;
        anyhow::ensure!(version(&answer)? == "v1", "a copy answered");
        expected += usize::from(answer.text().contains("x-divvy-mirror"));
        screen.frame(&format!("{expected} of {user} requests are copied"));
    }
    let copied = || stage.v2.shadows().len() - before;
    eventually("the copies", Duration::from_secs(10), async || {
        (copied() == expected).then_some(())
    })
    .await?;
    let copies = copied();
    let share = copies as f64 / f64::from(READERS) * 100.0;
    screen.line(
        Look::Plain,
        &format!("  {READERS} answers, all of v1's; {copies} copies arrived at v2"),
    );
    // 300 users: 33 ± 2.7 points is one standard error.
    Ok(vec![Figure::new(
        "requests copied",
        format!("{share:.1} %"),
        (share - 33.0).abs() < 10.0,
    )])
}

/// What a browser would send back.
fn cookies(answer: &Response) -> String {
    let lines = answer.headers.get_all("set-cookie").iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

fn version(answer: &Response) -> Result<&str> {
    answer
        .header("x-shop-version")
        .context("no version answered")
}
