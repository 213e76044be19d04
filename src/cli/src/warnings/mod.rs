//! Warnings about configurations that the filter accepts but that probably do not do what they
//! mean.

mod guardrail;
mod rules;
mod salts;
mod surroundings;

use divvy::policy::Policy;
use serde_json::Value;

pub use surroundings::Surroundings;

/// A warning at a place of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path in the configuration.
    pub path: String,
    /// The problem, and what to do about it.
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

/// All warnings about a configuration; `policy` is compiled from `raw`.
pub fn find(
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

/// The elements of a list with their paths; empty if the field is missing.
fn each<'v>(value: &'v Value, path: &str, field: &str) -> Vec<(String, &'v Value)> {
    let dot = if path.is_empty() { "" } else { "." };
    let elements = crate::list(value, field).iter().enumerate();
    let placed = elements.map(|(index, item)| (format!("{path}{dot}{field}[{index}]"), item));
    placed.collect()
}
