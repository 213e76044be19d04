//! The configuration of a file, compiled.

use std::path::Path;

use anyhow::{Context as _, Result};
use divvy::policy::Policy;
use serde_json::Value;

use super::file;

/// A valid configuration.
#[derive(Debug)]
pub struct LoadedConfig {
    /// Compiled.
    pub policy: Policy,
    /// As JSON.
    pub raw: Value,
}

impl LoadedConfig {
    /// Compiles the JSON of a configuration.
    pub fn new(json: &[u8]) -> Result<Self> {
        let policy = divvy::config::parse(json)?;
        let raw = serde_json::from_slice(json).unwrap_or_default();
        Ok(Self { policy, raw })
    }

    /// Reads and compiles the only configuration of a file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = file::read(path, true)?;
        let found = file.single()?;
        Self::new(&found.bytes).with_context(|| format!("{}: see divvy check", file.name))
    }

    /// The rollouts as JSON.
    pub fn rollouts(&self) -> &[Value] {
        crate::raw::list(&self.raw, "rollouts")
    }
}
