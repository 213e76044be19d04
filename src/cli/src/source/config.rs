//! The configuration of a file, compiled.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use divvy::policy::Policy;
use divvy::signature::KeyRing;
use serde_json::Value;

use super::file::{Given, SourceFile};
use super::find::FoundConfig;
use super::read;

/// The file of a verb that reads one configuration.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The configuration, in any form that divvy check accepts; - for standard input
    #[arg(
        value_name = "FILE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub file: Option<PathBuf>,
    /// The same as the argument FILE
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the plugin, if the file has several configurations
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
}

impl ConfigArgs {
    /// Reads and compiles the configuration.
    pub fn load(&self) -> Result<LoadedConfig> {
        LoadedConfig::with_keys(&self.find()?, &KeyRing::Assumed)
    }

    /// Reads the configuration, without compiling it.
    pub fn find(&self) -> Result<(SourceFile, FoundConfig)> {
        let path = self.file.as_ref().or(self.config.as_ref());
        let path = path.context("a file with the configuration is required")?;
        LoadedConfig::find(path, self.plugin.as_deref())
    }
}

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
        Self::new_with(json, &KeyRing::Assumed)
    }

    /// Compiles the JSON of a configuration for proxies with these keys.
    pub fn new_with(json: &[u8], keys: &KeyRing) -> Result<Self> {
        let policy = divvy::config::parse_with(json, keys)?;
        let raw = serde_json::from_slice(json).unwrap_or_default();
        Ok(Self { policy, raw })
    }

    /// Reads and compiles the only configuration of a file, or the one of this plugin.
    pub fn read(path: &Path, plugin: Option<&str>) -> Result<Self> {
        let (file, found) = Self::find(path, plugin)?;
        Self::of(&file, &found)
    }

    /// Reads the only configuration of a file, or the one of this plugin, with its position.
    pub fn find(path: &Path, plugin: Option<&str>) -> Result<(SourceFile, FoundConfig)> {
        let file = read::read(path, Given::Alone)?;
        let found = file.single(plugin)?;
        Ok((file, found))
    }

    /// The only configuration of a text, or the one of this plugin.
    pub fn find_in(text: &str, plugin: Option<&str>) -> Result<(SourceFile, FoundConfig)> {
        let file = SourceFile::new("-".to_owned(), text.to_owned(), Given::Alone);
        let found = file.single(plugin)?;
        Ok((file, found))
    }

    /// Compiles a configuration that was found in a file, for proxies with these keys.
    pub fn with_keys((file, found): &(SourceFile, FoundConfig), keys: &KeyRing) -> Result<Self> {
        let loaded = Self::new_with(&found.bytes, keys);
        loaded.with_context(|| format!("{}: see divvy check", file.name))
    }

    /// Compiles a configuration that was found in a file.
    pub fn of(file: &SourceFile, found: &FoundConfig) -> Result<Self> {
        Self::new(&found.bytes).with_context(|| format!("{}: see divvy check", file.name))
    }

    /// The rollouts as JSON.
    pub fn rollouts(&self) -> &[Value] {
        crate::raw::list(&self.raw, "rollouts")
    }
}
