//! What the filter takes, and what does not do what it seems to say.

mod guardrail;
mod rules;
mod salts;
mod surroundings;

use divvy::policy::Policy;
use serde_json::Value;

pub use surroundings::Surroundings;

/// What looks wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where in the configuration.
    pub path: String,
    /// What, and what to do about it.
    pub message: String,
}

impl Warning {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// All warnings about a configuration that the filter takes: `policy` is what it makes of
/// `raw`.
pub fn of(
    policy: &Policy,
    raw: &Value,
    surroundings: &Surroundings,
    rps: Option<f64>,
) -> Vec<Warning> {
    let mut found = Vec::new();
    rules::find(raw, &mut found);
    salts::find(policy, raw, &mut found);
    guardrail::find(policy, raw, rps, &mut found);
    surroundings.find(policy, raw, &mut found);
    found
}

/// The elements of a list that may not be there, with their paths.
fn each<'v>(value: &'v Value, path: &str, key: &str) -> Vec<(String, &'v Value)> {
    let list = value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let dot = if path.is_empty() { "" } else { "." };
    let placed = list
        .enumerate()
        .map(|(nth, item)| (format!("{path}{dot}{key}[{nth}]"), item));
    placed.collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
