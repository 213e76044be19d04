//! The strategy `weighted`, rules with `split`, identities of single rollouts, and conditions of
//! `match`.

use std::collections::BTreeMap;

use crate::setup::{
    Edge, PATIENCE, all_users_get, assignment_of, canary, configuration, rollout, rollout_with,
    seen_upstream, served_by, with,
};
use anyhow::{Context, Result};
use divvy::decide::decide;
use divvy::{config, output, request::Request};
use divvy_lab::chain::{self, Caller, Chain};
use divvy_lab::client::request;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::{Value, json};

fn arms() -> Value {
    json!([
        {"version": "v1", "weight": 80}, {"version": "v2", "weight": 15}, {"version": "v3", "weight": 5},
    ])
}

/// Asserts that the numbers of requests are 80, 15 and 5 % within four standard errors.
fn assert_shares(counts: &BTreeMap<String, u32>) {
    let sum = f64::from(counts.values().sum::<u32>());
    for (version, share) in [("v1", 0.80), ("v2", 0.15), ("v3", 0.05)] {
        let count = f64::from(counts.get(version).copied().unwrap_or_default());
        let error = (sum * share * (1.0 - share)).sqrt();
        assert!((count - sum * share).abs() < 4.0 * error, "{counts:?}");
    }
}

#[tokio::test]
async fn three_weighted_versions_get_their_shares_by_user_and_at_random() -> Result<()> {
    let weighted = rollout("checkout", json!({"weighted": arms()}));
    let by_user = configuration(&[weighted]);
    let policy = config::parse(by_user.to_string().as_bytes())?;
    let edge = Edge::start(&by_user).await?;
    let mut counts = BTreeMap::new();
    for user in 0..2_000 {
        let user = format!("user-{user}");
        let headers = [(&b":path"[..], &b"/"[..]), (b"x-user-id", user.as_bytes())];
        let request = Request::from_headers(&policy.names, headers);
        let decisions = decide(&policy, &request).decisions;
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(
            served_by(&answer),
            output::route(&policy, &decisions),
            "{user}"
        );
        let version = served_by(&answer).context("a version")?;
        *counts.entry(version.to_owned()).or_insert(0) += 1;
    }
    assert_shares(&counts);
    assert_eq!(
        assignment_of(&edge.client.get("/").await?),
        Some("checkout=v1;reason=no_identity")
    );

    edge.put(&with(by_user, json!({"identity": [{"random": true}]})))
        .await?;
    let mut counts = BTreeMap::new();
    for _ in 0..2_000 {
        let answer = edge.get_as("one-user", "/").await?;
        let version = served_by(&answer).context("a version")?;
        *counts.entry(version.to_owned()).or_insert(0) += 1;
    }
    assert_shares(&counts);
    Ok(())
}

#[tokio::test]
async fn the_guardrail_takes_one_of_three_versions_back_and_the_others_keep_their_users()
-> Result<()> {
    let guarded = json!({"guardrail": {"consecutiveErrors": 5}});
    let weights = json!([
        {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}, {"version": "v3", "weight": 1},
    ]);
    let checkout = rollout_with("checkout", json!({"weighted": weights}), guarded);
    let edge = Edge::start(&configuration(&[checkout])).await?;
    let users: Vec<_> = (0..60).map(|user| format!("user-{user}")).collect();
    let versions = async || {
        let mut versions = Vec::new();
        for user in &users {
            let answer = edge.get_as(user, "/").await?;
            versions.push(assignment_of(&answer).unwrap_or_default().to_owned());
        }
        anyhow::Ok(versions)
    };
    let before = versions().await?;
    edge.upstreams["v2"].behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let rolled_back = "checkout=v1;reason=rolled_back";
    eventually("the rollback of v2", PATIENCE, async || {
        let now = versions().await.ok()?;
        (!now.iter().any(|version| version.contains("=v2;"))).then_some(())
    })
    .await?;
    let after = versions().await?;
    for (was, is) in before.iter().zip(&after) {
        let expected = match was.contains("=v2;") {
            true => rolled_back,
            false => was,
        };
        assert_eq!(is, expected);
    }
    assert!(before.iter().any(|was| was.contains("=v3;")));
    Ok(())
}

