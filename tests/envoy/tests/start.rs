//! The start of Envoy with an invalid configuration, with none, and in strict mode.

use std::time::Duration;

use crate::setup::{
    Counts, Edge, REQUESTS, Setup, WEIGHTS, all_users_get, assignment_of, configuration, log_mark,
    rollout, served_by, soak,
};
use anyhow::{Result, ensure};
use divvy::config;
use divvy_lab::bootstrap::Position;
use divvy_lab::build::Build;
use divvy_lab::envoy::Push;
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

/// All users get v2.
fn good() -> Value {
    configuration(&[rollout("checkout", all_users_get("v2"))])
}

/// Has two errors, and everything that a filter needs to route.
fn bad() -> Value {
    let mut configuration = configuration(&[rollout("checkout", all_users_get("v9"))]);
    configuration["identity"] = json!([{"header": "no header"}]);
    configuration
}

fn errors_of(text: &str) -> Vec<String> {
    let errors = config::parse(text.as_bytes()).expect_err("it is bad");
    errors.iter().map(ToString::to_string).collect()
}

/// The number of times that the filter logged this error.
fn times_logged(lines: &[String], what: &str) -> usize {
    let wanted = format!("{}: {what}", log_mark());
    lines
        .iter()
        .filter(|line| line.contains("[error]") && line.ends_with(&wanted))
        .count()
}

async fn assert_decides(edge: &Edge) -> Result<()> {
    for _ in 0..8 {
        let answer = edge.raw_get("/", &[""; 0]).await?;
        assert_eq!((answer.status, served_by(&answer)), (200, Some("v2")));
        assert_eq!(assignment_of(&answer), Some("checkout=v2;reason=active"));
    }
    assert_eq!(edge.gauge("divvy_config_inert").await?, Some(0.0));
    Ok(())
}

async fn assert_inert(edge: &Edge) -> Result<()> {
    let counted = edge.counts(REQUESTS).await?;
    for _ in 0..8 {
        let answer = edge.raw_get("/echo", &["x-divvy-route: v3"]).await?;
        assert_eq!((answer.status, served_by(&answer)), (200, Some("v1")));
        assert_eq!(assignment_of(&answer), None);
        assert!(!answer.text().contains("divvy"), "{}", answer.text());
    }
    assert_eq!(edge.gauge("divvy_config_inert").await?, Some(1.0));
    let weights = edge.counts(WEIGHTS).await?;
    assert_eq!(weights, Counts::new());
    assert_eq!(edge.counts(REQUESTS).await?, counted);
    Ok(())
}

#[tokio::test]
async fn a_cold_start_with_an_invalid_configuration_serves_stable_until_a_valid_one() -> Result<()>
{
    let edge = Setup::of_anything(&bad().to_string())?
        .workers(4)
        .start()
        .await?;
    assert_eq!(edge.envoy.verdict("divvy").await?, Push::Accepted);
    assert_inert(&edge).await?;
    // Each error once, although five VMs read the configuration.
    let errors = errors_of(&bad().to_string());
    assert_eq!(errors.len(), 2);
    let what = "this proxy starts without a valid configuration and serves stable: 2 errors";
    for line in errors.iter().map(String::as_str).chain([what]) {
        assert_eq!(times_logged(&edge.envoy.log(), line), 1, "{line}");
    }

    edge.put(&good()).await?;
    assert_decides(&edge).await?;
    // From now on invalid ones are refused, except the one that this process has accepted.
    let other = edge.push_text("{\"rollouts\": 1}").await?;
    assert!(matches!(other, Push::Refused { .. }), "{other:?}");
    assert_decides(&edge).await?;
    edge.put(&bad()).await?;
    assert_inert(&edge).await?;
    edge.put(&good()).await?;
    assert_decides(&edge).await
}

#[tokio::test]
async fn before_the_first_valid_configuration_every_invalid_one_is_accepted_inert() -> Result<()> {
    let edge = Setup::of_anything("{\"rollouts\": 1}")?.start().await?;
    assert_inert(&edge).await?;
    let hash = edge.gauge("divvy_config_hash").await?;
    edge.put(&bad()).await?;
    assert_inert(&edge).await?;
    assert_ne!(edge.gauge("divvy_config_hash").await?, hash);
    edge.put(&good()).await?;
    assert_decides(&edge).await
}

#[tokio::test]
async fn a_cold_start_with_any_bytes_serves_stable_and_logs_the_error() -> Result<()> {
    for text in [
        "null",
        "[]",
        "{",
        "\u{0}",
        "x: [1, 2]",
        "{\"rollouts\": {}}",
        "{\"a\": 1, \"a\": 2}",
    ] {
        let edge = Setup::of_anything(text)?.start().await?;
        assert_inert(&edge).await?;
        for error in errors_of(text) {
            assert_eq!(
                times_logged(&edge.envoy.log(), &error),
                1,
                "{text}: {error}"
            );
        }
    }
    Ok(())
}

/// A missing or empty plugin configuration has no rollouts.
#[tokio::test]
async fn a_missing_configuration_is_valid_and_decides_nothing() -> Result<()> {
    for text in [Some(""), Some("{}"), None] {
        let setup = Setup::of_anything(text.unwrap_or_default())?;
        let edge = setup
            .plugin(|mut plugin| {
                if text.is_none() {
                    plugin.config()["configuration"].take();
                }
                plugin
            })
            .start()
            .await?;
        let answer = edge.client.get("/").await?;
        assert_eq!(
            (answer.status, served_by(&answer), assignment_of(&answer)),
            (200, Some("v1"), None)
        );
        assert_eq!(
            edge.gauge("divvy_config_inert").await?,
            Some(0.0),
            "{text:?}"
        );
    }
    Ok(())
}

