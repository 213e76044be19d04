//! Valid and invalid changes of the configuration with `kubectl patch`, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::Options;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::{PATIENCE, soak};
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use divvy_lab::upstream::Behaviour;
use serde_json::json;
use tokio::task::JoinSet;

/// Envoy's name of the plugin `istio-system/divvy`, as istiod sets it.
const PLUGIN: &str = "istio-system.divvy~istio-translated-wasmplugin";

/// An overlay with a gateway without agent, whose module is a file.
async fn without_agent<'a>(lab: &'a Lab, overlay: &str) -> Result<Shop<'a>> {
    let module = divvy_lab::workspace_root().join("target/divvy.wasm");
    let url = Edit::replace(
        &format!("oci://{}", lab.image()),
        &format!("file://{}", module.display()),
    );
    Shop::open_with(lab, overlay, &[url], Options::gateway().without_agent()).await
}

/// Clients that send requests without pause, and count the responses.
struct Load {
    stop: Arc<AtomicBool>,
    responses: Arc<AtomicU64>,
    clients: JoinSet<Result<()>>,
}

impl Load {
    fn start(shop: &Shop<'_>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let responses = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for client in 0..4 {
            let (stop, responses) = (Arc::clone(&stop), Arc::clone(&responses));
            let addr = shop.addr();
            clients.spawn(async move {
                let http = Http1::new(addr);
                let user = format!("load-{client}");
                while !stop.load(Ordering::Relaxed) {
                    let answer = http.get_with("/checkout", &[("x-user-id", &user)]).await?;
                    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                    ensure!(["v1", "v2"].contains(&served_by(&answer)));
                    responses.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Load {
            stop,
            responses,
            clients,
        }
    }

    /// Stops the clients. The number of responses; an error if one was wrong.
    async fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        Ok(self.responses.load(Ordering::Relaxed))
    }
}

async fn flip(shop: &Shop<'_>, flips: u32) -> Result<(u64, Duration)> {
    let mut configuration = shop.configuration().await?;
    let load = Load::start(shop);
    let client = shop.client();
    let mut times = Vec::new();
    for flip in 0..flips {
        let (word, version) = [("green", "v2"), ("blue", "v1")][flip as usize % 2];
        configuration["rollouts"][0]["strategy"]["blueGreen"]["active"] = json!(word);
        configuration["version"] = json!(format!("flip.{flip}"));
        // The time includes that of kubectl.
        let start = Instant::now();
        let (patched, seen) = tokio::join!(
            shop.configure(&configuration),
            eventually("the new version", PATIENCE, async || {
                let answer = client.get("/checkout").await.ok()?;
                (served_by(&answer) == version).then(|| start.elapsed())
            })
        );
        patched?;
        times.push(seen?);
        // Every worker has the configuration before the next flip.
        for _ in 0..8 {
            shop.until_version(version, &[]).await?;
        }
    }
    times.sort();
    Ok((load.end().await?, times[times.len() / 2]))
}

/// Flips between blue and green under load.
async fn flips(shop: &Shop<'_>, how: &str) -> Result<()> {
    let flips = if soak() { 100 } else { 6 };
    let (answers, median) = flip(shop, flips).await?;
    println!("{flips} flips {how}: {answers} responses, none failed; median {median:?}");
    ensure!(answers > u64::from(flips), "no load: {answers} responses");
    ensure!(median < Duration::from_secs(5), "{median:?}");
    Ok(())
}

pub async fn no_request_fails_during_flips_under_load_with_an_agent(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/blue-green").await?;
    flips(&shop, "with an agent").await
}

pub async fn no_request_fails_during_flips_under_load_without_an_agent(lab: &Lab) -> Result<()> {
    let shop = without_agent(lab, "overlays/blue-green").await?;
    flips(&shop, "without an agent").await
}

/// The guardrail gauge of v2.
async fn guardrail(shop: &Shop<'_>) -> Result<f64> {
    let labels = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    let metrics = shop.proxy.prometheus().await?;
    Ok(metrics.sum("divvy_guardrail_state", &labels))
}

async fn verdict_survives(shop: &Shop<'_>) -> Result<()> {
    let mut configuration = shop.configuration().await?;
    configuration["rollouts"][0]["strategy"]["canary"]["weight"] = json!(100);
    shop.configure(&configuration).await?;
    let headers = [("x-user-id", "alice")];
    shop.until_version("v2", &headers).await?;
    shop.checkout.versions[1].behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let rolled_back = |answer: &divvy_lab::client::Response| {
        answer.header("x-divvy-version") == Some("checkout=v1;reason=rolled_back")
    };
    shop.until("the rollback", &headers, rolled_back).await?;
    eventually("the gauge", PATIENCE, async || {
        (guardrail(shop).await.ok()? == 2.0).then_some(())
    })
    .await?;
    let hash = config_hash(shop).await?;
    // Another field changes, and with it the configuration.
    configuration["version"] = json!("another");
    shop.configure(&configuration).await?;
    eventually("the new configuration", PATIENCE, async || {
        // A worker updates the gauge when it gets a request.
        shop.client().get_with("/checkout", &headers).await.ok()?;
        let now = config_hash(shop).await.ok()?;
        (now != hash && now != 0.0).then_some(())
    })
    .await?;
    let client = shop.client();
    for _ in 0..50 {
        let answer = client.get_with("/checkout", &headers).await?;
        ensure!(rolled_back(&answer), "{:?}", answer.headers);
    }
    assert_eq!(guardrail(shop).await?, 2.0);
    // A new revision resets the verdict.
    configuration["rollouts"][0]["revision"] = json!("2");
    shop.checkout.versions[1].behave(Behaviour::default());
    shop.configure(&configuration).await?;
    shop.until_version("v2", &headers).await?;
    Ok(())
}

async fn config_hash(shop: &Shop<'_>) -> Result<f64> {
    let metrics = shop.proxy.prometheus().await?;
    Ok(metrics.sum("divvy_config_hash", &[("divvy_plugin", PLUGIN)]))
}

pub async fn a_verdict_survives_a_new_configuration_with_an_agent(lab: &Lab) -> Result<()> {
    verdict_survives(&Shop::open(lab, "overlays/edge").await?).await
}

pub async fn a_verdict_survives_a_new_configuration_without_an_agent(lab: &Lab) -> Result<()> {
    verdict_survives(&without_agent(lab, "overlays/edge").await?).await
}

pub async fn an_invalid_configuration_leaves_the_running_one_in_place(lab: &Lab) -> Result<()> {
    let mut shop = Shop::open(lab, "overlays/edge").await?;
    let mut configuration = shop.configuration().await?;
    configuration["rollouts"][0]["strategy"]["canary"]["version"] = json!("v3");
    let message = "rollouts[0].strategy.canary.version: \"v3\" is not one of v1, v2";
    shop.configure(&configuration).await?;
    shop.proxy.logs(&[message]).await?;
    let istiod = shop.lab.istiod.part.process();
    let rejected = istiod.wait_for_line(0, |line| {
        line.contains("ACK ERROR") && line.contains("ECDS")
    });
    tokio::time::timeout(PATIENCE, rejected)
        .await?
        .context("istiod ended")?;
    let tester = [("x-canary", "true")];
    let client = shop.client();
    for _ in 0..20 {
        let answer = client.get_with("/checkout", &tester).await?;
        assert_eq!(
            served_by(&answer),
            "v2",
            "the rule of the last valid configuration"
        );
    }
    let rejects = shop.lab.istiod.metrics().await?;
    assert!(rejects.sum("pilot_total_xds_rejects", &[]) > 0.0);

    // A new pod has only the invalid configuration.
    shop.restart().await?;
    let client = shop.client();
    for _ in 0..20 {
        let forged = [("x-canary", "true"), ("x-divvy-route", "v2")];
        let answer = client.get_with("/checkout", &forged).await?;
        assert_eq!((answer.status, served_by(&answer)), (200, "v1"));
    }
    let inert = shop.proxy.prometheus().await?;
    assert_eq!(
        inert.sum("divvy_config_inert", &[("divvy_plugin", PLUGIN)]),
        1.0
    );
    shop.proxy.logs(&[message]).await?;

    // It accepts the next valid configuration.
    configuration["rollouts"][0]["strategy"]["canary"]["version"] = json!("v2");
    shop.configure(&configuration).await?;
    shop.until_version("v2", &tester).await?;
    Ok(())
}
