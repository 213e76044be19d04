//! What users get when something is wrong: rows of the tables in README.md and OPERATING.md that no
//! other file tests, and the cases that OPERATING.md warns of.

use crate::setup::{
    Edge, PATIENCE, Setup, all_users_get, assignment_of, canary, configuration, rollout,
    rollout_with, served_by, with,
};
use anyhow::{Context, Result};
use divvy_lab::bootstrap::{Bootstrap, Position};
use serde_json::{Value, json};

/// Waits for an access log line and returns its `flags`.
async fn logged_flags(edge: &Edge) -> Result<Value> {
    let is_access_log = |line: &str| line.starts_with('{');
    let line = edge.envoy.wait_for_log(is_access_log, PATIENCE).await?;
    Ok(serde_json::from_str::<Value>(&line)?["flags"].take())
}

#[tokio::test]
async fn targets_without_clusters_are_503_for_every_decided_request() -> Result<()> {
    let fields = json!({
        "target": "shop-{version}",
        "match": [{"path": {"prefix": "/checkout"}}],
    });
    let rollout = rollout_with("checkout", canary(50.0), fields);
    let edge = Edge::start(&configuration(&[rollout])).await?;
    let mut assignments = Vec::new();
    for user in 0..20 {
        let answer = edge.get_as(format!("user-{user}"), "/checkout").await?;
        assert_eq!(answer.status, 503);
        assignments.extend(assignment_of(&answer).map(str::to_owned));
    }
    for version in ["v1", "v2"] {
        let assignment = format!("checkout={version};reason=split");
        assert!(assignments.contains(&assignment), "{assignments:?}");
    }
    assert_eq!(logged_flags(&edge).await?, "NC");
    assert_eq!(edge.envoy.get_admin("/ready").await?, "LIVE\n");
    let answer = edge.client.get("/other").await?;
    assert_eq!((answer.status, served_by(&answer)), (200, Some("v1")));
    Ok(())
}

#[tokio::test]
async fn a_wrong_path_of_the_filter_is_500_for_everyone_while_envoy_is_live() -> Result<()> {
    let setup = Setup::of_anything("{}")?.plugin(|plugin| plugin.with_wasm("/no/such.wasm"));
    let edge = setup.start().await?;
    for path in ["/checkout", "/other"] {
        assert_eq!(edge.client.get(path).await?.status, 500, "{path}");
    }
    assert_eq!(logged_flags(&edge).await?, "NFCF");
    assert_eq!(edge.envoy.get_admin("/ready").await?, "LIVE\n");
    Ok(())
}

/// `X-Forwarded-For` as the addresses of a trusted load balancer.
#[tokio::test]
async fn an_address_with_a_port_in_x_forwarded_for_is_not_the_client() -> Result<()> {
    let inside = json!({"sourceIp": true, "cidr": ["203.0.113.0/24", "2001:db8::/32"]});
    let rules = json!({"rules": [{"name": "inside", "when": inside, "use": "v2"}]});
    let setup = Setup::new(&configuration(&[rollout_with(
        "checkout",
        all_users_get("v1"),
        rules,
    )]))?;
    let behind_balancer = |mut edge: Bootstrap| {
        for manager in edge.connection_managers()? {
            manager["xff_num_trusted_hops"] = json!(1);
        }
        Ok(edge)
    };
    let edge = setup.bootstrap(behind_balancer)?.start().await?;
    for (address, version) in [
        ("203.0.113.9", "v2"),
        ("2001:db8::9", "v2"),
        ("198.51.100.1", "v1"),
        ("203.0.113.9:4711", "v1"),
        ("[2001:db8::9]:4711", "v1"),
    ] {
        let line = format!("x-forwarded-for: {address}");
        let answer = edge.raw_get("/", &[line]).await?;
        assert_eq!(served_by(&answer), Some(version), "{address}");
    }
    Ok(())
}

/// Envoy's stateful_session filter behind divvy keeps a session on a host.
#[tokio::test]
async fn a_strict_stateful_session_fails_for_users_whose_version_changes() -> Result<()> {
    for (strict, expected) in [(true, (503, None)), (false, (200, Some("v1")))] {
        let state = json!({
            "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
            "cookie": {"name": "pod", "path": "/"},
        });
        let filter = json!({
            "name": "stateful_session",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
                "strict": strict,
                "session_state": {"name": "envoy.http.stateful_session.cookie", "typed_config": state},
            },
        });
        let rollout = |version| configuration(&[rollout("checkout", all_users_get(version))]);
        let setup = Setup::new(&rollout("v2"))?;
        let edge = setup
            .bootstrap(|edge| edge.with_http_filter(&filter, Position::After("divvy")))?
            .start()
            .await?;
        let first = edge.client.get("/").await?;
        assert_eq!(served_by(&first), Some("v2"));
        let cookie = first
            .header("set-cookie")
            .context("a cookie of the session")?;
        let cookie = cookie.split(';').next().unwrap_or_default();
        edge.put(&rollout("v1")).await?;
        let next = edge.client.get_with("/", &[("cookie", cookie)]).await?;
        assert_eq!(
            (next.status, served_by(&next)),
            expected,
            "strict: {strict}"
        );
    }
    Ok(())
}

/// Two requests of a new visitor at the same time carry no cookie yet.
#[tokio::test]
async fn parallel_first_requests_of_a_visitor_get_different_identities() -> Result<()> {
    let identity = json!({"identity": [{"cookie": "divvy_id", "mint": {}}]});
    let rollouts = configuration(&[rollout("checkout", canary(50.0))]);
    let edge = Edge::start(&with(rollouts, identity)).await?;
    let mut pairs = Vec::new();
    for _ in 0..40 {
        let get = || edge.raw_get("/", &[""; 0]);
        let (one, other) = tokio::try_join!(get(), get())?;
        let cookies = [&one, &other].map(|answer| answer.header("set-cookie").map(str::to_owned));
        assert!(
            cookies[0].is_some() && cookies[0] != cookies[1],
            "{cookies:?}"
        );
        pairs.push(served_by(&one) == served_by(&other));
    }
    assert!(pairs.contains(&true) && pairs.contains(&false), "{pairs:?}");
    Ok(())
}
