//! Headers of single rollouts, the identity header, and levels of metrics.

use crate::setup::{
    DURATIONS, Edge, REQUESTS, RESPONSES, Setup, WEIGHTS, all_users_get, canary, configuration,
    expect, rollout, rollout_with, seen_upstream, with,
};
use anyhow::Result;
use divvy_lab::client::{Response, request};
use divvy_lab::jwt::{JwtAuthn, Key, valid};
use serde_json::{Value, json};

/// A header that the upstream received, as one text.
fn upstream(answer: &Response, header: &str) -> Result<String> {
    Ok(seen_upstream(answer, header)?.join("|"))
}

#[tokio::test]
async fn a_rollout_exposes_its_version_and_revision_in_headers() -> Result<()> {
    let shop = json!({"match": [{"path": {"prefix": "/echo"}}], "revision": "7", "expose": {
        "group": "X-ABTest-Group", "id": "X-ABTest-Id", "response": true,
    }});
    // It matches as well, and exposes the same header: the first rollout sets it.
    let all = json!({"expose": {"group": "x-abtest-group"}});
    let edge = Edge::start(&configuration(&[
        rollout_with("shop", all_users_get("v2"), shop),
        rollout_with("all", all_users_get("v3"), all),
    ]))
    .await?;
    let forged = [("x-abtest-group", "v9"), ("x-abtest-id", "shop@6")];
    for headers in [&[][..], &forged] {
        let answer = edge
            .client
            .get_with("/echo?header=x-abtest-group:v8", headers)
            .await?;
        assert_eq!(upstream(&answer, "x-abtest-group")?, "v2");
        assert_eq!(upstream(&answer, "x-abtest-id")?, "shop@7");
        assert_eq!(answer.header("x-abtest-group"), Some("v2"));
        assert_eq!(answer.header("x-abtest-id"), Some("shop@7"));
    }
    // If the first does not match, the second sets it, but not in the response.
    let answer = edge.client.get_with("/?echo=1", &forged).await?;
    assert_eq!(answer.header("x-abtest-group"), None);
    assert_eq!(upstream(&answer, "x-abtest-group")?, "v3");
    assert_eq!(upstream(&answer, "x-abtest-id")?, "");
    Ok(())
}

/// Each kind of identity source, with the identity header.
fn identity_sources() -> Value {
    let sources = json!([
        {"header": "x-user-id"}, {"cookie": "uid"}, {"query": "uid"}, {"jwtClaim": "sub"},
        {"concat": [{"header": "x-tenant"}, {"header": "x-member"}]}, {"sourceIp": true},
    ]);
    let headers = json!({"route": "x-divvy-route", "identity": "x-gray-id"});
    let narrow = json!({"match": [{"path": {"prefix": "/echo"}}]});
    with(
        configuration(&[
            rollout_with("shop", canary(50.0), narrow),
            rollout("green", all_users_get("v1")),
        ]),
        json!({"identity": sources, "headers": headers}),
    )
}

#[tokio::test]
async fn the_identity_header_has_a_given_identity_that_a_decision_needed() -> Result<()> {
    let key = Key::number(1);
    let edge = Setup::new(&identity_sources())?
        .bootstrap(|edge| edge.with_jwt(&JwtAuthn::new(&key)))?
        .start()
        .await?;
    let bearer = format!("Bearer {}", key.sign(&valid(&json!({"sub": "carol"}))));
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Headers<'_>, &str); 10] = [
        ("/echo", &[("x-user-id", "alice")], "alice"),
        ("/echo", &[("x-user-id", "  alice ")], "alice"),
        ("/echo", &[("cookie", "uid=bob")], "bob"),
        ("/echo?uid=d%20e", &[], "d e"),
        ("/echo", &[("authorization", &bearer)], "carol"),
        // Not a valid header value: it would be two lines.
        ("/echo?uid=a%0d%0ax-evil:%201", &[], ""),
        ("/echo?uid=a%00b", &[], ""),
        // It was computed, not given.
        ("/echo", &[("x-tenant", "acme"), ("x-member", "m")], ""),
        ("/echo", &[], ""),
        // Not needed: blue/green needs no identity.
        ("/?echo=1", &[("x-user-id", "alice")], ""),
    ];
    for (path, headers, identity) in cases {
        for forged in [false, true] {
            let mut headers = headers.to_vec();
            if forged {
                headers.extend([("x-gray-id", "admin"), ("x-gray-id", "root")]);
            }
            let answer = edge.client.get_with(path, &headers).await?;
            assert_eq!(answer.status, 200, "{path} {headers:?}");
            assert_eq!(
                upstream(&answer, "x-gray-id")?,
                identity,
                "{path} {headers:?}"
            );
            assert_eq!(upstream(&answer, "x-evil")?, "", "{path}");
        }
    }
    Ok(())
}

