//! Reserved headers sent by a client: no effect on the version or on the headers that the
//! upstream receives.

use crate::setup::{
    Edge, Setup, all_users_get, assignment_of, canary, configuration, rollout, rollout_with,
    seen_upstream, served_by, without,
};
use anyhow::Result;
use divvy_lab::bootstrap::{Bootstrap, Position};
use divvy_lab::client::{Http2, Response, request};
use divvy_lab::metrics::Metrics;
use serde_json::{Value, json};

/// Forged header lines.
const FORGED: [&[&str]; 21] = [
    &["x-divvy-route: v3"],
    &["x-divvy-route: v3", "x-divvy-route: v3"],
    &["x-divvy-route: v1", "x-divvy-route: v3"],
    &["X-DIVVY-ROUTE: v3"],
    &["X-Divvy-Route: v3", "x-divvy-route: v2"],
    &["x_divvy_route: v3"],
    &["x-divvy_route: v3"],
    &["X_DIVVY-ROUTE: v3"],
    &["x-divvy-route: "],
    &["x-divvy-route:v3 "],
    &["x-divvy-assignment: checkout=v3;reason=rule"],
    &[
        "x-divvy-assignment: checkout=v3",
        "X-Divvy-Assignment: other=v3",
    ],
    &["X-DIVVY-ASSIGNMENT: checkout=v3"],
    &["x_divvy_assignment: checkout=v3"],
    &["x-divvy-mirror: v3"],
    &["x-divvy-mirror: v3", "X-DIVVY-MIRROR: v2"],
    &["x_divvy_mirror: v3"],
    &["x-divvy-unit: 0123456789abcdef"],
    &["X-Divvy-Unit: 0", "x-divvy-unit: 1"],
    &["x_divvy_unit: 0123456789abcdef"],
    &[
        "x-divvy-route: v3",
        "x-divvy-assignment: checkout=v3",
        "x-divvy-mirror: v3",
    ],
];

/// The echo without headers that differ per request.
fn echo(answer: &Response) -> Result<Value> {
    let mut echo = answer.json()?;
    if let Some(headers) = echo["headers"].as_array_mut() {
        headers.retain(|line| line[0] != "x-request-id");
    }
    Ok(echo)
}

/// Sends every request with and without the forged headers, and asserts equal responses.
async fn assert_no_effect(edge: &Edge, user: &str, version: &str) -> Result<()> {
    let user = format!("x-user-id: {user}");
    let honest = edge.raw_get("/echo", &[&user]).await?;
    assert_eq!(honest.status, 200);
    assert_eq!(served_by(&honest), Some(version), "{user}");
    assert_eq!(seen_upstream(&honest, "x-divvy-route")?, [""; 0]);
    for forged in FORGED {
        let mut lines = forged.to_vec();
        lines.push(&user);
        let answer = edge.raw_get("/echo", &lines).await?;
        assert_eq!(answer.status, 200, "{forged:?}");
        assert_eq!(served_by(&answer), Some(version), "{forged:?} by {user}");
        assert_eq!(assignment_of(&answer), assignment_of(&honest), "{forged:?}");
        assert_eq!(echo(&answer)?, echo(&honest)?, "{forged:?}");
    }
    Ok(())
}

/// Without the removal before all filters.
fn without_early_removal(mut bootstrap: Bootstrap) -> Result<Bootstrap> {
    for manager in bootstrap.connection_managers()? {
        let removed = manager["early_header_mutation_extensions"].take();
        assert!(removed.is_array(), "the shipped file removes them early");
    }
    Ok(bootstrap)
}

/// Passes only requests with the route to v2.
fn only_v2(bootstrap: Bootstrap) -> Result<Bootstrap> {
    let v2 = json!({"header": {"name": "x-divvy-route", "string_match": {"exact": "v2"}}});
    let rbac = json!({
        "name": "rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {
                "v2": {"permissions": [{"any": true}], "principals": [v2]},
            }},
        },
    });
    bootstrap.with_http_filter(&rbac, Position::Before("divvy"))
}

/// Half of the users get v2.
fn half() -> Value {
    configuration(&[rollout("checkout", canary(50.0))])
}

/// Two users and their versions under [`half`].
const USERS: [(&str, &str); 2] = [("user-3", "v2"), ("user-1", "v1")];

#[tokio::test]
async fn forged_headers_have_no_effect_on_a_decision() -> Result<()> {
    let edge = Edge::start(&half()).await?;
    for (user, version) in USERS {
        assert_no_effect(&edge, user, version).await?;
    }
    assert_eq!(edge.upstreams["v3"].requests(), 0);
    Ok(())
}

