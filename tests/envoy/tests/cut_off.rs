//! A plugin file that was cut off, as after a full disk: it must never replace the split.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::upstream::start_versions;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

use crate::setup::{Edge, PATIENCE, assignment_of, configuration, rollout, served_by};

/// The places at which a file is cut: in the middle and at the end of each line.
fn places(text: &str) -> Vec<usize> {
    let mut places = vec![0];
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let indent = line.len() - line.trim_start().len();
        places.push(begin + indent + content.len() / 2);
        begin += line.len();
        places.push(begin - 1);
        places.push(begin);
    }
    places.retain(|place| *place < text.len() && text.is_char_boundary(*place));
    places.dedup();
    places
}

/// The number of updates.
async fn updates(envoy: &Envoy) -> Result<u64> {
    let prefix = "extension_config_discovery.http_filter.divvy.";
    let stats = envoy.stats(prefix).await?;
    let get = |name: &str| stats.get(&format!("{prefix}{name}")).copied().unwrap_or(0);
    Ok(get("update_success") + get("update_rejected") + get("update_failure"))
}

/// Publishes a plugin file, and waits until Envoy has read it.
async fn publish(envoy: &Envoy, path: &Path, text: &str) -> Result<()> {
    let before = updates(envoy).await?;
    let draft = path.with_extension("new");
    fs::write(&draft, text)?;
    fs::rename(&draft, path)?;
    let read = async || updates(envoy).await.ok().filter(|now| *now > before);
    let what = format!("Envoy to read the file of {} bytes", text.len());
    eventually(&what, PATIENCE, read).await.map(drop)
}

#[tokio::test]
async fn no_cut_of_the_shipped_plugin_file_changes_a_decision() -> Result<()> {
    let root = workspace_root();
    let wasm = root.join("target/divvy.wasm").display().to_string();
    let whole = fs::read_to_string(root.join("envoy/plugin.yaml"))?;
    let whole = whole.replace("target/divvy.wasm", &wasm);
    let dir = root.join(format!("target/tmp/cut-off-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let path = dir.join("plugin.yaml");
    fs::write(&path, &whole)?;

    let (mut bootstrap, _upstreams) = start_versions(Bootstrap::load("envoy/edge.yaml")?).await?;
    for manager in bootstrap.connection_managers()? {
        let filters = manager["http_filters"].as_array_mut().context("filters")?;
        for filter in filters
            .iter_mut()
            .filter(|filter| filter["name"] == "divvy")
        {
            filter["config_discovery"]["config_source"]["path_config_source"] =
                json!({"path": path, "watched_directory": {"path": dir}});
        }
    }
    let options = Options {
        concurrency: 1,
        ..Options::default()
    };
    let envoy = Envoy::start(&Binary::find()?, &bootstrap, &options).await?;
    let client = Http1::new(envoy.listener("edge").await?);
    let tester = [("x-canary", "true")];
    let decides = async || -> Result<()> {
        let answer = client.get_with("/checkout", &tester).await?;
        let expected = Some("checkout=v2;reason=rule");
        ensure!(assignment_of(&answer) == expected, "{:?}", answer.headers);
        Ok(())
    };
    decides().await?;
    // JSON is YAML, and its cuts are too.
    let json = divvy_lab::plugin::from_yaml_or_json(&whole)?;
    let json = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&json)?)?;
    for text in [&whole, &json] {
        let mut cuts = places(text);
        if text == &json {
            cuts.retain(|place| place % 5 == 0);
        }
        for place in cuts {
            let cut = &text[..place];
            publish(&envoy, &path, cut).await?;
            let last = cut.lines().last().unwrap_or_default();
            decides()
                .await
                .with_context(|| format!("cut at {place}: {last:?}"))?;
        }
    }
    publish(&envoy, &path, &whole.replace("\"1\"", "\"2\"")).await?;
    let in_force = |line: &str| line.contains("configuration \"2\" is in force");
    envoy.wait_for_log(in_force, PATIENCE).await?;
    decides().await?;
    for line in envoy.log() {
        let other = line.contains("is in force") && !line.contains("rollouts: 1,");
        ensure!(!other, "{line}");
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

#[tokio::test]
async fn zero_bytes_are_refused_with_what_to_write_instead() -> Result<()> {
    let good = configuration(&[rollout("checkout", crate::setup::all_users_get("v2"))]);
    let edge = Edge::start(&good).await?;
    let refused = edge.push_text("").await?;
    let divvy_lab::envoy::Push::Refused { reasons } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        reasons,
        [
            "the configuration is refused, the last good one stays in force: 1 error",
            "the configuration is empty, as after a plugin file was cut off: write {} for a \
             configuration without rollouts, on Istio rollouts: []",
        ]
    );
    assert_eq!(served_by(&edge.client.get("/").await?), Some("v2"));
    edge.put(&json!({})).await?;
    assert_eq!(assignment_of(&edge.client.get("/").await?), None);
    Ok(())
}
