//! The shipped files together: the headers that a shipped configuration writes are removed early by
//! the shipped proxy beside it, and access logs contain nothing personal.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use divvy::{config, output};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

use crate::setup::{Edge, PATIENCE, all_users_get, configuration, rollout};

/// The YAML files below these folders, without the templates of a chart.
fn yaml_files(folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<_> = folders
        .iter()
        .map(|folder| workspace_root().join(folder))
        .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("istio/chart") {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let parsed = text.split("\n---\n").map(|document| {
        let json = from_yaml_or_json(document).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&json)?)
    });
    parsed.collect()
}

/// All values under this key, anywhere in a document.
fn under<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.push(value);
                }
                under(value, key, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

/// The headers that a shipped proxy or EnvoyFilter removes early.
fn removed_early(file: &str) -> Result<BTreeSet<String>> {
    let documents = documents(&workspace_root().join(file))?;
    let mut mutations = Vec::new();
    for document in &documents {
        under(document, "mutations", &mut mutations);
    }
    ensure!(!mutations.is_empty(), "{file} removes nothing");
    let names = mutations
        .into_iter()
        .flat_map(|list| list.as_array().into_iter().flatten());
    let names = names.filter_map(|mutation| mutation["remove"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// The request headers that only divvy writes under a configuration. A proxy with `trust` honours
/// the assignment of its sender, so that one stays.
fn written(configuration: &Value) -> Result<BTreeSet<String>> {
    let policy = config::parse(configuration.to_string().as_bytes());
    let policy = policy.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let headers = output::stripped(&policy).map(|header| header.name.to_string());
    let trusts = configuration["trust"].is_object();
    Ok(headers
        .filter(|name| !(trusts && name == "x-divvy-assignment"))
        .collect())
}

/// The configurations of plugins in a file; `base` has the fields that an overlay leaves out.
fn plugin_configurations(file: &Path, base: &Value) -> Result<Vec<Value>> {
    let mut configurations = Vec::new();
    for document in documents(file)? {
        let mut found = Vec::new();
        under(&document, "pluginConfig", &mut found);
        configurations.extend(found.into_iter().map(|overlay| {
            let mut whole = base.clone();
            for (field, value) in overlay.as_object().into_iter().flatten() {
                whole[field] = value.clone();
            }
            whole
        }));
    }
    Ok(configurations)
}

#[test]
fn headers_that_a_shipped_configuration_writes_are_removed_early() -> Result<()> {
    let root = workspace_root();
    let mut checked = Vec::new();
    let mut check = |strip: &str, configuration: &Value, file: &Path| -> Result<()> {
        let (removed, written) = (removed_early(strip)?, written(configuration)?);
        let kept: Vec<_> = written.difference(&removed).collect();
        ensure!(
            kept.is_empty(),
            "{strip} does not remove {kept:?} of {}",
            file.display()
        );
        checked.push(strip.to_owned());
        Ok(())
    };
    for file in yaml_files(&["envoy"])? {
        let all = documents(&file)?;
        let document = all.first().context("a document")?;
        let mut values = Vec::new();
        under(document, "configuration", &mut values);
        let embedded = values.iter().find_map(|value| value["value"].as_str());
        let configuration = match embedded {
            Some(text) => serde_json::from_str(text)?,
            None if document["rollouts"].is_array() => document.clone(),
            None => continue,
        };
        let proxy = if configuration["trust"].is_object() {
            "hop"
        } else {
            "edge"
        };
        check(&format!("envoy/{proxy}.yaml"), &configuration, &file)?;
    }
    let base = plugin_configurations(&root.join("istio/base/plugin.yaml"), &json!({}))?;
    let base = base.first().context("the base has a configuration")?;
    for file in yaml_files(&["istio"])? {
        let is_in = |name: &str| file.parent().is_some_and(|folder| folder.ends_with(name));
        let is_gateway = file.ends_with("divvy.yaml");
        let (strip, base) = match (is_in("mesh"), is_in("mesh-baggage")) {
            (true, _) => ("istio/overlays/mesh/strip.yaml", &json!({})),
            (_, true) if !is_gateway => ("istio/overlays/mesh-baggage/strip.yaml", &json!({})),
            _ => ("istio/base/strip.yaml", base),
        };
        for configuration in plugin_configurations(&file, base)? {
            check(strip, &configuration, &file)?;
        }
    }
    let number = |strip: &str| checked.iter().filter(|checked| *checked == strip).count();
    ensure!(number("envoy/edge.yaml") > 15, "{checked:?}");
    ensure!(number("istio/base/strip.yaml") > 4, "{checked:?}");
    for mesh in ["mesh", "mesh-baggage"] {
        let strip = format!("istio/overlays/{mesh}/strip.yaml");
        ensure!(number(&strip) == 2, "{checked:?}");
    }
    Ok(())
}

/// Envoy reads no field after the end of a file that was cut off: without the last one, it or the API
/// server refuses what is left.
#[test]
fn the_configuration_precedes_the_file_of_the_filter() -> Result<()> {
    let mut plugins = 0;
    for file in yaml_files(&["envoy", "istio"])? {
        let text = fs::read_to_string(&file)?;
        let begin = |what: &str| {
            text.find(&format!("\n{what}"))
                .or_else(|| text.find(&format!(" {what}")))
        };
        for (first, last) in [
            ("configuration:\n", "vm_config:\n"),
            ("pluginConfig:\n", "url: \"oci:"),
        ] {
            if let (Some(first), Some(last)) = (begin(first), begin(last)) {
                ensure!(first < last, "{}", file.display());
                plugins += 1;
            }
        }
    }
    ensure!(plugins >= 6, "{plugins} plugins");
    Ok(())
}

#[test]
fn no_shipped_access_log_has_queries_or_referers() -> Result<()> {
    let mut logs = 0;
    for file in yaml_files(&["envoy", "istio"])? {
        let text = fs::read_to_string(&file)?.to_ascii_lowercase();
        for operator in ["%req(:path", "original-path", "referer", "%query_param"] {
            ensure!(
                !text.contains(operator),
                "{} has {operator}",
                file.display()
            );
        }
        logs += usize::from(text.contains("%path(nq)%"));
    }
    ensure!(logs >= 3, "{logs} files with access logs");
    Ok(())
}

#[tokio::test]
async fn the_access_log_has_the_path_without_the_query() -> Result<()> {
    let edge = Edge::start(&configuration(&[rollout("checkout", all_users_get("v2"))])).await?;
    let referer = [("referer", "https://shop.example/?uid=secret")];
    let path = "/echo/a%20b?uid=secret&token=secret";
    edge.client.get_with(path, &referer).await?;
    let line = edge
        .envoy
        .wait_for_log(|line| line.starts_with('{'), PATIENCE);
    let line = line.await?;
    ensure!(!line.contains("secret"), "{line}");
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!(line["path"], "/echo/a%20b");
    assert_eq!(line["assignment"], "checkout=v2;reason=active");
    Ok(())
}
