//! A warning, and the paths of list elements. Must not depend on the single warnings.

use serde_json::Value;

/// A warning at a place of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path in the configuration.
    pub path: String,
    /// The problem, and what to do about it.
    pub message: String,
}

impl Warning {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// The elements of a list with their paths; empty if the field is missing.
pub(super) fn each<'v>(value: &'v Value, path: &str, field: &str) -> Vec<(String, &'v Value)> {
    let dot = if path.is_empty() { "" } else { "." };
    let elements = crate::raw::list(value, field).iter().enumerate();
    let placed = elements.map(|(index, item)| (format!("{path}{dot}{field}[{index}]"), item));
    placed.collect()
}
