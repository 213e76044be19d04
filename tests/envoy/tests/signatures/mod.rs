//! Signed cookies and overrides, with keys from the environment in which Envoy was started.

mod forged;
mod keys;
mod rotation;
mod signer;

use std::fs;

use crate::setup::Setup;
use anyhow::Result;
use divvy_lab::metrics::Metrics;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::Value;

/// Two keys.
const OLD: &str = "2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const NEW: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

/// The cookies of the example `signed`.
const IDENTITY: &str = "divvy_id";
const STICKY: &str = "divvy_checkout";

/// The example `signed`.
fn example() -> Result<Value> {
    let file = workspace_root().join("envoy/examples/signed.yaml");
    let json = from_yaml_or_json(&fs::read_to_string(file)?)?;
    Ok(serde_json::from_str(&json)?)
}

/// The shipped edge with the example and these keys.
fn with_keys(keys: &str) -> Result<Setup> {
    Ok(Setup::new(&example()?)?.keys(keys))
}

/// How many signatures for a purpose had a result.
fn checked(metrics: &Metrics, purpose: &str, result: &str) -> u64 {
    let labels = [("divvy_purpose", purpose), ("divvy_result", result)];
    metrics
        .get("divvy_signature_total", &labels)
        .unwrap_or_default() as u64
}

/// The place of a key in `DIVVY_KEYS`; 0: it is not there.
fn place(metrics: &Metrics, key: &str) -> u64 {
    let labels = [("divvy_key_id", key)];
    metrics.get("divvy_key_info", &labels).unwrap_or_default() as u64
}

/// The id of a key.
fn id(key: &str) -> &str {
    key.split_once(':').map_or("", |(id, _)| id)
}
