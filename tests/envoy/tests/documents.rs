//! The documents: their configurations are accepted, their errors are the filter's, and their links
//! exist. `reference.rs` tests the configuration reference.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use divvy::config;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::{Map, Value, json};

/// The pages, as paths from the root of the repository.
fn documents() -> Result<Vec<String>> {
    let top = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "RELEASING.md",
        "SECURITY.md",
    ];
    let mut found: Vec<_> = top.map(str::to_owned).into();
    let mut folders = Vec::from(["envoy", "istio"].map(str::to_owned));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(workspace_root().join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 14, "{found:?}");
    Ok(found)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(workspace_root().join(path)).context(path.to_owned())
}

fn readme() -> Result<String> {
    read("README.md")
}

/// The code blocks of a language. Another program's configuration is marked by a word after the
/// language, as in `yaml before`, which is not rendered.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let rest = text.split(&fence).skip(1);
    rest.filter_map(|rest| rest.split("```").next()).collect()
}

/// All errors of a configuration, one per line.
fn errors_of(configuration: &Value) -> String {
    let parsed = config::parse(configuration.to_string().as_bytes());
    parsed
        .err()
        .map(|errors| errors.to_string())
        .unwrap_or_default()
}

#[test]
fn the_configurations_of_the_documents_and_of_the_demo_are_accepted() -> Result<()> {
    let pages = documents()?;
    let pages = pages.iter().map(|path| read(path));
    let pages = pages.collect::<Result<Vec<_>>>()?;
    let mut texts: Vec<_> = pages.iter().flat_map(|page| blocks(page, "yaml")).collect();
    assert!(texts.len() > 5, "only {}", texts.len());
    let demo = read("envoy/divvy.yaml")?;
    texts.push(&demo);
    for text in texts {
        let json: Value = serde_json::from_str(&from_yaml_or_json(text)?)?;
        // A plugin file contains it as text.
        let json = match json.pointer("/configuration/value") {
            Some(text) => serde_json::from_str(text.as_str().context("it is text")?)?,
            None => json,
        };
        assert_eq!(errors_of(&json), "", "{text}");
    }
    Ok(())
}

#[test]
fn the_readme_shows_the_actual_error() -> Result<()> {
    let demo = fs::read_to_string(workspace_root().join("envoy/divvy.yaml"))?;
    let mut broken: Value = serde_json::from_str(&from_yaml_or_json(&demo)?)?;
    let weight = broken.pointer_mut("/rollouts/0/strategy/canary/weight");
    *weight.context("the demo is a canary")? = json!(500);
    assert!(blocks(&readme()?, "text").contains(&format!("{}\n", errors_of(&broken)).as_str()));
    Ok(())
}

/// Envoy selects its regexes by their prefix, and a cluster has a hundred series. The labels are
/// tested with the edge; the hop has the same.
#[test]
fn the_label_regexes_skip_envoys_own_series() -> Result<()> {
    let tags = |path| -> Result<Value> {
        let mut bootstrap = Bootstrap::load(path)?;
        Ok(bootstrap.json()["stats_config"]["stats_tags"].take())
    };
    let edge = tags("envoy/edge.yaml")?;
    assert_eq!(edge, tags("envoy/hop.yaml")?);
    let edge = edge.as_array().context("there are tags")?;
    assert_eq!(edge.len(), 8);
    for tag in edge {
        let regex = tag["regex"].as_str().context("a tag has a regex")?;
        assert!(regex.starts_with(r"^wasmcustom\."), "{regex}");
    }
    Ok(())
}

