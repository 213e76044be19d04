//! One assignment through a chain of proxies that speak TLS to each other.

use std::time::Duration;

use anyhow::Result;
use divvy_envoy_tests::{
    Edge, PATIENCE, Setup, canary, configuration, everybody, rollout, rollout_with, seen_upstream,
    served_by, told, with,
};
use divvy_lab::chain::{self, Chain, Door};
use divvy_lab::client::Response;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::{Value, json};

/// What the first hop decides: half of the users have v2.
fn first() -> Value {
    with(
        configuration(&[rollout("checkout", canary(50.0))]),
        json!({"responseHeader": "x-first"}),
    )
}

/// A hop that honours one peer.
fn hop(peer: &str, told: &str, rollouts: &[Value]) -> Value {
    with(
        configuration(rollouts),
        json!({"trust": {"principals": [peer]}, "responseHeader": told}),
    )
}

/// It has no v2.
fn second() -> Value {
    let versions = json!({"versions": [{"name": "v1"}, {"name": "v3"}]});
    let checkout = rollout_with("checkout", everybody("v1"), versions);
    hop(chain::GATEWAY, "x-second", &[checkout])
}

/// It follows what was decided about the checkout.
fn third() -> Value {
    let follow = json!({"follow": {"rollout": "checkout"}});
    hop(chain::SECOND, "x-third", &[rollout("payments", follow)])
}

fn all_told(answer: &Response) -> [&str; 3] {
    ["x-first", "x-second", "x-third"].map(|name| answer.header(name).unwrap_or_default())
}

#[tokio::test]
async fn the_edge_decides_and_whoever_has_the_version_follows() -> Result<()> {
    let proxies = Chain::start(&first(), &second(), &third()).await?;
    let mut seen = [0, 0];
    for user in 0..40 {
        let answer = proxies.get(&user.to_string(), "/echo", "").await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let [first, second, third] = all_told(&answer);
        let v2 = first == "checkout=v2;reason=split";
        assert!(v2 || first == "checkout=v1;reason=split", "{first}");
        // The second hop has v1 and honours that; without a v2 its stable serves.
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
        // What the second hop could not honour went through it as it came.
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
async fn nobody_but_the_gateway_decides_for_the_second_hop() -> Result<()> {
    let plain = hop(
        chain::GATEWAY,
        "x-second",
        &[rollout("checkout", everybody("v1"))],
    );
    let proxies = Chain::start(&first(), &plain, &third()).await?;
    let forged = "checkout=v3;reason=split, payments=v3;reason=split";
    for (door, honoured) in [
        (Door::Gateway, true),
        (Door::AnotherPrincipal, false),
        (Door::NoCertificate, false),
    ] {
        let answer = proxies.through(door, forged).await?;
        let [_, second, _] = all_told(&answer);
        let expected = if honoured {
            "checkout=v3;reason=inherited;upstream=split"
        } else {
            "checkout=v1;reason=active"
        };
        assert_eq!(second, expected, "{door:?}");
    }
    // And a client's own does not get past the edge.
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
        configuration(&[rollout("checkout", everybody("v2"))]),
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
        all_told(&answer)[1],
        "checkout=v2;reason=inherited;upstream=active"
    );
    proxies.stray.behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let rolled_back = async || {
        let answer = proxies.get("1", "/", "").await.ok()?;
        (all_told(&answer)[1] == "checkout=v1;reason=rolled_back").then_some(())
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
        all_told(&answer)[0],
        "checkout=v2;reason=active",
        "the edge knows nothing of it"
    );
    Ok(())
}

#[tokio::test]
async fn a_workload_is_trusted_on_a_listener_for_what_goes_out() -> Result<()> {
    let trusting = with(
        configuration(&[rollout("checkout", everybody("v1"))]),
        json!({"trust": {"workload": true}}),
    );
    for (direction, version) in [
        (None, "v1"),
        (Some("INBOUND"), "v1"),
        (Some("OUTBOUND"), "v2"),
    ] {
        let edge: Edge = Setup::new(&trusting)?
            .bootstrap(|mut bootstrap| {
                if let Some(direction) = direction {
                    bootstrap.json()["static_resources"]["listeners"][0]["traffic_direction"] =
                        json!(direction);
                }
                chain::leave_assignment(&mut bootstrap)?;
                Ok(bootstrap)
            })?
            .start()
            .await?;
        let sent = [("x-divvy-assignment", "checkout=v2;reason=split")];
        let answer = edge.client.get_with("/", &sent).await?;
        assert_eq!(
            served_by(&answer),
            Some(version),
            "{direction:?}: {:?}",
            told(&answer)
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_peer_that_a_hop_sees_is_in_its_access_log() -> Result<()> {
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
