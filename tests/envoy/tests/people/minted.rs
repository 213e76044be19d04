//! Visitors without an identity.

use crate::setup::{
    Edge, REQUESTS, all_users_get, canary, configuration, rollout_with, served_by, with,
};
use anyhow::{Context, Result};
use serde_json::json;

use crate::people::{decision, get, given, minting, value_of};

#[tokio::test]
async fn a_visitor_keeps_the_decision_of_the_first_request() -> Result<()> {
    let edge = Edge::start(&minting(canary(50.0), json!({}))).await?;
    let mut versions = [0, 0];
    for _ in 0..100 {
        let first = edge.client.get("/?header=set-cookie:app=1").await?;
        let id = value_of(&first, "divvy_id").context("a cookie")?;
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes().get(14), Some(&b'4'), "{id}: version 4");
        let line =
            format!("divvy_id={id}; Path=/; Max-Age=2592000; SameSite=Lax; Secure; HttpOnly");
        assert_eq!(given(&first), ["app=1", &line], "beside the upstream's own");
        let next = get(&edge, "", &format!("divvy_id={id}")).await?;
        assert_eq!(given(&next), [""; 0]);
        assert_eq!(decision(&next)?, decision(&first)?);
        versions[usize::from(served_by(&first) == Some("v2"))] += 1;
    }
    assert!(versions.iter().all(|count| *count > 25), "{versions:?}");
    Ok(())
}

#[tokio::test]
async fn no_cookie_in_a_shared_response_or_without_need() -> Result<()> {
    let html = json!([{"cookie": "divvy_id", "mint": {
        "when": {"header": "accept", "contains": "text/html"},
    }}]);
    let page = json!({"match": [{"path": {"prefix": "/page"}}]});
    let rollouts = [
        rollout_with("checkout", canary(50.0), page),
        rollout_with("all", all_users_get("v1"), json!({})),
    ];
    let edge = Edge::start(&with(configuration(&rollouts), json!({"identity": html}))).await?;
    let header = "/page?header=cache-control:";
    for (path, accept, given) in [
        ("/page", "text/html", true),
        ("/page?status=503", "text/html", true),
        (&format!("{header}private,max-age=60"), "text/html", true),
        (&format!("{header}public"), "text/html", false),
        (&format!("{header}max-age=1,%20Public"), "text/html", false),
        (&format!("{header}s-maxage=60"), "text/html", false),
        (
            &format!("{header}no-cache&header=cache-control:s-maxage=60"),
            "text/html",
            false,
        ),
        ("/page", "image/png", false),
        ("/other", "text/html", false),
    ] {
        let answer = edge.client.get_with(path, &[("accept", accept)]).await?;
        let cookie = value_of(&answer, "divvy_id");
        assert_eq!(cookie.is_some(), given, "{path} {accept}");
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_requests_without_identity_are_split_by_random() -> Result<()> {
    let random = json!({"identity": [{"random": true}]});
    let rollouts = [rollout_with("checkout", canary(20.0), json!({}))];
    let edge = Edge::start(&with(configuration(&rollouts), random)).await?;
    for _ in 0..10_000 {
        let answer = edge.client.get("/").await?;
        assert_eq!(given(&answer), [""; 0]);
    }
    let counts = edge.counts(REQUESTS).await?;
    let count = |version: &str| {
        let labels = ["checkout", version, "split"].map(str::to_owned).to_vec();
        counts.get(&labels).copied().unwrap_or_default()
    };
    assert_eq!(count("v1") + count("v2"), 10_000, "{counts:?}");
    // The random numbers are real: seven standard errors, so that one run in 10¹¹ fails.
    assert!((1_720..2_280).contains(&count("v2")), "{counts:?}");
    Ok(())
}
