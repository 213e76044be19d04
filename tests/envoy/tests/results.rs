//! Results of an A/B test from the access log of a real Envoy, with a planted effect.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use divvy_cli::Verb;
use divvy_lab::client::{Http1, request};
use divvy_lab::eventually;
use serde_json::{Value, json};

use crate::setup::{Setup, served_by};

const USERS: u64 = 20_000;
const CLIENTS: u64 = 16;
const GOAL: &str = "POST /order 2xx";

/// A number from 0 to 1 that a user keeps, from the SplitMix64 generator.
fn draw(user: u64) -> f64 {
    let mut bits = user.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Of the users of v1 10 % order, of those of v2 13 %.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_lift_of_three_points_is_found_in_the_shipped_access_log() -> Result<()> {
    let configuration = json!({
        "identity": [{"header": "x-user-id"}],
        "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "unit": "x-divvy-unit"},
        "rollouts": [{
            "name": "page",
            "salt": "page.2026-11",
            "target": "{version}",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "strategy": {"abTest": {"split": [
                {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]}},
        }],
    });
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("access.log");
    let path = log.clone();
    let edge = Setup::of_anything(&configuration.to_string())?
        .bootstrap(move |mut bootstrap| {
            for manager in bootstrap.connection_managers()? {
                let format = manager["access_log"][0]["typed_config"]["log_format"].take();
                manager["access_log"] = json!([{
                    "name": "envoy.access_loggers.file",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                        "path": path,
                        "log_format": format,
                    },
                }]);
            }
            Ok(bootstrap)
        })?
        .start()
        .await?;
    let started = Instant::now();
    let mut clients = Vec::new();
    for nth in 0..CLIENTS {
        let client = Http1::new(edge.addr);
        clients.push(tokio::spawn(async move {
            let mut orders = 0;
            for user in (nth..USERS).step_by(usize::try_from(CLIENTS)?) {
                let id = format!("user-{user}");
                let headers = [("x-user-id", id.as_str())];
                let page = client.get_with("/page", &headers).await?;
                let chance = if served_by(&page) == Some("v2") {
                    0.13
                } else {
                    0.10
                };
                if draw(user) < chance {
                    let order = client
                        .send(request("POST", "/order", &headers, "")?)
                        .await?;
                    ensure!(order.status == 200, "{}", order.status);
                    orders += 1;
                }
            }
            Ok(orders)
        }));
    }
    let mut lines = USERS;
    for client in clients {
        lines += client.await??;
    }
    let sent = started.elapsed();
    // Envoy writes the log every ten seconds.
    eventually(
        "all lines of the access log",
        Duration::from_secs(30),
        async || {
            let text = std::fs::read(&log).ok()?;
            let written = text.iter().filter(|byte| **byte == b'\n').count() as u64;
            (written == lines).then_some(())
        },
    )
    .await?;
    let report = analyze(&configuration, &log)?;
    println!("{lines} requests in {sent:?}");
    ensure!(
        report["lines"]["read"] == lines && report["lines"]["unparsed"] == 0,
        "{report:#}"
    );
    ensure!(
        report["sampleRatio"]["mismatch"] == false && report["crossed"] == 0,
        "{report:#}"
    );
    let units = [0, 1].map(|arm| report["arms"][arm]["units"].as_u64());
    ensure!(
        units[0]
            .zip(units[1])
            .is_some_and(|(one, two)| one + two == USERS),
        "{units:?}"
    );
    let effect = &report["goals"][0]["metrics"][0]["comparisons"][0]["difference"];
    for interval in ["fixed", "alwaysValid"] {
        let end = |nth: usize| effect[interval][nth].as_f64().context("an interval");
        let (low, high) = (end(0)?, end(1)?);
        ensure!(
            low > 0.0 && low < 0.03 && 0.03 < high,
            "{interval}: {low} to {high}"
        );
    }
    println!("{effect}");
    Ok(())
}

/// The report of `divvy analyze`.
fn analyze(configuration: &Value, log: &std::path::Path) -> Result<Value> {
    let mut config = tempfile::Builder::new().suffix(".json").tempfile()?;
    config.write_all(configuration.to_string().as_bytes())?;
    let [config, log] = [config.path(), log].map(|path| path.to_str().unwrap_or_default());
    let words = [
        "analyze",
        "-c",
        config,
        "--rollout",
        "page",
        "--goal",
        GOAL,
        log,
    ];
    let Verb::Analyze(args) = divvy_cli::read_words(&words)?.verb else {
        bail!("the words are those of another verb");
    };
    Ok(serde_json::to_value(divvy_cli::analyze::report(&args)?)?)
}
