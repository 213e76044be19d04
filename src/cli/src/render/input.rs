//! The configuration that is rendered.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use divvy::policy::{DEFAULT_HEADERS, HeaderRole, Policy};
use serde_json::Value;

use crate::manifest::template::indented;
use crate::manifest::{ManifestNode, yaml};
use crate::source::tree::YamlVersion;
use crate::source::{Carrier, LoadedConfig, parse_yaml};

/// The configuration and the name of its plugin.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// The configuration, in any form that divvy check accepts; - for standard input
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Name of the plugin, if the file has several configurations
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
}

/// A valid configuration.
#[derive(Debug)]
pub(super) struct Input {
    pub policy: Policy,
    /// As JSON, with keys in alphabetical order.
    pub raw: Value,
    /// As the file has it.
    pub node: ManifestNode,
    /// The text of the file if it contains nothing else and is YAML with one entry per line.
    text: Option<String>,
}

impl InputArgs {
    pub(super) fn load(&self) -> Result<Input> {
        let (file, found) = LoadedConfig::find(&self.config, self.plugin.as_deref())?;
        let loaded = LoadedConfig::of(&file, &found)?;
        let text = String::from_utf8_lossy(&found.bytes);
        // Its JSON has no types that depend on the version.
        let roots = parse_yaml(&text).map_err(|error| anyhow!(error.message))?;
        let node = roots.first();
        let node = node.map_or(ManifestNode::Map(Vec::new()), |root| {
            ManifestNode::of(root, YamlVersion::V12)
        });
        let is_plain = matches!(found.carrier, Carrier::Plain) && found.names.is_empty();
        Ok(Input {
            policy: loaded.policy,
            raw: loaded.raw,
            node,
            text: is_plain.then_some(file.text),
        })
    }
}

impl Input {
    /// Lines of YAML below a key of a Kubernetes resource, with the comments of the file where they mean the same there.
    pub(super) fn lines(&self, indent: usize) -> String {
        let commented = self.text.as_ref().map(|text| indented(text, indent));
        let same = |lines: &String| {
            let whole = format!("key:\n{lines}");
            let Ok(roots) = parse_yaml(&whole) else {
                return false;
            };
            let [root] = roots.as_slice() else {
                return false;
            };
            let json = root.get("key").map(|node| node.to_json(YamlVersion::V11));
            let read: Option<Value> = json.and_then(|json| serde_json::from_str(&json).ok());
            // In one line it could not be changed by hand.
            read.as_ref() == Some(&self.raw) && !lines.trim_start().starts_with('{')
        };
        commented
            .filter(same)
            .unwrap_or_else(|| yaml::block(&self.node, indent))
    }

    /// The headers that have to be removed from requests of clients before a filter or route reads them.
    pub(super) fn stripped(&self) -> Vec<String> {
        crate::warnings::stripped_early(&self.policy)
    }

    /// Whether the proxies need the keys of signatures.
    pub(super) fn needs_keys(&self) -> bool {
        !self.policy.signed_purposes().is_empty()
    }

    /// The name of the header with this role, if the configuration writes one.
    pub(super) fn header(&self, role: HeaderRole) -> Option<String> {
        let mut written = self.policy.written_headers.iter();
        let (_, id) = written.find(|(known, _)| *known == role)?;
        Some(self.policy.reserved_header(*id)?.name.to_string())
    }

    /// The operator of an access log for the header with this role: its value.
    pub(super) fn log_operator(&self, role: HeaderRole) -> String {
        let header = self.header_or_default(role).to_ascii_uppercase();
        format!("%REQ({header})%")
    }

    /// The same, or the default name: routes are there before the configuration writes it.
    pub(super) fn header_or_default(&self, role: HeaderRole) -> String {
        let mut defaults = DEFAULT_HEADERS.iter();
        let default = defaults.find(|(_, known)| *known == role);
        let default = default.map_or("", |(name, _)| *name);
        self.header(role).unwrap_or_else(|| default.to_owned())
    }
}
