//! Files, and the divvy configurations in them. Must not depend on the verbs.
//!
//! A configuration is a file of its own (YAML or JSON), part of a Kubernetes resource, or JSON
//! text inside what Envoy reads. Every node keeps its position in the file.

mod config;
mod embedded;
mod error;
mod file;
mod find;
mod json;
mod lines;
pub mod tree;
mod yaml;

pub use config::LoadedConfig;
pub use embedded::OffsetMap;
pub use error::SourceError;
pub use file::{SourceFile, read_all};
pub use find::FoundConfig;
pub use lines::LineIndex;
