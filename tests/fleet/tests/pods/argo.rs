//! `istio/argo`: the real controller of Argo Rollouts with the plugin releases builds over Istio gateways.

mod engine;
pub mod manifests;
pub mod plugin;

use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::proxy::{Options, Proxy};
use serde_json::json;

use engine::Argo;

use crate::engine::{failing, slow};
use crate::load::Load;

pub async fn a_release_adds_users_step_by_step_and_fails_no_request(pods: &Pods) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    let load = Load::start(argo.engine.shop.addr());
    argo.build("v2").await?;
    let tester = [("x-canary", "true"), ("x-user-id", "tester")];
    argo.engine.shop.until_version("v2", &tester).await?;
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
    manifests::argo_cd_sees_no_change_of_the_services(&argo.engine).await?;
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
    let load = Load::start(argo.engine.shop.addr());

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

    // With it, the proxies withdraw the version, and Argo ends the release. The analysis of errors is off: it could
    // end the release first.
    argo.edit(&json!([{"op": "add", "path": "/spec/pluginConfig/rollouts/0/guardrail", "value": guardrail}]))
        .await?;
    argo.accept_errors().await?;
    pods.behave("v3", &failing(100.0));
    argo.build("v3").await?;
    argo.when_requested(20).await?;
    argo.phase("Degraded").await?;
    let runs = argo.failed_metrics().await?;
    ensure!(runs == "guardrail", "{runs}");
    ensure!(argo.guardrail().await? == Some(2.0));
    ensure!(argo.users_of("v1").await?.len() == 300);

    // A build that is slower than stable × 1.1.
    pods.behave("v4", &slow());
    argo.build("v4").await?;
    argo.when_requested(20).await?;
    argo.phase("Degraded").await?;
    let slower = argo.failed_metrics().await?;
    ensure!(slower.contains("p95-of-stable"), "{slower}");

    argo.build("v5").await?;
    argo.phase("Healthy").await?;
    ensure!(argo.guardrail().await? == Some(0.0));
    ensure!(argo.users_of("v5").await?.len() == 300);
    println!(
        "after v3 ({runs}) and v4 ({slower}), v5 is promoted: {:?}",
        load.stop().await
    );
    Ok(())
}

pub async fn a_proxy_without_the_weight_halts_the_release_until_the_repair(
    pods: &Pods,
) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    let load = Load::start(argo.engine.shop.addr());

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
    argo.engine
        .scrape(&[("gw-1", &argo.engine.shop.proxy), ("gw-2", &second)])?;
    // v2 is stable now, so the weight goes back to 0. The second gateway has that before it is cut off.
    argo.when_requested(0).await?;
    argo.reported(0, &["gw-1", "gw-2"]).await?;
    second.cut_off(true)?;
    argo.build("v3").await?;
    argo.when_requested(20).await?;
    argo.halts("the weight is to be 20 %, but gw-2 has 0 %")
        .await?;
    second.cut_off(false)?;
    // Istio's agent rewrites waiting updates at the same time, and may leave an older one in force (istio/istio#53865).
    // The next change repairs that.
    argo.edit(&json!([{"op": "replace", "path": "/spec/pluginConfig/version", "value": "argo.2"}]))
        .await?;
    argo.phase("Healthy").await?;

    // A gateway that Prometheus does not know.
    argo.engine.scrape(&[("gw-1", &argo.engine.shop.proxy)])?;
    let address = pods.gateway("gw-2").await?;
    argo.build("v4").await?;
    argo.when_requested(20).await?;
    argo.halts(&format!("Prometheus has no weight of gw-2 ({address})"))
        .await?;
    argo.engine.scrape(&[
        ("gw-1", &argo.engine.shop.proxy),
        (&format!("{address}:15020"), &second),
    ])?;
    argo.phase("Healthy").await?;
    let codes = load.stop().await;
    ensure!(codes.len() == 1 && codes.contains_key(&200), "{codes:?}");
    println!("halted three times and went on: {codes:?}");
    Ok(())
}

pub async fn blue_green_moves_all_users_at_once_and_back(pods: &Pods) -> Result<()> {
    let argo = Argo::start(pods, "v1").await?;
    argo.engine.apply("blue-green.yaml").await?;
    let load = Load::start(argo.engine.shop.addr());
    argo.build("v2").await?;
    let tester = [("x-canary", "true"), ("x-user-id", "tester")];
    argo.engine.shop.until_version("v2", &tester).await?;
    // The pause without an end: the build has all its pods, and testers alone.
    argo.status("the pause", PATIENCE, |status| {
        status["currentStepIndex"] == 2
            && status["phase"] == "Paused"
            && status["updatedReplicas"] == 2
    })
    .await?;
    ensure!(argo.users_of("v1").await?.len() == 300);

    // kubectl argo rollouts promote
    argo.command(&json!({"pauseConditions": null})).await?;
    argo.when_requested(100).await?;
    argo.engine.serves_all("v2").await?;
    argo.status("the time to go back", PATIENCE, |status| {
        status["currentStepIndex"] == 4 && status["phase"] == "Paused"
    })
    .await?;
    // kubectl argo rollouts abort
    argo.command(&json!({"abort": true})).await?;
    argo.when_requested(0).await?;
    argo.engine.serves_all("v1").await?;
    argo.phase("Degraded").await?;
    let codes = load.stop().await;
    ensure!(codes.len() == 1 && codes.contains_key(&200), "{codes:?}");
    println!("all users on v2 and back: {codes:?}");
    Ok(())
}
