//! What `envoy/docs/BUCKETING.md` and `envoy/docs/MIGRATING.md` say of Envoy's own `weighted_clusters`, where
//! no divvy takes part, and of the steps from there to divvy.

use std::collections::BTreeMap;

use crate::setup::{
    REQUESTS, Setup, all_users_get, canary, configuration, expect, rollout_with, served_by, with,
    without,
};
use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::upstream::{Upstream, start_versions};
use serde_json::{Value, json};

const USERS: u32 = 200;

/// A route that splits by these weights, with the user as hash policy.
fn route(prefix: &str, weights: &[u32], by_hash: bool) -> Value {
    let clusters = ["v1", "v2", "v3"].iter().zip(weights);
    let clusters: Vec<_> = clusters
        .map(|(name, weight)| json!({"name": name, "weight": weight}))
        .collect();
    let mut split = json!({"clusters": clusters});
    if by_hash {
        split["use_hash_policy"] = json!(true);
    }
    let policy = json!([{"header": {"header_name": "x-user-id"}}]);
    json!({"match": {"prefix": prefix}, "route": {"weighted_clusters": split, "hash_policy": policy}})
}

struct Proxy {
    client: Http1,
    _envoy: Envoy,
    _upstreams: BTreeMap<&'static str, Upstream>,
}

impl Proxy {
    async fn start(routes: &[Value]) -> Result<Proxy> {
        let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_http_filter("divvy")?;
        for manager in bootstrap.connection_managers()? {
            manager["route_config"]["virtual_hosts"][0]["routes"] = json!(routes);
        }
        let (bootstrap, upstreams) = start_versions(bootstrap).await?;
        let envoy = Envoy::start(&Binary::find()?, &bootstrap, &Options::default()).await?;
        Ok(Proxy {
            client: Http1::new(envoy.listener("edge").await?),
            _envoy: envoy,
            _upstreams: upstreams,
        })
    }

    /// The version of each user.
    async fn users(&self, path: &str) -> Result<BTreeMap<u32, String>> {
        let mut served = BTreeMap::new();
        for user in 1..=USERS {
            let headers = [("x-user-id", user.to_string())];
            let answer = self.client.get_with(path, &headers).await?;
            let version = served_by(&answer).context("no version answered")?;
            ensure!(answer.status == 200, "{path}: {}", answer.status);
            served.insert(user, version.to_owned());
        }
        Ok(served)
    }
}

/// The number of users whose version changes.
fn moves(before: &BTreeMap<u32, String>, after: &BTreeMap<u32, String>) -> BTreeMap<String, u32> {
    let mut moves = BTreeMap::new();
    for (user, was) in before {
        if let Some(is) = after.get(user).filter(|is| *is != was) {
            *moves.entry(format!("{was} to {is}")).or_default() += 1;
        }
    }
    moves
}

#[tokio::test]
async fn by_default_weighted_clusters_ignore_the_hash_policy() -> Result<()> {
    let proxy = Proxy::start(&[route("/", &[50, 50], false)]).await?;
    let moved = moves(&proxy.users("/").await?, &proxy.users("/").await?);
    // Each user moves with a probability of 0.5, so that some move is certain.
    assert_eq!(moved.len(), 2, "{moved:?}");
    Ok(())
}

#[tokio::test]
async fn with_use_hash_policy_users_stay_without_salt_and_modulo_the_sum() -> Result<()> {
    let proxy = Proxy::start(&[
        route("/small", &[95, 5], true),
        route("/large", &[80, 20], true),
        route("/other-service", &[80, 20], true),
        route("/two", &[1, 1], true),
        route("/same-ratio", &[50, 50], true),
        route("/three", &[1, 1, 1], true),
    ])
    .await?;
    let large = proxy.users("/large").await?;
    assert_eq!(proxy.users("/large").await?, large, "users stay");
    assert_eq!(proxy.users("/other-service").await?, large, "no salt");

    let grown = moves(&proxy.users("/small").await?, &large);
    assert_eq!(grown.keys().collect::<Vec<_>>(), ["v1 to v2"], "monotone");

    let two = proxy.users("/two").await?;
    let same_ratio = moves(&two, &proxy.users("/same-ratio").await?);
    assert_eq!(same_ratio.len(), 2, "another sum: {same_ratio:?}");
    let three = moves(&two, &proxy.users("/three").await?);
    assert!(three.contains_key("v1 to v2"), "between the old: {three:?}");
    assert!(three.contains_key("v2 to v1"), "between the old: {three:?}");
    Ok(())
}

#[tokio::test]
async fn each_step_of_a_migration_can_be_reverted_by_configuration() -> Result<()> {
    let routing = rollout_with("checkout", canary(100.0), json!({}));
    let tagging = without(routing.clone(), "target");
    // The old split behind divvy's route: here it serves all users v3.
    let edge = Setup::new(&configuration(std::slice::from_ref(&tagging)))?
        .bootstrap(|mut bootstrap| {
            for manager in bootstrap.connection_managers()? {
                let routes = "/route_config/virtual_hosts/0/routes/2/route";
                let old = json!({"weighted_clusters": {"clusters": [{"name": "v3", "weight": 1}]}});
                *manager.pointer_mut(routes).context("a last route")? = old;
            }
            Ok(bootstrap)
        })?
        .start()
        .await?;
    let served = async || -> Result<Option<String>> {
        let answer = edge.get_as("1", "/").await?;
        Ok(served_by(&answer).map(str::to_owned))
    };
    assert_eq!(served().await?.as_deref(), Some("v3"), "decides, counts");
    let counted = expect([(["checkout", "v2", "split"], 1)]);
    edge.wait_for_counts(REQUESTS, &counted).await?;
    for (step, rollout, version) in [
        ("routes", routing.clone(), "v2"),
        ("goes back to the old split", tagging, "v3"),
        (
            "routes again",
            with(routing.clone(), json!({"salt": "x"})),
            "v2",
        ),
        (
            "goes to stable",
            with(routing, json!({"enabled": false})),
            "v1",
        ),
        (
            "is done",
            rollout_with("checkout", all_users_get("v2"), json!({})),
            "v2",
        ),
    ] {
        edge.put(&configuration(&[rollout])).await?;
        assert_eq!(served().await?.as_deref(), Some(version), "{step}");
    }
    Ok(())
}