#[tokio::test]
async fn a_sticky_cookie_holds_any_weighted_version_without_an_identity_too() -> Result<()> {
    let weights = |v1: u32, v2: u32| {
        let weights = json!([{"version": "v1", "weight": v1}, {"version": "v2", "weight": v2}]);
        let sticky = json!({"sticky": {"cookie": "kept"}});
        configuration(&[rollout_with(
            "checkout",
            json!({"weighted": weights}),
            sticky,
        )])
    };
    let edge = Edge::start(&weights(1, 0)).await?;
    let answer = edge.get_as("1", "/").await?;
    let cookie = answer.header("set-cookie").context("a cookie")?;
    let cookie = cookie.split(';').next().context("a pair")?.to_owned();
    edge.put(&weights(1, 1_000_000)).await?;
    let sticky = Some("checkout=v1;reason=sticky");
    for headers in [
        &[("cookie", &*cookie)][..],
        &[("cookie", &cookie), ("x-user-id", "2")],
    ] {
        let answer = edge.client.get_with("/", headers).await?;
        assert_eq!(
            (assignment_of(&answer), answer.header("set-cookie")),
            (sticky, None)
        );
    }
    edge.put(&weights(0, 1)).await?;
    let answer = edge.client.get_with("/", &[("cookie", &*cookie)]).await?;
    assert_eq!(assignment_of(&answer), Some("checkout=v2;reason=split"));
    assert!(
        answer
            .header("set-cookie")
            .is_some_and(|line| line.contains(":v2:"))
    );
    Ok(())
}

#[tokio::test]
async fn a_condition_of_match_selects_requests_by_header_and_query() -> Result<()> {
    let acme = json!({"match": [
        {"when": {"header": "x-tenant", "in": ["acme", "globex"]}},
        {"path": {"prefix": "/preview"}, "when": {"query": "on", "exact": "1"}},
    ]});
    let rollouts = [
        rollout_with("acme", all_users_get("v3"), acme),
        rollout("others", all_users_get("v2")),
    ];
    let edge = Edge::start(&configuration(&rollouts)).await?;
    let both = "acme=v3;reason=active, others=v2;reason=active";
    for (path, headers, version, assignment) in [
        ("/", &[("x-tenant", "acme")][..], "v3", both),
        (
            "/",
            &[("x-tenant", "a"), ("x-tenant", "globex")],
            "v3",
            both,
        ),
        ("/", &[("x-tenant", "a")], "v2", "others=v2;reason=active"),
        ("/", &[], "v2", "others=v2;reason=active"),
        ("/preview/x?on=1", &[], "v3", both),
        ("/preview/x?on=2", &[], "v2", "others=v2;reason=active"),
        ("/other?on=1", &[], "v2", "others=v2;reason=active"),
    ] {
        let answer = edge.client.get_with(path, headers).await?;
        assert_eq!(served_by(&answer), Some(version), "{path} {headers:?}");
        assert_eq!(
            assignment_of(&answer),
            Some(assignment),
            "{path} {headers:?}"
        );
    }
    // A preflight has no header of the user.
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "x-tenant"),
    ];
    let answer = edge
        .client
        .send(request("OPTIONS", "/", &preflight, "")?)
        .await?;
    assert_eq!(assignment_of(&answer), Some("others=v2;reason=active"));
    Ok(())
}

