//! Warnings about configurations that the filter accepts but that probably do not do what they
//! mean.

mod guardrail;
mod rules;
mod salts;
mod surroundings;
mod warning;

use divvy::policy::Policy;
use serde_json::Value;

pub use surroundings::Surroundings;
pub use warning::Warning;

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
