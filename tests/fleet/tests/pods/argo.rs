//! `istio/argo`: the real controller of Argo Rollouts with the plugin releases builds over Istio gateways.

mod engine;

use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_lab::upstream::{Behaviour, StatusCode};
use serde_json::json;

use engine::Argo;

use crate::load::Load;

/// A version whose share of failures is this.
fn failing(percent: f64) -> Behaviour {
    Behaviour {
        error_percent: percent,
        error_status: StatusCode::INTERNAL_SERVER_ERROR,
        ..Behaviour::default()
    }
}

pub async fn a_release_adds_users_step_by_step_and_fails_no_request(pods: &Pods) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    let load = Load::start(argo.shop.addr());
    argo.build("v2").await?;
    let tester = [("x-canary", "true"), ("x-user-id", "tester")];
    argo.shop.until_version("v2", &tester).await?;
    ensure!(argo.weight().await? == json!(0), "testers came after users");

    argo.in_force(20).await?;
    let first = argo.users_of("v2").await?;
    argo.in_force(50).await?;
    let second = argo.users_of("v2").await?;
    ensure!(
        first.is_subset(&second),
        "{first:?} is not within {second:?}"
    );
    // 20 % and 50 % of 300 users, with five standard deviations.
    let sizes = (first.len(), second.len());
    ensure!(
        (25..=95).contains(&sizes.0) && (106..=194).contains(&sizes.1),
        "{sizes:?} of 300 users"
    );
    argo.phase("Healthy").await?;
    ensure!(argo.users_of("v2").await?.len() == 300);
    // v2 is stable now, and the next build begins at 0.
    argo.when_requested(0).await?;
    let rollout = argo.rollout_of_divvy().await?;
    ensure!(rollout["rules"].is_null(), "{rollout}");
    let codes = load.stop().await;
    ensure!(
        codes.len() == 1 && codes.get(&200).is_some_and(|count| *count > 500),
        "{codes:?}"
    );
    println!("promoted: users {sizes:?} of 300, requests {codes:?}");
    Ok(())
}

pub async fn a_bad_build_is_withdrawn_and_the_next_one_starts_clean(pods: &Pods) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    let load = Load::start(argo.shop.addr());

    // Without the guardrail, only the analysis sees the errors.
    let guardrail = argo.rollout_of_divvy().await?["guardrail"].clone();
    argo.edit(&json!([{"op": "remove", "path": "/spec/pluginConfig/rollouts/0/guardrail"}]))
        .await?;
    pods.behave("v2", &failing(50.0));
    argo.build("v2").await?;
    let requested = argo.when_requested(20).await?;
    argo.when_requested(0).await?;
    let took = requested.elapsed();
    ensure!(took < Duration::from_secs(10), "{took:?}");
    argo.phase("Degraded").await?;
    let runs = argo.failed_metrics().await?;
    ensure!(runs.contains("errors"), "{runs}");
    println!("withdrawn {took:?} after its weight was set: {runs}");

    // With it, the proxies withdraw the version, and Argo ends the release.
    argo.edit(&json!([{"op": "add", "path": "/spec/pluginConfig/rollouts/0/guardrail", "value": guardrail}]))
        .await?;
    pods.behave("v3", &failing(100.0));
    argo.build("v3").await?;
    argo.when_requested(20).await?;
    argo.phase("Degraded").await?;
    let runs = argo.failed_metrics().await?;
    ensure!(runs.contains("guardrail"), "{runs}");
    ensure!(argo.guardrail().await? == Some(2.0));
    ensure!(argo.users_of("v1").await?.len() == 300);

    argo.build("v4").await?;
    argo.phase("Healthy").await?;
    ensure!(argo.guardrail().await? == Some(0.0));
    ensure!(argo.users_of("v4").await?.len() == 300);
    println!(
        "after the guardrail of v3 ({runs}), v4 is promoted: {:?}",
        load.stop().await
    );
    Ok(())
}

pub async fn a_proxy_without_the_weight_halts_the_release_until_the_repair(
    pods: &Pods,
) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    let load = Load::start(argo.shop.addr());

    // A configuration that divvy refuses.
    argo.edit(&json!([{"op": "add", "path": "/spec/pluginConfig/rollouts/0/stiky", "value": {"cookie": "a"}}]))
        .await?;
    argo.build("v2").await?;
    argo.when_requested(20).await?;
    argo.halts("the weight is to be 20 %, but gw-1 has 0 %")
        .await?;
    ensure!(argo.users_of("v1").await?.len() == 300);
    argo.edit(&json!([{"op": "remove", "path": "/spec/pluginConfig/rollouts/0/stiky"}]))
        .await?;
    argo.phase("Healthy").await?;

    // A second gateway, cut off from istiod. It shares the port with the first one.
    let second = Proxy::start(pods.lab(), &Options::gateway()).await?;
    argo.scrape(&[("gw-1", &argo.shop.proxy), ("gw-2", &second)])?;
    second.cut_off(true)?;
    argo.build("v3").await?;
    argo.when_requested(20).await?;
    argo.halts("the weight is to be 20 %, but gw-2 has 0 %")
        .await?;
    second.cut_off(false)?;
    argo.phase("Healthy").await?;

    // A gateway that Prometheus does not know.
    argo.scrape(&[("gw-1", &argo.shop.proxy)])?;
    let address = argo.gateway_pod("gw-2").await?;
    argo.build("v4").await?;
    argo.when_requested(20).await?;
    argo.halts(&format!("Prometheus has no weight of gw-2 ({address})"))
        .await?;
    argo.scrape(&[
        ("gw-1", &argo.shop.proxy),
        (&format!("{address}:15020"), &second),
    ])?;
    argo.phase("Healthy").await?;
    let codes = load.stop().await;
    ensure!(codes.len() == 1 && codes.contains_key(&200), "{codes:?}");
    println!("halted three times and went on: {codes:?}");
    Ok(())
}