#[tokio::test]
async fn the_certificate_of_the_client_selects_rollouts_and_rules() -> Result<()> {
    let gateway = json!({"peer": true, "exact": chain::GATEWAY});
    let mesh = json!({"peer": true, "prefix": "spiffe://cluster.local/"});
    let rules = json!([{"name": "gateway", "when": gateway, "use": "v2"}]);
    let known = json!({"match": [{"when": mesh}], "rules": rules});
    let unknown = json!({"match": [{"when": {"peer": true, "present": false}}]});
    let hop = with(
        configuration(&[
            rollout_with("known", all_users_get("v1"), known),
            rollout_with("unknown", all_users_get("v1"), unknown),
        ]),
        json!({"responseHeader": "x-second"}),
    );
    let plain = configuration(&[rollout("checkout", canary(0.0))]);
    let proxies = Chain::start(&plain, &hop, &plain).await?;
    for (caller, expected) in [
        (Caller::Gateway, Some("known=v2;reason=rule")),
        (Caller::AnotherPrincipal, Some("known=v1;reason=active")),
        (Caller::NoCertificate, Some("unknown=v1;reason=active")),
    ] {
        let answer = proxies.get_second_hop(caller, "").await?;
        assert_eq!(answer.header("x-second"), expected, "{caller:?}");
    }
    // The edge presents the gateway's certificate for every client.
    let answer = proxies.get("1", "/", "").await?;
    assert_eq!(answer.header("x-second"), Some("known=v2;reason=rule"));
    Ok(())
}

#[tokio::test]
async fn a_rollout_with_an_identity_of_its_own_is_decided_by_it() -> Result<()> {
    let tagging = |name: &str, fields: Value| {
        let mut rollout = rollout_with(name, canary(50.0), fields);
        if let Some(rollout) = rollout.as_object_mut() {
            rollout.remove("target");
        }
        rollout
    };
    let session = json!({"identity": [{"cookie": "session"}], "salt": "s"});
    let config = with(
        configuration(&[
            rollout_with("basket", canary(50.0), session),
            tagging("search", json!({"salt": "s"})),
        ]),
        json!({
            "identity": [{"header": "x-user-id"}, {"cookie": "id", "mint": {}}],
            "headers": {
                "route": "x-divvy-route", "assignment": "x-divvy-assignment", "identity": "x-gray-id",
            },
        }),
    );
    let edge = Edge::start(&config).await?;
    // The version of each name for the salt.
    let mut versions = BTreeMap::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let session = format!("session={name}");
        let headers = [("x-user-id", name), ("cookie", &*session)];
        let answer = edge.client.get_with("/", &headers).await?;
        let version = served_by(&answer).context("a version")?.to_owned();
        let same = format!("basket={version};reason=split, search={version};reason=split");
        assert_eq!(assignment_of(&answer), Some(&*same), "{name}");
        versions.insert(name, version);
    }
    assert!(versions.values().any(|version| *version != versions["a"]));
    for (user, user_version) in &versions {
        for (session, version) in &versions {
            let cookie = format!("session={session}");
            let headers = [("x-user-id", *user), ("cookie", &*cookie)];
            let answer = edge.client.get_with("/echo", &headers).await?;
            let expected =
                format!("basket={version};reason=split, search={user_version};reason=split");
            assert_eq!(assignment_of(&answer), Some(&*expected));
            // The identity of the rollout that sets the route.
            assert_eq!(seen_upstream(&answer, "x-gray-id")?, [*session]);
        }
    }
    // A visitor: the identity at the top is minted for `search`, and `basket` has none.
    let answer = edge.client.get("/echo").await?;
    let assignment = assignment_of(&answer).context("an assignment")?;
    assert!(assignment.starts_with("basket=v1;reason=no_identity, search=v"));
    assert!(
        answer
            .header("set-cookie")
            .is_some_and(|line| line.starts_with("id="))
    );
    assert_eq!(seen_upstream(&answer, "x-gray-id")?, [""; 0]);

    // Without another rollout that needs the identity at the top, none is minted.
    let mut alone = config;
    alone["rollouts"].as_array_mut().context("rollouts")?.pop();
    edge.put(&alone).await?;
    let answer = edge.client.get("/").await?;
    assert_eq!(assignment_of(&answer), Some("basket=v1;reason=no_identity"));
    assert_eq!(answer.header("set-cookie"), None);
    Ok(())
}
