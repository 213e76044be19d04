//! Files, and the divvy configurations in them. Must not depend on the verbs.
//!
//! A configuration is a file of its own (YAML or JSON), part of a Kubernetes resource, or JSON
//! text inside what Envoy reads. Every node keeps its position in the file.

mod config;
mod document;
mod embedded;
mod error;
mod file;
mod find;
mod json;
mod lines;
mod merge;
mod read;
mod scalar;
pub mod tree;
mod yaml;

pub use config::{ConfigArgs, LoadedConfig};
pub use document::SourceDocument;
pub use embedded::OffsetMap;
pub use error::SourceError;
pub use file::{Content, Given, SourceFile};
pub use find::{Carrier, EnvoyPlugin, FoundConfig, PassedKeys, Workload};
pub use lines::{LineIndex, LinedText};
pub use read::{SkippedFile, SourceSet, open, read_all, read_bytes, read_text};

/// The documents of a YAML text, as every reader of it sees them.
pub fn parse_yaml(text: &str) -> Result<Vec<tree::SourceNode>, SourceError> {
    yaml::read(text)
}
