//! Sticky cookies.

use crate::setup::{Edge, canary, served_by};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::people::{decision, get, given, minting, value_of};

const STICKY: &str = "divvy_checkout";

fn sticky(strategy: Value, further: Value) -> Value {
    let sticky = json!({"sticky": {"cookie": STICKY, "maxAge": "1h"}});
    minting(strategy, crate::setup::with(sticky, further))
}

/// The cookies of a visitor whose first response was from this version.
async fn visitor(edge: &Edge, version: &str) -> Result<String> {
    for _ in 0..200 {
        let answer = get(edge, "", "").await?;
        assert_eq!(given(&answer).len(), 2, "who it is and what it got");
        if served_by(&answer) == Some(version) {
            let cookie = |name| value_of(&answer, name).context("a cookie");
            let [id, got] = [cookie("divvy_id")?, cookie(STICKY)?];
            return Ok(format!("divvy_id={id}; {STICKY}={got}"));
        }
    }
    anyhow::bail!("no visitor gets {version}")
}

#[tokio::test]
async fn the_cookie_keeps_the_version_after_signing_in_and_at_a_smaller_weight() -> Result<()> {
    let edge = Edge::start(&sticky(canary(50.0), json!({}))).await?;
    for version in ["v1", "v2"] {
        let cookies = visitor(&edge, version).await?;
        for user in 0..20 {
            let answer = get(&edge, &format!("user-{user}"), &cookies).await?;
            assert_eq!(served_by(&answer), Some(version));
            assert_eq!(given(&answer), [""; 0], "never renewed by itself");
        }
    }
    let inside = visitor(&edge, "v2").await?;
    edge.put(&sticky(canary(1.0), json!({}))).await?;
    let answer = get(&edge, "", &inside).await?;
    assert_eq!(decision(&answer)?, "checkout=v2;reason=sticky");
    // Weight 0 releases them permanently.
    edge.put(&sticky(canary(0.0), json!({}))).await?;
    let answer = get(&edge, "", &inside).await?;
    assert_eq!(decision(&answer)?, "checkout=v1;reason=split");
    let released = value_of(&answer, STICKY).context("a cookie that no longer holds v2")?;
    assert!(released.contains(":v1:"), "{released}");
    Ok(())
}

#[tokio::test]
async fn an_invalid_cookie_is_ignored_and_replaced() -> Result<()> {
    let edge = Edge::start(&sticky(canary(100.0), json!({}))).await?;
    let answer = get(&edge, "1", "").await?;
    let good = value_of(&answer, STICKY).context("a cookie")?;
    // At this weight only the cookie gives v2.
    edge.put(&sticky(canary(0.0001), json!({}))).await?;
    let long = format!("{good}{}", "x".repeat(4_096));
    for (why, cookies, reason) in [
        ("as given", format!("{STICKY}={good}"), "sticky"),
        ("in quotes", format!("{STICKY}=\"{good}\""), "sticky"),
        (
            "an unknown version",
            format!("{STICKY}={}", good.replace("v2", "v9")),
            "split",
        ),
        ("garbage", format!("{STICKY}=%%%"), "split"),
        ("4 KB", format!("{STICKY}={long}"), "split"),
        (
            "twice",
            format!("{STICKY}={good}; {STICKY}={good}"),
            "sticky",
        ),
        (
            "behind an invalid one",
            format!("{STICKY}=x; a=b; {STICKY}={good}"),
            "sticky",
        ),
    ] {
        let answer = get(&edge, "1", &cookies).await?;
        assert!(
            decision(&answer)?.ends_with(reason),
            "{why}: {}",
            decision(&answer)?
        );
    }
    edge.put(&sticky(canary(0.0001), json!({"revision": "2"})))
        .await?;
    let answer = get(&edge, "1", &format!("{STICKY}={good}")).await?;
    assert_eq!(
        decision(&answer)?,
        "checkout=v1;reason=split",
        "a new revision"
    );
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_domain_writes_one_cookie_and_keeps_the_version() -> Result<()> {
    let edge = Edge::start(&sticky(canary(20.0), json!({}))).await?;
    let mut before = Vec::new();
    for user in 0..60 {
        let answer = get(&edge, &user.to_string(), "").await?;
        let value = value_of(&answer, STICKY).context("a cookie")?;
        before.push((user.to_string(), value));
    }
    let wide = json!({"sticky": {"cookie": STICKY, "domain": "example.com"}});
    edge.put(&sticky(canary(80.0), wide)).await?;
    let mut joined = 0;
    for (user, old) in before.iter().filter(|(_, value)| value.contains(":v1:")) {
        // The browser keeps the cookie without a domain beside the new one.
        let mut jar = vec![format!("{STICKY}={old}")];
        let mut writes = 0;
        let mut versions = Vec::new();
        for request in 0..6 {
            // They sign in.
            let user = if request < 3 { user } else { "someone-else" };
            let answer = get(&edge, user, &jar.join("; ")).await?;
            versions.push(served_by(&answer).context("a version")?.to_owned());
            if let Some(value) = value_of(&answer, STICKY) {
                writes += 1;
                jar.truncate(1);
                jar.push(format!("{STICKY}={value}"));
            }
        }
        let v2 = versions[0] == "v2";
        joined += u32::from(v2);
        assert!(
            versions.iter().all(|version| *version == versions[0]),
            "{versions:?}"
        );
        assert_eq!(writes, u32::from(v2), "{jar:?}");
    }
    assert!(joined > 20, "{joined}");
    Ok(())
}

#[tokio::test]
async fn holdout_and_layer_win_over_the_cookie_and_a_ramp_keeps_its_users() -> Result<()> {
    let ab = |from: u32, to: u32| {
        json!({"abTest": {
            "split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}],
            "layer": {"name": "page", "from": from, "to": to},
        }})
    };
    let edge = Edge::start(&sticky(ab(0, 100), json!({}))).await?;
    let cookies = visitor(&edge, "v2").await?;
    edge.put(&sticky(ab(0, 50), json!({}))).await?;
    let mut seen = [0, 0];
    for user in 1..60 {
        let [bare, sticky] = [
            get(&edge, &format!("user-{user}"), "").await?,
            get(&edge, &format!("user-{user}"), &cookies).await?,
        ];
        let excluded = decision(&bare)?.ends_with("excluded");
        let expected = if excluded {
            "checkout=v1;reason=excluded"
        } else {
            "checkout=v2;reason=sticky"
        };
        assert_eq!(decision(&sticky)?, expected);
        seen[usize::from(excluded)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");

    // A step that began an hour ago admits half of the users, a later one all.
    let ramp = |weight: u32| json!({"canary": {"version": "v2", "start": "2020-01-01T00:00:00Z", "steps": [{"weight": weight}]}});
    edge.put(&sticky(ramp(50), json!({}))).await?;
    let outside = visitor(&edge, "v1").await?;
    edge.put(&sticky(ramp(100), json!({}))).await?;
    let answer = get(&edge, "", &outside).await?;
    assert_eq!(decision(&answer)?, "checkout=v2;reason=split");
    Ok(())
}
