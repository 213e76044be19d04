//! The native module beside the WebAssembly one: the same random configurations and requests in two
//! Envoys. Verdicts, decisions, headers in both directions and metrics have to be the same.

mod proxy;
mod traffic;

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Result, ensure};
use divvy_host_tests::random::Random;
use divvy_lab::build::Build;
use divvy_lab::upstream::Upstream;
use serde_json::{Value, json};

use crate::number;
use proxy::Proxy;
use traffic::Traffic;

/// What was compared.
#[derive(Debug, Default)]
struct Report {
    accepted: usize,
    refused: usize,
    requests: usize,
    decided: usize,
    minted: usize,
}

/// The text of what only one of two lists has.
fn differences<T: PartialEq + std::fmt::Debug>(wasm: &[T], module: &[T]) -> String {
    let only = |these: &[T], those: &[T]| {
        let missing = these.iter().filter(|item| !those.contains(item));
        let lines: Vec<_> = missing.map(|item| format!("  {item:?}")).collect();
        lines.join("\n")
    };
    format!(
        "only wasm:\n{}\nonly the module:\n{}",
        only(wasm, module),
        only(module, wasm)
    )
}

/// Sends the requests of one configuration to both. A minted identity is random, so two of them differ
/// by their value and by what follows from it.
async fn compare(
    proxies: [&Proxy; 2],
    traffic: &mut Traffic,
    requests: usize,
    report: &mut Report,
) -> Result<()> {
    let [wasm, module] = proxies;
    let mut before = [wasm.metrics().await?, module.metrics().await?];
    let mut minted = 0;
    for _ in 0..requests {
        let Some(request) = traffic.next() else {
            continue;
        };
        let signatures = match traffic.mints_and_signs() {
            true => Some([wasm.signatures().await?, module.signatures().await?]),
            false => None,
        };
        let minute = proxy::minute()?;
        let [one, other] = [wasm.send(&request).await?, module.send(&request).await?];
        traffic.remember(&one);
        report.requests += 1;
        report.decided += usize::from(one.is_decided());
        // Signed cookies tell the minute.
        let ids = [one.minted(&request), other.minted(&request)];
        let same = if ids.iter().any(|ids| !ids.is_empty()) {
            minted += 1;
            // The identity decides whether a signed version is asked for.
            for (nth, earlier) in signatures.iter().flatten().enumerate() {
                for (series, count) in proxies[nth].signatures().await? {
                    let grown = count - earlier.get(&series).copied().unwrap_or_default();
                    *before[nth].entry(series).or_default() += grown;
                }
            }
            ids[0] == ids[1] && one.status() == other.status()
        } else {
            one == other || proxy::minute()? != minute
        };
        ensure!(
            same,
            "{request:#?}\n{}",
            differences(&one.lines(), &other.lines())
        );
    }
    report.minted += minted;
    proxy::same_metrics(proxies, &before, minted > 0).await
}

/// Whether both accept the configuration.
async fn push([wasm, module]: [&mut Proxy; 2], config: &str) -> Result<bool> {
    let (one, other) = tokio::try_join!(wasm.push(config), module.push(config))?;
    let logs = || format!("{}\n\n{}", wasm.last_log(), module.last_log());
    ensure!(
        one == other,
        "{one:?} by wasm, {other:?} by the module\n{}",
        logs()
    );
    Ok(one.is_empty())
}

async fn beside(configurations: usize, requests: usize, seed: u64) -> Result<Report> {
    let upstream = Upstream::start("v1").await?;
    let mut wasm = Proxy::start(Build::Wasm, upstream.addr()).await?;
    let mut module = Proxy::start(Build::Module, upstream.addr()).await?;
    let mut report = Report::default();
    let mut nth = seed;
    let mut refused = HashSet::new();
    while report.accepted < configurations {
        nth += 1;
        let mut random = Random::new(nth);
        let config = reproducible(random.any_config());
        let text = config.to_string();
        // Envoy remembers that the wasm filter refused it, and does not ask again: its errors are missing.
        if refused.contains(&text) {
            continue;
        }
        let accepted = push([&mut wasm, &mut module], &text).await;
        let what = |error: anyhow::Error| error.context(format!("configuration {nth}: {text}"));
        if !accepted.map_err(what)? {
            report.refused += 1;
            refused.insert(text);
            continue;
        }
        report.accepted += 1;
        let mut traffic = Traffic::new(random, &config);
        compare([&wasm, &module], &mut traffic, requests, &mut report)
            .await
            .map_err(what)?;
    }
    Ok(report)
}

/// The configuration without what depends on instants: random identities, limits on latency, and steps
/// that wait for evidence, which end at a tick. A ramp that has begun is two minutes away from its next
/// step.
fn reproducible(mut config: Value) -> Value {
    let begun = humantime::format_rfc3339_seconds(
        std::time::SystemTime::now() - std::time::Duration::from_secs(32 * 60 + 30),
    );
    visit(&mut config, &begun.to_string());
    config
}

fn visit(value: &mut Value, begun: &str) {
    match value {
        Value::Array(items) => {
            items.retain(|item| item["random"].is_null());
            items.iter_mut().for_each(|item| visit(item, begun));
        }
        Value::Object(fields) => {
            if let Some(start) = fields.get_mut("start").filter(|start| start.is_string()) {
                *start = json!(begun);
            }
            let canary = fields.get("strategy").map(|strategy| &strategy["canary"]);
            if canary.is_some_and(|canary| !canary["start"].is_null()) {
                fields.remove("guardrail");
            }
            if let Some(guardrail) = fields.get_mut("guardrail").and_then(Value::as_object_mut)
                && guardrail.remove("latency").is_some()
            {
                guardrail.entry("errors").or_insert(json!({"max": 50}));
            }
            fields.values_mut().for_each(|field| visit(field, begun));
        }
        _ => {}
    }
}

/// `BESIDE_CONFIGURATIONS=1000 BESIDE_REQUESTS=100 BESIDE_SEED=1`; the message of a failure has the
/// number of the configuration, and `BESIDE_SEED` of one less repeats it first.
#[tokio::test]
async fn both_builds_do_the_same_with_random_configurations_and_requests() -> Result<()> {
    let began = Instant::now();
    let configurations = number("BESIDE_CONFIGURATIONS", 60)?;
    let requests = number("BESIDE_REQUESTS", 100)?;
    let seed = u64::try_from(number("BESIDE_SEED", 1)?)?;
    let report = beside(configurations, requests, seed).await?;
    println!("{report:?} in {} s", began.elapsed().as_secs());
    ensure!(report.refused > 0, "{report:?}");
    ensure!(report.decided > report.requests / 4, "{report:?}");
    Ok(())
}
