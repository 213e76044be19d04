//! What `divvy check` says about a JSON file is what Envoy and the filter say.

use std::fs;

use crate::setup::{Edge, canary, configuration, rollout};
use anyhow::Result;
use divvy::config;
use divvy_cli::source::{Content, read_all};
use divvy_lab::envoy::Push;

/// Whether the command line finds no error in a file with this text.
fn passes(text: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("divvy.json");
    fs::write(&path, text).unwrap();
    let set = read_all(&[path]).unwrap();
    let Content::Documents(documents) = set.files[0].content() else {
        return false;
    };
    let found = set.files[0].find(&documents);
    let valid = |bytes: &[u8]| config::parse(bytes).is_ok();
    !found.is_empty()
        && found
            .iter()
            .all(|found| found.as_ref().is_ok_and(|found| valid(&found.bytes)))
}

#[tokio::test]
async fn the_command_line_passes_the_json_that_envoy_accepts() -> Result<()> {
    let edge = Edge::start(&configuration(&[rollout("checkout", canary(1.0))])).await?;
    let good = configuration(&[rollout("checkout", canary(5.0))]).to_string();
    for (form, text) in [
        ("as it is", good.clone()),
        ("with spaces", format!(" \n{good}\n\n")),
        ("trailing comma", good.replacen('}', ",}", 1)),
        ("comment", format!("# mine\n{good}")),
        ("JavaScript comment", format!("{good} // mine")),
        ("single quotes", good.replace('"', "'")),
        ("bare key", good.replace("\"weight\"", "weight")),
        ("leading zero", good.replace("5.0", "05")),
        ("plus sign", good.replace("5.0", "+5")),
        ("byte order mark", format!("\u{feff}{good}")),
        ("two documents", format!("{good}{good}")),
        ("YAML", "rollouts: []".to_owned()),
        ("a list", "[]".to_owned()),
        (
            "a duplicate key",
            "{\"version\": \"1\", \"version\": \"2\"}".to_owned(),
        ),
        ("no rollouts", "{}".to_owned()),
    ] {
        let accepted = !matches!(edge.push_text(&text).await?, Push::Refused { .. });
        assert_eq!(passes(&text), accepted, "{form}: {text}");
        let same = ["as it is", "with spaces", "no rollouts"].contains(&form);
        assert_eq!(accepted, same, "{form}");
    }
    Ok(())
}
