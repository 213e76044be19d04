//! An assignment through a chain of proxies with mutual TLS.

use std::time::Duration;

use crate::setup::{
    Edge, PATIENCE, Setup, all_users_get, assignment_of, canary, configuration, rollout,
    rollout_with, seen_upstream, served_by, with,
};
use anyhow::Result;
use divvy_lab::chain::{self, Caller, Chain};
use divvy_lab::client::Response;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::{Value, json};

/// The first hop: half of the users get v2.
fn first() -> Value {
    with(
        configuration(&[rollout("checkout", canary(50.0))]),
        json!({"responseHeader": "x-first"}),
    )
}

/// A hop that trusts one peer.
fn hop(peer: &str, response_header: &str, rollouts: &[Value]) -> Value {
    with(
        configuration(rollouts),
        json!({"trust": {"principals": [peer]}, "responseHeader": response_header}),
    )
}

/// It has no v2.
fn second() -> Value {
    let versions = json!({"versions": [{"name": "v1"}, {"name": "v3"}]});
    let checkout = rollout_with("checkout", all_users_get("v1"), versions);
    hop(chain::GATEWAY, "x-second", &[checkout])
}

/// It follows the checkout rollout.
fn third() -> Value {
    let follow = json!({"follow": {"rollout": "checkout"}});
    hop(chain::SECOND, "x-third", &[rollout("payments", follow)])
}

fn assignments(answer: &Response) -> [&str; 3] {
    ["x-first", "x-second", "x-third"].map(|name| answer.header(name).unwrap_or_default())
}

#[tokio::test]
async fn the_edge_decides_and_hops_with_that_version_inherit_it() -> Result<()> {
    let proxies = Chain::start(&first(), &second(), &third()).await?;
    let mut seen = [0, 0];
    for user in 0..40 {
        let answer = proxies.get(&user.to_string(), "/echo", "").await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let [first, second, third] = assignments(&answer);
        let v2 = first == "checkout=v2;reason=split";
        assert!(v2 || first == "checkout=v1;reason=split", "{first}");
        // The second hop has v1 and inherits it; without a v2 its stable serves.
        let inherited = "checkout=v1;reason=inherited;upstream=split";
        assert_eq!(
            second,
            if v2 {
                "checkout=v1;reason=active"
            } else {
                inherited
            }
        );
        let version = if v2 { "v2" } else { "v1" };
        assert_eq!(third, format!("payments={version};reason=follow"));
        assert_eq!(served_by(&answer), Some(version), "the third hop's service");
        // A member that the second hop could not inherit was forwarded unchanged.
        let through = if v2 {
            "checkout=v2;reason=split"
        } else {
            inherited
        };
        let assignment = format!("payments={version};reason=follow, {through}");
        assert_eq!(seen_upstream(&answer, "x-divvy-assignment")?, [assignment]);
        seen[usize::from(v2)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn the_second_hop_inherits_from_the_gateway_only() -> Result<()> {
    let plain = hop(
        chain::GATEWAY,
        "x-second",
        &[rollout("checkout", all_users_get("v1"))],
    );
    let proxies = Chain::start(&first(), &plain, &third()).await?;
    let forged = "checkout=v3;reason=split, payments=v3;reason=split";
    for (caller, honoured) in [
        (Caller::Gateway, true),
        (Caller::AnotherPrincipal, false),
        (Caller::NoCertificate, false),
    ] {
        let answer = proxies.get_second_hop(caller, forged).await?;
        let [_, second, _] = assignments(&answer);
        let expected = if honoured {
            "checkout=v3;reason=inherited;upstream=split"
        } else {
            "checkout=v1;reason=active"
        };
        assert_eq!(second, expected, "{caller:?}");
    }
    // An assignment from a client does not pass the edge.
    let answer = proxies.get("1", "/echo", forged).await?;
    let seen = seen_upstream(&answer, "x-divvy-assignment")?.join(", ");
    assert!(!seen.contains("v3"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn the_guardrail_of_the_second_hop_counts_what_it_inherits() -> Result<()> {
    let guarded = json!({"guardrail": {"errors": {"max": 1, "window": "30s"}}});
    let checkout = rollout_with("checkout", canary(0.0), guarded);
    let everyone = with(
        configuration(&[rollout("checkout", all_users_get("v2"))]),
        json!({"responseHeader": "x-first"}),
    );
    let proxies = Chain::start(
        &everyone,
        &hop(chain::GATEWAY, "x-second", &[checkout]),
        &third(),
    )
    .await?;
    let answer = proxies.get("1", "/", "").await?;
    assert_eq!(
        assignments(&answer)[1],
        "checkout=v2;reason=inherited;upstream=active"
    );
    proxies.second_v2.behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let rolled_back = async || {
        let answer = proxies.get("1", "/", "").await.ok()?;
        (assignments(&answer)[1] == "checkout=v1;reason=rolled_back").then_some(())
    };
    eventually(
        "the second hop to take v2 back",
        Duration::from_secs(20),
        rolled_back,
    )
    .await?;
    let answer = proxies.get("1", "/echo", "").await?;
    assert_eq!(answer.status, 200);
    assert_eq!(
        assignments(&answer)[0],
        "checkout=v2;reason=active",
        "the edge knows nothing of it"
    );
    Ok(())
}

#[tokio::test]
async fn a_workload_is_trusted_on_an_outbound_listener() -> Result<()> {
    let trusting = with(
        configuration(&[rollout("checkout", all_users_get("v1"))]),
        json!({"trust": {"workload": true}}),
    );
    let gateway = "router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local";
    let sidecar = "sidecar~10.0.0.1~app.shop~shop.svc.cluster.local";
    for (direction, node, version) in [
        (None, "edge", "v1"),
        (Some("INBOUND"), sidecar, "v1"),
        (Some("OUTBOUND"), sidecar, "v2"),
        (Some("OUTBOUND"), "edge", "v2"),
        // Its listeners are outbound too, but its requests come from clients.
        (Some("OUTBOUND"), gateway, "v1"),
    ] {
        let edge: Edge = Setup::new(&trusting)?
            .bootstrap(|mut bootstrap| {
                if let Some(direction) = direction {
                    bootstrap.json()["static_resources"]["listeners"][0]["traffic_direction"] =
                        json!(direction);
                }
                bootstrap.json()["node"]["id"] = json!(node);
                chain::keep_assignment_header(&mut bootstrap)?;
                Ok(bootstrap)
            })?
            .start()
            .await?;
        let sent = [("x-divvy-assignment", "checkout=v2;reason=split")];
        let answer = edge.client.get_with("/", &sent).await?;
        assert_eq!(
            served_by(&answer),
            Some(version),
            "{direction:?} {node}: {:?}",
            assignment_of(&answer)
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_access_log_of_a_hop_has_its_peer() -> Result<()> {
    let proxies = Chain::start(&first(), &second(), &third()).await?;
    proxies.get("1", "/", "").await?;
    let logged = async || {
        let lines = proxies.second.access_log();
        lines
            .iter()
            .any(|line| line.contains(chain::GATEWAY))
            .then_some(())
    };
    eventually("the gateway in the log", PATIENCE, logged).await
}