#[tokio::test]
async fn forged_headers_have_no_effect_without_a_decision() -> Result<()> {
    let elsewhere = json!({"match": [{"path": {"prefix": "/elsewhere"}}]});
    let unmatched = rollout_with("checkout", all_users_get("v2"), elsewhere);
    // A rollout that only tags leaves the route to the proxy.
    let tagging = without(rollout("tagging", all_users_get("v2")), "target");
    for (what, configuration) in [
        ("no rollout matches", configuration(&[unmatched])),
        ("there are no rollouts", json!({})),
        ("a rollout only tags", configuration(&[tagging])),
    ] {
        println!("{what}");
        let edge = Edge::start(&configuration).await?;
        assert_no_effect(&edge, "user-1", "v1").await?;
    }
    Ok(())
}

#[tokio::test]
async fn forged_headers_have_no_effect_on_an_inert_filter() -> Result<()> {
    let edge = Setup::of_anything("{\"rollouts\": 1}")?.start().await?;
    assert_eq!(edge.gauge("divvy_config_inert").await?, Some(1.0));
    assert_no_effect(&edge, "user-1", "v1").await
}

#[tokio::test]
async fn the_filter_alone_strips_forged_headers_before_the_route_is_chosen() -> Result<()> {
    let decided = Setup::new(&half())?
        .bootstrap(without_early_removal)?
        .start()
        .await?;
    for (user, version) in USERS {
        assert_no_effect(&decided, user, version).await?;
    }
    for text in ["{}", "{\"rollouts\": 1}"] {
        let edge = Setup::of_anything(text)?
            .bootstrap(without_early_removal)?
            .start()
            .await?;
        assert_no_effect(&edge, "user-1", "v1").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_filter_in_front_never_sees_a_forged_route() -> Result<()> {
    let edge = Setup::new(&half())?.bootstrap(only_v2)?.start().await?;
    let others: [&[&str]; 2] = [&[], &["x-divvy-route: v2"]];
    for forged in FORGED.into_iter().chain(others) {
        let answer = edge.raw_get("/echo", forged).await?;
        assert_eq!(answer.status, 403, "{forged:?}");
    }
    assert_eq!(edge.upstream_requests(), 0);
    Ok(())
}

/// The reason for the removal in the shipped file, and proof that the test above can fail.
#[tokio::test]
async fn without_early_removal_a_filter_in_front_sees_the_forged_route() -> Result<()> {
    let setup = Setup::new(&half())?
        .bootstrap(only_v2)?
        .bootstrap(without_early_removal)?;
    let edge = setup.start().await?;
    for (user, version) in USERS {
        let user = format!("x-user-id: {user}");
        let lines = ["x-divvy-route: v2", &*user];
        let answer = edge.raw_get("/echo", &lines).await?;
        // It passed the request. The filter still chooses the route.
        assert_eq!((answer.status, served_by(&answer)), (200, Some(version)));
    }
    Ok(())
}

#[tokio::test]
async fn forged_headers_over_http2_have_no_effect() -> Result<()> {
    let edge = Edge::start(&half()).await?;
    let client = Http2::connect(edge.addr).await?;
    for (user, version) in USERS {
        let honest = client
            .send(request("GET", "/echo", &[("x-user-id", user)], "")?)
            .await?;
        for name in [
            "x-divvy-route",
            "x-divvy-assignment",
            "x-divvy-mirror",
            "x-divvy-unit",
            "x_divvy_route",
        ] {
            let headers = [("x-user-id", user), (name, "v3"), (name, "v3")];
            let answer = client.send(request("GET", "/echo", &headers, "")?).await?;
            assert_eq!(served_by(&answer), Some(version), "{name}");
            assert_eq!(echo(&answer)?, echo(&honest)?, "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn forged_values_are_not_in_metrics_or_the_access_log() -> Result<()> {
    let edge = Edge::start(&half()).await?;
    let lines = [
        "x-divvy-route: evil",
        "x-divvy-assignment: evil=evil",
        "x-divvy-unit: evil",
        "x-user-id: user-1",
    ];
    edge.raw_get("/", &lines).await?;
    let line = edge
        .envoy
        .wait_for_log(|line| line.starts_with('{'), crate::setup::PATIENCE);
    let line: Value = serde_json::from_str(&line.await?)?;
    assert_eq!(line["assignment"], "checkout=v1;reason=split");
    assert_eq!(line["cluster"], "v1");
    assert_eq!(line["unit"], Value::Null);
    let metrics: Metrics = edge.metrics().await?;
    assert!(!format!("{metrics:?}").contains("evil"));
    assert!(edge.envoy.log().iter().all(|line| !line.contains("evil")));
    Ok(())
}
