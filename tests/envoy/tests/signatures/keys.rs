//! Keys that are missing or have mistakes: the log names the id of the key, and nothing has a byte of one.

use crate::setup::{Edge, PATIENCE, PLUGIN, Setup, seen_upstream, served_by};
use anyhow::{Context, Result, ensure};
use divvy_lab::envoy::Push;
use serde_json::json;

use super::{NEW, OLD, example, with_keys};

/// Parts of a text that are as long as this are not equal by chance.
const WINDOW: usize = 8;

/// An error if what Envoy shows about itself, or its log, has a part of a key.
async fn shows_no_key(edge: &Edge, keys: &str) -> Result<()> {
    let mut shown = edge.envoy.log();
    for path in [
        "/config_dump",
        "/stats",
        "/stats/prometheus",
        "/server_info",
    ] {
        shown.push(edge.envoy.get_admin(path).await?);
    }
    for entry in keys.split(',') {
        let key = entry.split_once(':').map_or(entry, |(_, key)| key);
        for part in key.as_bytes().windows(WINDOW) {
            let part = String::from_utf8_lossy(part);
            let found = shown.iter().find(|text| text.contains(&*part));
            ensure!(found.is_none(), "{part} of {keys} is in {found:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn envoy_shows_no_byte_of_valid_keys() -> Result<()> {
    let keys = format!("{NEW},{OLD}");
    let edge = with_keys(&keys)?.log("wasm:trace").start().await?;
    ensure!(edge.client.get("/").await?.status == 200);
    let dump = edge.envoy.get_admin("/config_dump").await?;
    ensure!(dump.contains(PLUGIN), "{dump}");
    shows_no_key(&edge, &keys).await
}

#[tokio::test]
async fn missing_and_wrong_keys_are_errors_that_name_the_id_alone() -> Result<()> {
    let same = format!("{OLD},2026e:{}", OLD.split_once(':').context("a key")?.1);
    let five: Vec<_> = ('a'..='e')
        .map(|id| format!("{id}:{}", id.to_string().repeat(43)))
        .collect();
    let [short, long] = [&OLD[..OLD.len() - 1], &format!("{OLD}A")].map(str::to_owned);
    let wrong = "the key 2026d is not 32 bytes";
    for (keys, message) in [
        (
            String::new(),
            "rollouts[0].sticky.signed: needs keys: set DIVVY_KEYS",
        ),
        (short, wrong),
        (long, wrong),
        (OLD.replace("AAEC", "!!!!"), wrong),
        (
            format!("{OLD},{}", NEW.replace("2027a", "2026d")),
            "DIVVY_KEYS has the id 2026d twice",
        ),
        (
            same,
            "DIVVY_KEYS has the same key under the ids 2026d and 2026e",
        ),
        (five.join(","), "DIVVY_KEYS has 5 keys: the maximum is 4"),
        // A key in the place of its id.
        (
            OLD.replacen("2026d:", "", 1),
            "DIVVY_KEYS: entry 1 is not <id>:<key>",
        ),
    ] {
        let setup = Setup::of_anything(&example()?.to_string())?.keys(&keys);
        let edge = setup.log("wasm:trace").start().await?;
        let is_error = |line: &str| line.contains("error") && line.contains(message);
        let logged = edge.envoy.wait_for_log(is_error, PATIENCE).await;
        logged.with_context(|| format!("{message}: {:#?}", edge.envoy.log()))?;
        assert_eq!(
            edge.gauge("divvy_config_inert").await?,
            Some(1.0),
            "{message}"
        );
        // Stable serves, never an unsigned cookie.
        let answer = edge.client.get("/checkout").await?;
        assert_eq!((answer.status, served_by(&answer)), (200, Some("v1")));
        ensure!(answer.header("set-cookie").is_none(), "{answer:?}");
        // The name of the header with overrides is known, so the application does not see one.
        let lines = ["x-divvy-override: 1", "cookie: divvy_override=1"];
        let echo = edge.raw_get("/echo", &lines).await?;
        ensure!(
            seen_upstream(&echo, "x-divvy-override")?.is_empty(),
            "{}",
            echo.text()
        );
        assert_eq!(seen_upstream(&echo, "cookie")?, ["divvy_override=1"]);
        shows_no_key(&edge, &keys).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_running_proxy_without_keys_refuses_signatures_and_keeps_its_configuration() -> Result<()>
{
    let edge = Edge::start(&json!({"version": "before"})).await?;
    let Push::Refused { reasons } = edge.push(&example()?).await? else {
        anyhow::bail!("accepted without keys");
    };
    let named = |field: &str| {
        let begin = format!("{field}: needs keys: set DIVVY_KEYS in the environment of the VM");
        reasons.iter().any(|reason| reason.starts_with(&begin))
    };
    for field in [
        "identity[1].mint.signed",
        "overrides",
        "rollouts[0].sticky.signed",
    ] {
        ensure!(named(field), "{field}: {reasons:?}");
    }
    assert_eq!(edge.gauge("divvy_config_inert").await?, Some(0.0));
    Ok(())
}
