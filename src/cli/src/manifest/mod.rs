//! Manifests: what Envoy and Kubernetes read, as ordered trees with comments, and their text as YAML or JSON.
//!
//! `render` and `convert` share these parts. Must not depend on the verbs.

pub mod istio;
pub mod json;
pub mod node;
pub mod template;
pub mod yaml;

pub use node::{ManifestEntry, ManifestNode, list, object, texts};
