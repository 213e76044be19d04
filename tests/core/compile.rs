//! Compiles the configurations of the tests.
use divvy::config;
use divvy::policy::Policy;
use serde_json::Value;

pub fn policy(config: &Value) -> Policy {
    config::parse(config.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of a configuration, none if it is valid.
pub fn errors_of(config: &Value) -> Vec<String> {
    let errors = config::parse(config.to_string().as_bytes()).err();
    let errors = errors.iter().flat_map(config::Errors::iter);
    errors.map(ToString::to_string).collect()
}
