//! A warning, and the paths of list elements. Must not depend on the single warnings.

use serde_json::Value;

use super::kind::Kind;

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its kind.
    pub kind: Kind,
    /// Where it is.
    pub place: WarningPlace,
    /// Path in the configuration, or the field of Envoy's configuration.
    pub path: String,
    /// The problem, and what to do about it.
    pub message: String,
}

/// The place of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningPlace {
    /// At a path of the configuration that was examined.
    Configuration,
    /// In a file.
    File(FilePlace),
}

/// A place in one of the given files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// Index of the file.
    pub file: usize,
    /// Byte offset.
    pub offset: usize,
}

impl Warning {
    /// A warning about a value of the configuration.
    pub fn new(kind: Kind, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            place: WarningPlace::Configuration,
            path: path.into(),
            message: message.into(),
        }
    }

    /// A warning about a field in a file around the configuration.
    pub fn in_file(
        kind: Kind,
        place: FilePlace,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            place: WarningPlace::File(place),
            ..Self::new(kind, path, message)
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
