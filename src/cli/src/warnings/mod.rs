//! Warnings about configurations that the filter accepts but that probably do not do what they
//! mean.

mod addresses;
mod assignment;
mod bootstrap;
mod chains;
mod cover;
mod guardrail;
mod identities;
mod kind;
mod names;
mod owners;
mod paths;
mod routes;
mod rules;
mod salts;
mod scopes;
mod signatures;
mod strip;
mod surroundings;
mod trust;
mod unreachable;
mod warning;

use divvy::policy::Policy;
use serde_json::Value;

use crate::source::FoundConfig;
pub use guardrail::never_judges;
pub use kind::Kind;
pub use owners::covering_owner;
pub use strip::stripped_early;
pub use surroundings::Surroundings;
pub use warning::{FilePlace, Warning, WarningPlace};

/// A valid configuration of the given files.
#[derive(Debug)]
pub struct Examined {
    /// Index of its file.
    pub file: usize,
    /// Path of its file.
    pub file_name: String,
    /// Where it was found.
    pub found: FoundConfig,
    /// Compiled.
    pub policy: Policy,
    /// As JSON.
    pub raw: Value,
}

/// All warnings about a configuration.
pub fn find(one: &Examined, surroundings: &Surroundings, rps: Option<f64>) -> Vec<Warning> {
    let (policy, raw) = (&one.policy, &one.raw);
    let mut found = Vec::new();
    if one.found.bytes.is_empty() {
        let message =
            "is empty, so nothing is split; a running divvy refuses it: write {} for no rollouts";
        found.push(Warning::new(Kind::EmptyConfiguration, "", message));
    }
    rules::find(policy, raw, &mut found);
    names::find(raw, surroundings, &mut found);
    scopes::find(raw, &mut found);
    identities::find(policy, raw, &mut found);
    salts::find(policy, raw, &mut found);
    guardrail::find(policy, raw, rps, &mut found);
    unreachable::find(policy, raw, &mut found);
    owners::find(policy, raw, &mut found);
    assignment::find(policy, raw, &mut found);
    routes::find(one, surroundings, &mut found);
    strip::find(one, surroundings, &mut found);
    trust::find(one, surroundings, &mut found);
    signatures::find(one, &mut found);
    addresses::find(one, surroundings, &mut found);
    found
}

/// Warnings about the given files together, by the configurations in them.
pub fn find_around(all: &[Examined], surroundings: &Surroundings) -> Vec<Warning> {
    let mut found = Vec::new();
    bootstrap::find(all, surroundings, &mut found);
    chains::find(all, surroundings, &mut found);
    found
}
