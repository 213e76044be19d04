//! Requests through a real Envoy Gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use divvy_cli::source::LoadedConfig;
use divvy_istio_tests::users::expected;
use divvy_lab::client::Http2;
use divvy_lab::{eventually, workspace_root};
use serde_json::Value;

use crate::lab::{Gateway, PATIENCE, replaced};

const USERS: u64 = 200;
pub const SHIPPED_WEIGHT: u64 = 20;
/// The Gateway's own name of a change that Envoy refused.
const REFUSED: &str = "envoy_listener_manager_lds_update_rejected";

/// The configuration that the shipped policy has, with another weight.
pub fn configuration(weight: u64) -> Result<Value> {
    let policy = workspace_root().join("envoy/gateway/divvy.yaml");
    let mut raw = LoadedConfig::read(&policy, None)?.raw;
    let shipped = &mut raw["rollouts"][0]["strategy"]["canary"]["weight"];
    ensure!(*shipped == SHIPPED_WEIGHT, "{shipped}");
    *shipped = weight.into();
    Ok(raw)
}

/// The version in the name of a target.
fn version(target: &str) -> &str {
    target.trim_start_matches("checkout-")
}

/// The shipped resources with another weight.
pub fn with_weight(weight: u64) -> impl Fn(&str) -> Result<String> {
    let new = format!("weight: {weight}}}");
    move |text| replaced(text, &format!("weight: {SHIPPED_WEIGHT}}}"), &new)
}

/// Publishes a weight and waits until it is in force.
async fn change(gateway: &Gateway, weight: u64) -> Result<()> {
    gateway.put(with_weight(weight))?;
    until_in_force(gateway, weight).await
}

/// Waits until new connections get the versions of this weight.
pub async fn until_in_force(gateway: &Gateway, weight: u64) -> Result<()> {
    let wanted = configuration(weight)?;
    let what = format!("weight {weight} to be in force");
    eventually(&what, PATIENCE, async || {
        differs(gateway, &wanted)
            .await
            .ok()?
            .is_none()
            .then_some(())
    })
    .await
}

/// The first user whose version is not that of the library.
pub async fn differs(gateway: &Gateway, configuration: &Value) -> Result<Option<String>> {
    // A new connection: an old one may belong to a listener that drains.
    let client = gateway.client();
    for user in 0..USERS {
        let user = user.to_string();
        let answer = client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        let (_, target) = expected(configuration, &user)?;
        let target = target.context("no target")?;
        let served = answer.header("x-shop-version").unwrap_or_default();
        if served != version(&target) {
            return Ok(Some(format!("user {user}: {served}, not {target}")));
        }
    }
    Ok(None)
}

pub async fn the_split_is_that_of_the_library(gateway: &Gateway) -> Result<()> {
    let configuration = configuration(SHIPPED_WEIGHT)?;
    let mut share = 0;
    for user in 0..USERS {
        let (_, target) = expected(&configuration, &user.to_string())?;
        share += u64::from(target.as_deref() == Some("checkout-v2"));
    }
    ensure!((16..=64).contains(&share), "{share} of {USERS} users");
    let found = differs(gateway, &configuration).await?;
    ensure!(found.is_none(), "{found:?}");
    Ok(())
}

pub async fn a_forged_route_header_has_no_effect(gateway: &Gateway) -> Result<()> {
    let configuration = configuration(SHIPPED_WEIGHT)?;
    let client = gateway.client();
    for user in 0..USERS {
        let user = user.to_string();
        let (_, target) = expected(&configuration, &user)?;
        let target = target.context("no target")?;
        let other = if target == "checkout-v1" {
            "checkout-v2"
        } else {
            "checkout-v1"
        };
        for name in ["x-divvy-route", "x_divvy_route", "x-divvy-assignment"] {
            let headers = [("x-user-id", &*user), (name, other)];
            let answer = client.get_with("/checkout", &headers).await?;
            ensure!(answer.status == 200, "{}", answer.status);
            let served = answer.header("x-shop-version");
            ensure!(
                served == Some(version(&target)),
                "user {user}, {name}: {served:?}"
            );
        }
    }
    // Without divvy the removal of the header alone protects.
    gateway.put(|text| {
        let mut documents: Vec<&str> = text.split("---\n").collect();
        documents.retain(|document| !document.contains("kind: EnvoyExtensionPolicy"));
        Ok(documents.join("---\n"))
    })?;
    eventually("the end of divvy", PATIENCE, async || {
        let answer = gateway.client().get("/").await.ok()?;
        let is_gone = answer.status == 200 && answer.header("x-divvy-version").is_none();
        is_gone.then_some(())
    })
    .await?;
    let headers = [("x-divvy-route", "checkout-v2")];
    let answer = gateway.client().get_with("/", &headers).await?;
    ensure!(answer.header("x-shop-version") == Some("v1"), "{answer:?}");
    gateway.put(|text| Ok(text.to_owned()))?;
    gateway.until_decided().await
}