/// `hot_restart.rs` has the values of the gauges.
#[test]
fn queries_have_known_names_and_are_right_for_several_jobs_and_sums_of_gauges() -> Result<()> {
    let metrics = read("envoy/docs/METRICS.md")?;
    let mut queries = 0;
    for document in documents()? {
        let page = read(&document)?;
        for language in ["promql", "yaml alerts", "yaml flagger", "yaml argo"] {
            for block in blocks(&page, language) {
                queries += 1;
                let words = block.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                for word in words.filter(|word| word.starts_with("divvy_")) {
                    let name = word.trim_end_matches("_bucket");
                    assert!(metrics.contains(&format!("`{name}`")), "{document}: {word}");
                }
                for labels in block.split("by (").skip(1) {
                    let labels = labels.split(')').next().unwrap_or_default();
                    assert!(labels.split(", ").any(|label| label == "job"), "{labels}");
                }
                // States of two processes add up; only "above 0" has one meaning.
                for gauge in ["divvy_config_inert", "divvy_guardrail_state"] {
                    assert!(!block.contains(&format!("{gauge} == ")), "{block}");
                }
            }
        }
    }
    assert!(queries >= 5, "{queries} blocks");
    Ok(())
}

#[test]
fn every_relative_link_of_the_documents_exists() -> Result<()> {
    for document in documents()? {
        let path = workspace_root().join(&document);
        let text = read(&document)?;
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.with_file_name("").join(file),
            };
            assert!(target.exists(), "{document}: {link}");
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(target)?);
                assert!(anchors.contains(anchor), "{document}: {link}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_readme_is_short_and_links_every_page() -> Result<()> {
    let readme = readme()?;
    assert!(readme.lines().count() <= 200);
    for document in documents()?.iter().filter(|path| *path != "README.md") {
        assert!(readme.contains(&format!("]({document}")), "{document}");
    }
    Ok(())
}

/// The code blocks marked `yaml envoy`: parts of an Envoy configuration, one for each requirement.
#[test]
fn the_snippets_of_the_readme_are_parts_of_the_edge_proxy() -> Result<()> {
    let edge = serde_json::from_str(&from_yaml_or_json(&read("envoy/edge.yaml")?)?)?;
    let readme = readme()?;
    let snippets = blocks(&readme, "yaml envoy");
    assert_eq!(snippets.len(), 5);
    for snippet in snippets {
        let fields: Map<String, Value> = serde_json::from_str(&from_yaml_or_json(snippet)?)?;
        for (name, value) in fields {
            let part = json!({name: value});
            assert!(has_part(&edge, &part), "{part:#}");
        }
    }
    Ok(())
}

/// Whether `whole` or a value inside it covers `part`.
fn has_part(whole: &Value, part: &Value) -> bool {
    let below = match whole {
        Value::Object(fields) => fields.values().any(|value| has_part(value, part)),
        Value::Array(values) => values.iter().any(|value| has_part(value, part)),
        _ => false,
    };
    below || covers(whole, part)
}

/// Whether `whole` has every field, element and value of `part`.
fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(name, part)| {
            let found = whole.get(name);
            found.is_some_and(|whole| covers(whole, part))
        }),
        (Value::Array(whole), Value::Array(part)) => part
            .iter()
            .all(|part| whole.iter().any(|whole| covers(whole, part))),
        (whole, part) => whole == part,
    }
}

/// A name in capitals, as in `src/core/strategy/NAME.rs`, is a placeholder.
#[test]
fn every_file_that_a_document_names_exists() -> Result<()> {
    let folders = ["src/", "tests/", "envoy/", "istio/"];
    let placeholders = ["NAME", "SUBJECT", "VERSION"];
    let mut missing = Vec::new();
    for document in documents()? {
        let text = read(&document)?;
        let code = text.split('`').skip(1).step_by(2);
        for name in code.filter(|code| folders.iter().any(|folder| code.starts_with(folder))) {
            let is_path = !name.contains([' ', ':', '*']);
            let is_placeholder = placeholders.iter().any(|word| name.contains(word));
            if is_path && !is_placeholder && !workspace_root().join(name).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    Ok(())
}

/// The anchors of a page's headings: lower case, hyphens for spaces, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        });
        kept.collect::<String>()
    };
    headings.map(anchor).collect()
}