/// Envoy hands a `Struct` to the native module as JSON, and to the WebAssembly module as it is.
#[tokio::test]
async fn a_protobuf_struct_gets_an_error_that_names_the_right_type() -> Result<()> {
    let setup = Setup::of_anything("")?.plugin(|mut plugin| {
        plugin.config()["configuration"] = json!({
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": good(),
        });
        plugin
    });
    let edge = setup.start().await?;
    if Build::default() == Build::Module {
        return assert_decides(&edge).await;
    }
    assert_eq!(edge.gauge("divvy_config_inert").await?, Some(1.0));
    let log = edge.envoy.log();
    let logged = log.iter().any(|line| {
        line.contains("[error]") && line.contains(&log_mark()) && line.contains("StringValue")
    });
    assert!(
        logged,
        "{:#?}",
        log.iter()
            .filter(|line| line.contains("wasm"))
            .collect::<Vec<_>>()
    );
    Ok(())
}

fn strict(plugin: Plugin) -> Plugin {
    plugin.with_env("DIVVY_STRICT", "1")
}

#[tokio::test]
async fn in_strict_mode_an_invalid_configuration_is_refused_at_the_start() -> Result<()> {
    let edge = Setup::of_anything(&bad().to_string())?
        .plugin(strict)
        .start()
        .await?;
    let Push::Refused { reasons } = edge.envoy.verdict("divvy").await? else {
        panic!("it was accepted");
    };
    assert_eq!(
        reasons[0],
        "the configuration is refused, and there is no other: 2 errors"
    );
    assert_eq!(reasons[1..], errors_of(&bad().to_string()));
    // Envoy listens nevertheless, and no request passes.
    for _ in 0..4 {
        assert_eq!(edge.raw_get("/", &[""; 0]).await?.status, 500);
    }
    assert_eq!(edge.upstream_requests(), 0);
    // A valid configuration recovers it; invalid ones are refused.
    edge.put(&good()).await?;
    assert_decides(&edge).await?;
    let refused = edge.push_text("{\"rollouts\": 1}").await?;
    assert!(matches!(refused, Push::Refused { .. }), "{refused:?}");
    assert_decides(&edge).await
}

#[tokio::test]
async fn without_a_wasm_file_everyone_gets_500_until_another_plugin_file_arrives() -> Result<()> {
    let missing = |plugin: Plugin| plugin.with_wasm("no-such-file.wasm");
    let edge = Setup::of_anything(&good().to_string())?
        .plugin(missing)
        .start()
        .await?;
    for _ in 0..4 {
        assert_eq!(edge.raw_get("/", &[""; 0]).await?.status, 500);
    }
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&good().to_string());
    let pushed = edge.envoy.push(&plugin).await?;
    assert!(matches!(pushed, Push::Accepted), "{pushed:?}");
    assert_decides(&edge).await
}

#[tokio::test]
async fn only_1_turns_strict_mode_on() -> Result<()> {
    for value in ["0", "", "true"] {
        let lenient = |plugin: Plugin| plugin.with_env("DIVVY_STRICT", value);
        let edge = Setup::of_anything(&bad().to_string())?
            .plugin(lenient)
            .start()
            .await?;
        assert_inert(&edge).await?;
    }
    Ok(())
}

/// An accepted configuration of one plugin does not count for another.
#[tokio::test]
async fn two_plugins_of_one_envoy_are_independent() -> Result<()> {
    let setup = Setup::new(&good())?;
    let second = Plugin::load("envoy/plugin.yaml")?
        .with_name("second")
        .with_configuration(&bad().to_string());
    let edge = setup
        .bootstrap(|edge| edge.with_second_plugin(second.clone(), Position::Before("divvy")))?
        .start()
        .await?;
    let inert = async |plugin: &str| -> Result<Option<f64>> {
        let metrics = edge.metrics().await?;
        Ok(metrics.get("divvy_config_inert", &[("divvy_plugin", plugin)]))
    };
    assert_decides(&edge).await?;
    assert_eq!(inert("second").await?, Some(1.0));
    let pushed = edge.envoy.push(&second.with_configuration("{}")).await?;
    assert_eq!(pushed, Push::Accepted);
    assert_eq!(inert("second").await?, Some(0.0));
    assert_decides(&edge).await
}

#[tokio::test]
#[ignore = "long: DIVVY_SOAK=1"]
async fn an_inert_filter_logs_its_errors_every_minute() -> Result<()> {
    if !soak() {
        return Ok(());
    }
    let edge = Setup::of_anything(&bad().to_string())?
        .workers(4)
        .start()
        .await?;
    let what = "this proxy has no valid configuration and serves stable: 2 errors";
    let mut mark = edge.envoy.log_mark();
    for minute in 0..3 {
        let limit = Duration::from_secs(130);
        let wanted = |line: &str| line.ends_with(what);
        edge.envoy.wait_for_log_since(mark, wanted, limit).await?;
        ensure!(
            times_logged(&edge.envoy.log(), what) == minute + 1,
            "logged too often"
        );
        mark = edge.envoy.log_mark();
    }
    // A valid configuration ends it.
    edge.put(&good()).await?;
    mark = edge.envoy.log_mark();
    let wanted = |line: &str| line.ends_with(what);
    let limit = Duration::from_secs(130);
    assert!(
        edge.envoy
            .wait_for_log_since(mark, wanted, limit)
            .await
            .is_err()
    );
    Ok(())
}
