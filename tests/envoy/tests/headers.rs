//! The headers that divvy writes: upstream, to the client and in the access log.

use crate::setup::{
    Edge, PATIENCE, Setup, all_users_get, assignment_of, canary, configuration, rollout,
    rollout_with, seen_upstream, served_by, with, without,
};
use anyhow::{Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::request;
use serde_json::{Value, json};

#[tokio::test]
async fn the_assignment_is_sent_upstream_and_logged_as_a_dictionary() -> Result<()> {
    // A name that is not a token is a string.
    let numbered = json!({
        "versions": [{"name": "2.0", "target": "v3"}, {"name": "1.0", "target": "v1"}],
        "stable": "2.0",
    });
    let api = rollout("api", json!({"canary": {"version": "1.0", "weight": 0}}));
    let edge = Edge::start(&configuration(&[
        rollout("checkout", all_users_get("v2")),
        without(with(api, numbered), "target"),
        rollout_with("off", canary(50.0), json!({"enabled": false})),
        rollout("who", canary(50.0)),
    ]))
    .await?;
    let dictionary = "checkout=v2;reason=active, api=\"2.0\";reason=split, \
                      off=v1;reason=disabled, who=v1;reason=no_identity";
    let body = b"0123456789";
    let posted = edge
        .client
        .send(request("POST", "/echo", &[("x-a", "b")], &body[..])?)
        .await?;
    assert_eq!(served_by(&posted), Some("v2"));
    assert_eq!(seen_upstream(&posted, "x-divvy-assignment")?, [dictionary]);
    assert_eq!(seen_upstream(&posted, "x-divvy-route")?, [""; 0]);
    assert_eq!(posted.json()?["body_length"], 10);
    assert_eq!(assignment_of(&posted), Some(dictionary));

    let line = edge
        .envoy
        .wait_for_log(|line| line.starts_with('{'), PATIENCE)
        .await?;
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!(line["assignment"], dictionary);
    assert_eq!(line["cluster"], "v2");
    Ok(())
}

#[tokio::test]
async fn the_response_has_the_assignment_only_if_configured_and_never_from_the_upstream()
-> Result<()> {
    let telling = configuration(&[rollout("checkout", all_users_get("v2"))]);
    let silent = without(telling.clone(), "responseHeader");
    let other = with(telling.clone(), json!({"responseHeader": "X-Shop-Group"}));
    let edge = Edge::start(&json!({})).await?;
    // The upstream sends another value.
    let path = "/?header=x-divvy-version:forged&header=x-divvy-version:twice";
    for (configuration, header, expected) in [
        (
            telling,
            "x-divvy-version",
            &["checkout=v2;reason=active"][..],
        ),
        (other, "x-shop-group", &["checkout=v2;reason=active"]),
        (silent, "x-shop-group", &[]),
    ] {
        edge.put(&configuration).await?;
        let answer = edge.client.get(path).await?;
        let values: Vec<_> = answer.headers.get_all(header).iter().collect();
        assert_eq!(values, expected);
    }
    Ok(())
}

/// The shipped bootstrap with other header names, as its comments require.
fn renamed(mut bootstrap: Bootstrap) -> Result<Bootstrap> {
    let text = bootstrap.json().to_string();
    ensure!(
        text.contains("x-divvy-route"),
        "the shipped routes go by another header"
    );
    let text = text.replace("x-divvy-route", "x-shop-cluster");
    *bootstrap.json() = serde_json::from_str(&text)?;
    Ok(bootstrap)
}

#[tokio::test]
async fn configured_header_names_are_written_and_the_default_ones_stripped() -> Result<()> {
    let headers = json!({"route": "X-Shop-Cluster", "assignment": "x-shop-versions"});
    let half = configuration(&[rollout("checkout", canary(50.0))]);
    let setup = Setup::new(&with(half, json!({"headers": headers})))?;
    let edge = setup.bootstrap(renamed)?.start().await?;
    for (user, version) in [("user-3", "v2"), ("user-1", "v1")] {
        let user = format!("x-user-id: {user}");
        let forged = [
            "x-shop-cluster: v3",
            "x-shop-versions: evil",
            "x-divvy-route: v3",
        ];
        let lines = [
            &*user,
            forged[0],
            forged[1],
            forged[2],
            "x-divvy-mirror: v3",
        ];
        let answer = edge.raw_get("/echo", &lines).await?;
        assert_eq!(served_by(&answer), Some(version));
        let assignment = format!("checkout={version};reason=split");
        assert_eq!(seen_upstream(&answer, "x-shop-versions")?, [assignment]);
        for stripped in [
            "x-shop-cluster",
            "x-divvy-route",
            "x-divvy-assignment",
            "x-divvy-mirror",
        ] {
            assert_eq!(seen_upstream(&answer, stripped)?, [""; 0], "{stripped}");
        }
    }
    Ok(())
}