/// As a platform labels its traffic.
#[tokio::test]
async fn the_version_is_a_label_beside_the_labels_of_others() -> Result<()> {
    let label = json!({"expose": {"label": {"header": "X-Traffic-Label", "key": "version"}},
        "match": [{"path": {"prefix": "/echo"}}]});
    let edge = Edge::start(&configuration(&[rollout_with(
        "shop",
        all_users_get("v2"),
        label,
    )]))
    .await?;
    for (sent, shop, elsewhere) in [
        (&[][..], "version=v2", ""),
        (
            &["env=gray;tenant=7"],
            "env=gray;tenant=7;version=v2",
            "env=gray;tenant=7",
        ),
        (
            &["version=v9;env=gray; version =v8;x"],
            "env=gray;x;version=v2",
            "env=gray;x",
        ),
        (
            &["env=gray", "version=v9", "tenant=7"],
            "env=gray;tenant=7;version=v2",
            "env=gray;tenant=7",
        ),
        (
            &["env=gray", "tenant=7"],
            "env=gray;tenant=7;version=v2",
            "env=gray|tenant=7",
        ),
    ] {
        let headers: Vec<_> = sent.iter().map(|line| ("x-traffic-label", *line)).collect();
        for (path, expected) in [("/echo", shop), ("/?echo=1", elsewhere)] {
            let answer = edge.client.get_with(path, &headers).await?;
            assert_eq!(
                upstream(&answer, "x-traffic-label")?,
                expected,
                "{path} {sent:?}"
            );
        }
    }
    Ok(())
}

/// One name for the header that clients send and the header that the upstream receives.
#[tokio::test]
async fn an_identity_from_header_query_or_cookie_goes_on_under_the_name_of_the_header() -> Result<()>
{
    let sources = json!([{"header": "x-gray-id"}, {"query": "grayid"}, {"cookie": "gray"}]);
    let headers = json!({"route": "x-divvy-route", "identity": "X-Gray-Id"});
    let edge = Edge::start(&with(
        configuration(&[rollout_with(
            "shop",
            canary(50.0),
            json!({"match": [{"path": {"prefix": "/echo"}}]}),
        )]),
        json!({"identity": sources, "headers": headers, "ignoreIdentities": ["null"]}),
    ))
    .await?;
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Headers<'_>, &str); 8] = [
        ("/echo", &[("x-gray-id", "alice")], "alice"),
        ("/echo?grayid=bob", &[], "bob"),
        ("/echo", &[("cookie", "gray=carol")], "carol"),
        ("/echo?grayid=bob", &[("x-gray-id", "alice")], "alice"),
        ("/echo?grayid=bob", &[("x-gray-id", "null")], "bob"),
        ("/echo", &[("x-gray-id", "a"), ("x-gray-id", "b")], ""),
        ("/echo", &[], ""),
        // No rollout matches, so none was looked for.
        ("/?echo=1", &[("x-gray-id", "null")], "null"),
    ];
    for (path, headers, identity) in cases {
        let answer = edge.client.get_with(path, headers).await?;
        assert_eq!(
            upstream(&answer, "x-gray-id")?,
            identity,
            "{path} {headers:?}"
        );
        // The same user has the same version, whichever source names it.
        if !identity.is_empty() && path.starts_with("/echo") {
            let by_header = edge
                .client
                .get_with("/echo", &[("x-gray-id", identity)])
                .await?;
            assert_eq!(
                answer.header("x-shop-version"),
                by_header.header("x-shop-version")
            );
        }
    }
    Ok(())
}

/// The random numbers are real, so the bounds are six standard deviations away: one run in
/// 500 million fails.
#[tokio::test]
async fn clients_without_an_identity_are_split_by_a_random_one_per_request() -> Result<()> {
    const REQUESTS: u64 = 2_000;
    let configuration = with(
        configuration(&[rollout("checkout", canary(20.0))]),
        json!({"identity": [{"header": "x-user-id"}, {"random": true}]}),
    );
    let edge = Edge::start(&configuration).await?;
    for _ in 0..REQUESTS {
        let answer = edge
            .client
            .send(request("GET", "/", &[] as &[(&str, &str)], "")?)
            .await?;
        assert_eq!(answer.status, 200);
    }
    let on_v2 = edge.upstreams["v2"].requests();
    assert!((293..=507).contains(&on_v2), "{on_v2} of {REQUESTS}");
    // A user with an identity gets no random one.
    let before = edge.upstreams["v2"].requests();
    for _ in 0..50 {
        edge.get_as("user-1", "/").await?;
    }
    let more = edge.upstreams["v2"].requests() - before;
    assert!(more == 0 || more == 50, "{more}");
    Ok(())
}

#[tokio::test]
async fn a_rollout_counts_by_its_level_of_metrics() -> Result<()> {
    let level = |level: &str| json!({"metrics": level});
    let edge = Edge::start(&configuration(&[
        rollout_with("all", all_users_get("v2"), level("responses")),
        rollout_with("some", all_users_get("v2"), level("requests")),
        rollout_with("none", all_users_get("v2"), level("off")),
    ]))
    .await?;
    for _ in 0..3 {
        edge.get_as("user-1", "/").await?;
    }
    let requests = expect([(["all", "v2", "active"], 3), (["some", "v2", "active"], 3)]);
    edge.wait_for_counts(REQUESTS, &requests).await?;
    let responses = expect([(["all", "v2", "2xx"], 3)]);
    edge.wait_for_counts(RESPONSES, &responses).await?;
    let durations = expect([(["all", "v2"], 3)]);
    edge.wait_for_counts(DURATIONS, &durations).await?;
    let weights = expect([(["all", "v2"], 1_000_000), (["some", "v2"], 1_000_000)]);
    edge.wait_for_counts(WEIGHTS, &weights).await?;
    // A rollout without metrics has no series, not even at 0.
    let metrics = edge.metrics().await?;
    for metric in [
        "divvy_requests_total",
        "divvy_responses_total",
        "divvy_weight_ppm",
    ] {
        let rollouts = metrics.labels(metric);
        assert!(
            rollouts
                .iter()
                .all(|labels| labels["divvy_rollout"] != "none"),
            "{metric}"
        );
    }
    Ok(())
}