pub async fn applications_get_the_assignment_and_not_the_route(gateway: &Gateway) -> Result<()> {
    let configuration = configuration(SHIPPED_WEIGHT)?;
    for user in 0..USERS {
        let user = user.to_string();
        let headers = [("x-user-id", &*user), ("x-divvy-assignment", "checkout=v9")];
        let echo = gateway.client().get_with("/echo", &headers).await?.json()?;
        let headers = echo["headers"].as_array().context("headers")?;
        let values = |name: &str| {
            let all = headers.iter().filter(|header| header[0] == name);
            all.map(|header| header[1].clone()).collect::<Vec<_>>()
        };
        let (assignment, _) = expected(&configuration, &user)?;
        ensure!(
            values("x-divvy-assignment") == [Value::from(assignment)],
            "{echo}"
        );
        ensure!(values("x-divvy-route").is_empty(), "{echo}");
    }
    Ok(())
}

pub async fn grpc_is_split_too(gateway: &Gateway) -> Result<()> {
    let configuration = configuration(SHIPPED_WEIGHT)?;
    let client = Http2::connect(gateway.address()).await?;
    for user in 0..USERS {
        let user = user.to_string();
        let answer = client
            .grpc("/shop.Shop/Buy", &[("x-user-id", &user)], b"")
            .await?;
        let status = answer.trailers.get("grpc-status").context("grpc-status")?;
        ensure!(status == "0", "{status:?}");
        let (_, target) = expected(&configuration, &user)?;
        let served = answer.header("x-shop-version");
        ensure!(
            served == target.as_deref().map(version),
            "user {user}: {served:?}"
        );
    }
    Ok(())
}

pub async fn the_labels_of_metrics_are_tags(gateway: &Gateway) -> Result<()> {
    let labels = [
        ("divvy_rollout", "checkout"),
        ("divvy_version", "v2"),
        ("divvy_reason", "split"),
    ];
    let client = gateway.client();
    let before = gateway
        .metrics()
        .await?
        .sum("divvy_requests_total", &labels);
    let configuration = configuration(SHIPPED_WEIGHT)?;
    let mut wanted = before;
    for user in 0..USERS {
        let user = user.to_string();
        client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        let (_, target) = expected(&configuration, &user)?;
        wanted += f64::from(u8::from(target.as_deref() == Some("checkout-v2")));
    }
    ensure!(wanted > before);
    eventually("the count of v2", PATIENCE, async || {
        let metrics = gateway.metrics().await.ok()?;
        (metrics.sum("divvy_requests_total", &labels) == wanted).then_some(())
    })
    .await?;
    let names = gateway.metrics().await?;
    let untagged = names
        .names()
        .into_iter()
        .filter(|name| name.contains("divvy_rollout"));
    ensure!(untagged.count() == 0);
    Ok(())
}

pub async fn a_change_under_load_fails_no_request(gateway: &Gateway) -> Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = (0..4_u64)
        .map(|number| {
            let (client, is_over) = (gateway.client(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut requests = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    let user = (requests * 4 + number).to_string();
                    let answer = client
                        .get_with("/checkout", &[("x-user-id", &user)])
                        .await?;
                    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                    requests += 1;
                }
                Ok(requests)
            })
        })
        .collect();
    let changes = async {
        for weight in [50, 80, SHIPPED_WEIGHT] {
            change(gateway, weight).await?;
        }
        anyhow::Ok(())
    };
    let changed = changes.await;
    is_over.store(true, Ordering::Relaxed);
    let mut requests = 0;
    for load in loads {
        requests += load.await??;
    }
    changed?;
    ensure!(requests > 1_000, "{requests} requests");
    Ok(())
}

pub async fn a_refused_configuration_holds_up_the_listener_until_it_is_repaired(
    gateway: &Gateway,
) -> Result<()> {
    let shipped = configuration(SHIPPED_WEIGHT)?;
    let refused = async || Ok::<_, anyhow::Error>(gateway.metrics().await?.sum(REFUSED, &[]));
    let before = refused().await?;
    gateway.put(with_weight(500))?;
    eventually("Envoy to refuse the listener", PATIENCE, async || {
        (refused().await.ok()? > before).then_some(())
    })
    .await?;
    eventually("the reason in the log", PATIENCE, async || {
        let lines = gateway.log("500 is not a percentage");
        (!lines.is_empty()).then_some(())
    })
    .await?;
    let found = differs(gateway, &shipped).await?;
    ensure!(found.is_none(), "the old configuration has gone: {found:?}");

    // Another change of the listener, by another policy, with the mistake still there.
    let before = refused().await?;
    gateway.put(|text| {
        let text = with_weight(500)(text)?;
        replaced(
            &text,
            "        - x-divvy-route\n",
            "        - x-divvy-route\n        - x-other\n",
        )
    })?;
    eventually("Envoy to refuse the other change", PATIENCE, async || {
        (refused().await.ok()? > before).then_some(())
    })
    .await?;
    let is_removed = async || {
        let answer = gateway
            .client()
            .get_with("/echo", &[("x-other", "1")])
            .await?;
        Ok::<_, anyhow::Error>(!answer.text().contains("x-other"))
    };
    ensure!(!is_removed().await?, "the other change is in force");

    gateway.put(|text| {
        let text = with_weight(50)(text)?;
        replaced(
            &text,
            "        - x-divvy-route\n",
            "        - x-divvy-route\n        - x-other\n",
        )
    })?;
    until_in_force(gateway, 50).await?;
    eventually("the other change", PATIENCE, async || {
        is_removed().await.ok()?.then_some(())
    })
    .await?;
    change(gateway, SHIPPED_WEIGHT).await
}
