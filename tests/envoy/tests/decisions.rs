//! The version and reason of each request: strategies, rules, scopes, several rollouts.

use crate::setup::{
    Edge, Setup, all_users_get, assignment_of, canary, configuration, rollout, rollout_with,
    served_by, with, without,
};
use anyhow::{Context, Result};
use divvy::decide::decide;
use divvy::{config, output, request::Request};
use divvy_lab::client::{Http2, raw, request};
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

/// Asserts the decisions, such as `v1 split`, for users; "" sends no identity.
async fn assert_users<const N: usize>(edge: &Edge, expected: [(&str, &str); N]) -> Result<()> {
    for (user, decision) in expected {
        let (version, reason) = decision.split_once(' ').context("a decision")?;
        let answer = match user {
            "" => edge.client.get("/").await?,
            user => edge.get_as(user, "/").await?,
        };
        assert_eq!(served_by(&answer), Some(version), "{user:?}");
        let assignment = format!("checkout={version};reason={reason}");
        assert_eq!(assignment_of(&answer), Some(&*assignment), "{user:?}");
    }
    Ok(())
}

/// One Envoy; each strategy is pushed in turn.
#[tokio::test]
async fn canary_ab_test_and_blue_green_choose_the_expected_versions() -> Result<()> {
    let test = |traffic: u32| {
        let split = json!([{"version": "v1", "weight": 95}, {"version": "v2", "weight": 5}]);
        json!({"abTest": {"split": split, "traffic": traffic}})
    };
    let one_arm = json!({"abTest": {"split": [{"version": "v3", "weight": 7}]}});
    // The strategy, and the decisions for user-1 and without an identity. In the vectors user-1 has
    // position 246527 for the salt s7, and the arm v1.
    let steps = [
        (canary(0.0), "v1 split", "v1 split"),
        (canary(24.6527), "v1 split", "v1 no_identity"),
        (canary(24.6528), "v2 split", "v1 no_identity"),
        (canary(100.0), "v2 split", "v2 split"),
        (test(100), "v1 split", "v1 no_identity"),
        (test(24), "v1 not_enrolled", "v1 no_identity"),
        (test(0), "v1 not_enrolled", "v1 not_enrolled"),
        (one_arm, "v3 split", "v3 split"),
        (all_users_get("v1"), "v1 active", "v1 active"),
        (all_users_get("v2"), "v2 active", "v2 active"),
        (all_users_get("v1"), "v1 active", "v1 active"),
    ];
    let edge = Edge::start(&json!({})).await?;
    for (number, (strategy, user, anonymous)) in steps.into_iter().enumerate() {
        let rollout = rollout_with("checkout", strategy, json!({"salt": "s7"}));
        let step = json!({"version": number.to_string()});
        edge.put(&with(configuration(&[rollout]), step)).await?;
        assert_users(&edge, [("user-1", user), ("", anonymous)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_rollout_serves_stable_despite_its_rules() -> Result<()> {
    let any_user = json!({"header": "x-user-id", "present": true});
    let rules = json!([{"name": "all-users", "when": any_user, "use": "v3"}]);
    let on = rollout_with("checkout", all_users_get("v2"), json!({"rules": rules}));
    let edge = Edge::start(&configuration(std::slice::from_ref(&on))).await?;
    assert_users(&edge, [("a", "v3 rule"), ("", "v2 active")]).await?;
    let off = with(on.clone(), json!({"enabled": false}));
    edge.put(&configuration(&[off])).await?;
    assert_users(&edge, [("a", "v1 disabled"), ("", "v1 disabled")]).await?;
    edge.put(&configuration(&[on])).await?;
    assert_users(&edge, [("a", "v3 rule"), ("", "v2 active")]).await
}

#[tokio::test]
async fn the_first_rule_that_matches_wins_and_a_percent_is_of_users() -> Result<()> {
    let rule = |name: &str, when: Value, version: &str, percent: Value| match percent {
        Value::Null => json!({"name": name, "when": when, "use": version}),
        _ => json!({"name": name, "when": when, "use": version, "percent": percent}),
    };
    let ring = |ring: &str| json!({"header": "x-ring", "exact": ring});
    let beta = json!({"any": [ring("beta"), {"cookie": "ring", "in": ["beta", "gamma"]}]});
    let not_v2 = json!({"all": [{"query": "new", "exact": "0"}, {"not": ring("gamma")}]});
    let rules = json!([
        rule("back", not_v2, "v1", Value::Null),
        rule("none", ring("beta"), "v2", json!(0)),
        rule("all", beta, "v3", json!(100)),
        rule("late", ring("beta"), "v2", Value::Null),
        rule("gamma", ring("gamma"), "v2", Value::Null),
    ]);
    let checkout = rollout_with("checkout", canary(0.0), json!({"rules": rules}));
    let edge = Edge::start(&configuration(&[checkout])).await?;
    const USER: (&str, &str) = ("x-user-id", "u");
    const BETA: (&str, &str) = ("x-ring", "beta");
    const GAMMA: (&str, &str) = ("x-ring", "gamma");
    for (path, headers, version, reason) in [
        ("/", &[USER][..], "v1", "split"),
        ("/", &[USER, BETA], "v3", "rule"),
        ("/", &[USER, ("cookie", "a=b; ring=gamma")], "v3", "rule"),
        ("/?new=0", &[USER, BETA], "v1", "rule"),
        ("/?new=0", &[GAMMA], "v2", "rule"),
        ("/?new=1", &[GAMMA], "v2", "rule"),
        // Without an identity only the percents 0 and 100 apply.
        ("/", &[BETA], "v3", "rule"),
        ("/", &[("x-ring", "BETA")], "v1", "split"),
    ] {
        let answer = edge.client.get_with(path, headers).await?;
        assert_eq!(served_by(&answer), Some(version), "{path} {headers:?}");
        let assignment = format!("checkout={version};reason={reason}");
        let given = assignment_of(&answer);
        assert_eq!(given, Some(&*assignment), "{path} {headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rollout_matches_its_hosts_paths_and_methods() -> Result<()> {
    let scopes = json!({"match": [
        {
            "hosts": ["shop.example.com", "*.eu.example.com"],
            "path": {"prefix": "/checkout"},
            "methods": ["GET", "POST"],
        },
        {"path": {"in": ["/a", "/b"]}},
    ]});
    let edge = Edge::start(&configuration(&[rollout_with(
        "checkout",
        all_users_get("v2"),
        scopes,
    )]))
    .await?;
    for (method, host, path, looks) in [
        ("GET", "shop.example.com", "/checkout", true),
        ("POST", "SHOP.example.com:8080", "/checkout/pay?x=1", true),
        ("GET", "a.b.eu.example.com", "/checkout/", true),
        ("GET", "shop.example.com", "//checkout", true),
        ("GET", "shop.example.com", "/x/../checkout", true),
        ("GET", "shop.example.com", "/checkout/../other", false),
        ("PUT", "shop.example.com", "/checkout", false),
        ("HEAD", "shop.example.com", "/checkout", false),
        ("GET", "shop.example.com", "/checkouts", false),
        ("GET", "shop.example.com", "/Checkout", false),
        ("GET", "eu.example.com", "/checkout", false),
        ("GET", "xshop.example.com", "/checkout", false),
        ("DELETE", "elsewhere", "/a", true),
        ("DELETE", "elsewhere", "/a/", false),
    ] {
        let bytes =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
        let answer = raw(edge.addr, bytes.as_bytes()).await?;
        let expected = match looks {
            true => (Some("v2"), Some("checkout=v2;reason=active")),
            false => (Some("v1"), None),
        };
        assert_eq!(
            (served_by(&answer), assignment_of(&answer)),
            expected,
            "{method} {host} {path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_first_rollout_with_a_target_owns_the_route_whatever_it_decides() -> Result<()> {
    let edge = Edge::start(&json!({})).await?;
    let tagging = |name: &str| without(rollout(name, all_users_get("v2")), "target");
    let pay = json!({"match": [{"path": {"prefix": "/pay"}}]});
    let off = json!({"enabled": false});
    let a = |fields| rollout_with("a", all_users_get("v2"), fields);
    let b = || rollout("b", all_users_get("v3"));
    for (rollouts, version) in [
        ([a(json!({})), b()], "v2"),
        ([b(), a(json!({}))], "v3"),
        ([tagging("a"), b()], "v3"),
        ([a(pay), b()], "v3"),
        ([a(off), b()], "v1"),
        // No rollout has a target: the default route serves, which is stable.
        ([tagging("a"), tagging("b")], "v1"),
    ] {
        edge.put(&configuration(&rollouts)).await?;
        let answer = edge.client.get("/").await?;
        assert_eq!(served_by(&answer), Some(version), "{rollouts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_version_can_have_its_own_target_even_an_unknown_cluster() -> Result<()> {
    let versions = json!({"versions": [
        {"name": "v1"}, {"name": "new", "target": "v3"}, {"name": "gone", "target": "no-such-cluster"},
    ]});
    let rollout = |active| with(rollout("checkout", all_users_get(active)), versions.clone());
    let edge = Edge::start(&configuration(&[rollout("new")])).await?;
    let answer = edge.client.get("/").await?;
    assert_eq!(served_by(&answer), Some("v3"));
    assert_eq!(assignment_of(&answer), Some("checkout=new;reason=active"));
    edge.put(&configuration(&[rollout("gone")])).await?;
    let answer = edge.client.get("/").await?;
    assert_eq!((answer.status, served_by(&answer)), (503, None));
    edge.put(&configuration(&[rollout("v1")])).await?;
    assert_eq!(served_by(&edge.client.get("/").await?), Some("v1"));
    Ok(())
}

#[tokio::test]
async fn a_cookie_is_found_in_any_number_of_header_lines() -> Result<()> {
    let beta = json!({"cookie": "ring", "exact": "beta"});
    let rules = json!([{"name": "beta", "when": beta, "use": "v3"}]);
    let checkout = rollout_with("checkout", canary(50.0), json!({"rules": rules}));
    let mut configuration = configuration(&[checkout]);
    configuration["identity"] = json!([{"cookie": "user"}]);
    let edge = Edge::start(&configuration).await?;
    let http2 = Http2::connect(edge.addr).await?;
    for (crumbs, version) in [
        (&["a=b; user=user-3; c=d"][..], "v2"),
        (&["a=b", "user=user-3", "c=d"], "v2"),
        (&["user=user-1", "a=b", "user=user-3"], "v1"),
        (&["user=user-3", "user=user-1; c=d"], "v2"),
        (&["user=user-3", "a=b", "ring=beta"], "v3"),
        (&["ring=alpha", "ring=beta", "user=user-3"], "v2"),
    ] {
        let headers: Vec<_> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        let answer = http2.send(request("GET", "/", &headers, "")?).await?;
        assert_eq!(served_by(&answer), Some(version), "{crumbs:?} over HTTP/2");
        let answer = edge.client.get_with("/", &headers).await?;
        assert_eq!(served_by(&answer), Some(version), "{crumbs:?} over HTTP/1");
    }
    Ok(())
}

/// The shipped configuration does what its comments say.
#[tokio::test]
async fn the_shipped_configuration_splits_the_checkout() -> Result<()> {
    let plugin = Plugin::load("envoy/plugin.yaml")?;
    let edge = Setup::of_anything(plugin.configuration())?.start().await?;
    let policy = config::parse(plugin.configuration().as_bytes())?;
    for user in 0..100 {
        let user = format!("user-{user}");
        let headers = [
            (":path", "/checkout"),
            (":method", "GET"),
            ("x-user-id", &user),
        ];
        let bytes = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_headers(&policy.names, bytes);
        let decisions = decide(&policy, &request).decisions;
        let answer = edge.get_as(&user, "/checkout").await?;
        assert_eq!(
            served_by(&answer),
            output::route(&policy, &decisions),
            "{user}"
        );
    }
    let served = ["v1", "v2", "v3"].map(|version| edge.upstreams[version].requests());
    assert!(
        served[0] > served[1] && served[1] > 0 && served[2] == 0,
        "{served:?}"
    );
    for (path, headers, version) in [
        ("/checkout", [("x-canary", "true")], "v2"),
        ("/checkout", [("cookie", "shop_role=staff")], "v3"),
        ("/checkout", [("x-user-id", "anonymous")], "v1"),
        ("/home", [("x-canary", "true")], "v1"),
    ] {
        let answer = edge.client.get_with(path, &headers).await?;
        assert_eq!(served_by(&answer), Some(version), "{path} {headers:?}");
    }
    Ok(())
}
