//! One assignment across three proxies.

use std::time::Duration;

use anyhow::{Context, Result};
use divvy_demo::screen::{Look, Screen};
use divvy_lab::chain::{self, Caller, Chain};
use serde_json::{Value, json};

use super::{Figure, begin};
use crate::{draw, pause};

const USERS: u32 = 60;

fn hop(peer: &str, response_header: &str, rollout: Value) -> Value {
    json!({"trust": {"principals": [peer]}, "responseHeader": response_header, "rollouts": [rollout]})
}

pub async fn chain(screen: &mut Screen) -> Result<Vec<Figure>> {
    begin(
        screen,
        "8  A chain of three proxies",
        "The edge decides; proxies that verify its certificate follow.",
    )?;
    let first = json!({
        "identity": [{"header": "x-user-id"}],
        "responseHeader": "x-first",
        "rollouts": [{
            "name": "checkout", "target": "{version}", "stable": "v1",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "strategy": {"canary": {"version": "v2", "weight": 50}},
        }],
    });
    let second = hop(
        chain::GATEWAY,
        "x-second",
        json!({
            "name": "checkout", "target": "v1", "stable": "v1", "versions": [{"name": "v1"}],
            "strategy": {"blueGreen": {"active": "v1"}},
        }),
    );
    let third = hop(
        chain::SECOND,
        "x-third",
        json!({
            "name": "payments", "target": "{version}", "stable": "v1",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "strategy": {"follow": {"rollout": "checkout"}},
        }),
    );
    let proxies = Chain::start(&first, &second, &third).await?;
    let (mut together, mut v2) = (0, 0);
    for user in 1..=USERS {
        let answer = proxies.get(&user.to_string(), "/", "").await?;
        let decided = answer.header("x-first").context("the edge decides")?;
        let new = decided.starts_with("checkout=v2");
        let expected = if new { "v2" } else { "v1" };
        v2 += u32::from(new);
        together += u32::from(answer.header("x-shop-version") == Some(expected));
        screen.frame(&draw::count("consistent", together, user))?;
        pause(Duration::from_millis(100)).await;
    }
    screen.spans(draw::count("consistent", together, USERS))?;
    screen.line(
        Look::Plain,
        &format!("  {v2} of them have v2 at the edge and behind the third proxy"),
    )?;
    let follows = async |caller: Caller| -> Result<bool> {
        let answer = proxies
            .get_second_hop(caller, "checkout=v2;reason=split")
            .await?;
        Ok(answer.header("x-third") == Some("payments=v2;reason=follow"))
    };
    // The same header is effective from the gateway.
    let trusted = follows(Caller::Gateway).await?;
    let mut effective = 0;
    for caller in [Caller::AnotherPrincipal, Caller::NoCertificate] {
        effective += u32::from(follows(caller).await?);
    }
    let all = format!("{together} of {USERS}");
    Ok(vec![
        Figure::new(
            "one version in the whole chain",
            all,
            together == USERS && v2 > 10,
        ),
        Figure::new(
            "forged assignments with an effect",
            format!("{effective} of 2"),
            trusted && effective == 0,
        ),
    ])
}
