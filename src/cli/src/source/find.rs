//! Finds the divvy configurations of a file.

use super::embedded::OffsetMap;
use super::error::SourceError;
use super::json;
use super::lines::LineIndex;
use super::tree::{NodeKind, SourceNode, YamlVersion};

/// A configuration in a file.
#[derive(Clone, Debug)]
pub struct FoundConfig {
    /// The configuration as the filter receives it.
    pub bytes: Vec<u8>,
    /// The nodes; `None` if the configuration is empty or not JSON.
    pub tree: Option<SourceNode>,
    /// Maps offsets in the tree to offsets in the file.
    pub offsets: OffsetMap,
}

impl FoundConfig {
    /// The offset in the file for an error at a path, or at a `key` of the object there.
    pub fn offset_of(&self, path: &str, key: Option<&str>) -> usize {
        let tree = self.tree.as_ref();
        self.offsets
            .in_file(tree.map_or(0, |tree| tree.offset_of(path, key)))
    }

    /// The offset in the file of the key at the end of a path.
    pub fn key_offset(&self, path: &str) -> usize {
        let tree = self.tree.as_ref();
        self.offsets
            .in_file(tree.map_or(0, |tree| tree.key_offset(path)))
    }
}

/// Top-level keys that only divvy has.
const KEYS: [&str; 4] = ["rollouts", "ignoreIdentities", "holdout", "responseHeader"];

pub(super) fn all(
    text: &str,
    named: bool,
    documents: &[SourceNode],
) -> Vec<Result<FoundConfig, SourceError>> {
    let lines = LineIndex::new(text);
    let mut search = Search {
        text,
        named,
        lines: &lines,
        found: Vec::new(),
    };
    for document in documents {
        search.document(document);
    }
    // A file without content is the empty configuration.
    if documents.is_empty() && named {
        search.found.push(Ok(FoundConfig {
            bytes: b"{}".to_vec(),
            tree: None,
            offsets: OffsetMap::At(0),
        }));
    }
    search.found
}

struct Search<'f> {
    text: &'f str,
    /// Whether the path of the file was an argument.
    named: bool,
    lines: &'f LineIndex<'f>,
    found: Vec<Result<FoundConfig, SourceError>>,
}

impl Search<'_> {
    fn document(&mut self, document: &SourceNode) {
        let kind = document.get("kind").and_then(SourceNode::text);
        if let (Some(kind), Some(_)) = (kind, document.get("apiVersion")) {
            return self.resource(kind, document);
        }
        let is_envoys = [
            "static_resources",
            "dynamic_resources",
            "resources",
            "configuration",
        ];
        let is_envoys = is_envoys.iter().any(|key| document.get(key).is_some());
        // Named files contain a configuration; a folder also contains other files.
        if !self.plugins(document) && !is_envoys && (self.named || is_config(document)) {
            let found = self.written(document, YamlVersion::V12);
            self.found.push(Ok(found));
        }
    }

    /// A Kubernetes resource.
    fn resource(&mut self, kind: &str, resource: &SourceNode) {
        if kind.ends_with("List") {
            for item in resource
                .get("items")
                .into_iter()
                .flat_map(SourceNode::elements)
            {
                self.document(item);
            }
            return;
        }
        let spec = resource.get("spec");
        let spec = match kind {
            "WasmPlugin" => spec,
            "TrafficExtension" => resource.at(&["spec", "wasm"]).or(spec),
            // An EnvoyFilter contains Envoy's configuration.
            _ => {
                self.plugins(resource);
                return;
            }
        };
        let Some(spec) = spec else { return };
        // A Kustomize patch is not complete without its base.
        if spec.get("url").is_none() && !self.named {
            return;
        }
        let names = [
            spec.get("url"),
            spec.get("pluginName"),
            resource.at(&["metadata", "name"]),
        ];
        match spec.get("pluginConfig") {
            Some(config) if names_divvy(&names) || is_config(config) => {
                let found = self.written(config, YamlVersion::V11);
                self.found.push(Ok(found));
            }
            None if names_divvy(&names) => {
                self.error(
                    spec,
                    "pluginConfig is missing, so the configuration is empty",
                );
            }
            _ => {}
        }
    }

    /// All Wasm plugins below a node of Envoy's configuration. Whether there are any.
    fn plugins(&mut self, node: &SourceNode) -> bool {
        let mut plugins = Vec::new();
        node.walk(&mut |node| plugins.extend(is_plugin(node).then_some(node)));
        for plugin in &plugins {
            self.plugin(plugin);
        }
        !plugins.is_empty()
    }

    fn plugin(&mut self, plugin: &SourceNode) {
        let names = [
            plugin.get("name"),
            plugin.get("root_id"),
            plugin.at(&["vm_config", "code", "local", "filename"]),
        ];
        let Some(configuration) = plugin.get("configuration") else {
            if names_divvy(&names) {
                let message = "configuration is missing, so the configuration is empty";
                self.error(plugin, message);
            }
            return;
        };
        let value = configuration.get("value");
        let text = value.and_then(SourceNode::text).unwrap_or_default();
        let is_divvy = names_divvy(&names)
            || ["\"rollouts\"", "\"identity\""]
                .iter()
                .any(|key| text.contains(key))
            || is_config(configuration)
            || value.is_some_and(is_config);
        if !is_divvy {
            return;
        }
        let kind = configuration.get("@type").and_then(SourceNode::text);
        if !kind.is_some_and(|kind| kind.ends_with("google.protobuf.StringValue")) {
            let message = "configuration is not a google.protobuf.StringValue: write it as JSON \
                           text in one";
            return self.error(configuration, message);
        }
        let Some(value) = value else {
            let message = "value is missing, so the configuration is empty";
            return self.error(configuration, message);
        };
        let NodeKind::Scalar(scalar) = &value.kind else {
            let message = "value is YAML, which Envoy passes on as an empty text: write | after \
                           value:, and JSON below it";
            return self.error(value, message);
        };
        self.found.push(Ok(FoundConfig {
            bytes: scalar.text.clone().into_bytes(),
            tree: json::read(&scalar.text).ok(),
            offsets: OffsetMap::new(self.text, self.lines, value.start, scalar),
        }));
    }

    /// A configuration as YAML or JSON.
    fn written(&self, node: &SourceNode, version: YamlVersion) -> FoundConfig {
        let whole = self.text.trim();
        let is_whole = self.text[node.start..].trim_end() == whole;
        // A JSON file goes to the filter's parser unchanged.
        let json = if version == YamlVersion::V12 && is_whole && json::read(whole).is_ok() {
            whole.to_owned()
        } else if node.is_null() {
            "{}".to_owned()
        } else {
            node.to_json(version)
        };
        FoundConfig {
            bytes: json.into_bytes(),
            tree: Some(node.clone()),
            offsets: OffsetMap::From(0),
        }
    }

    fn error(&mut self, node: &SourceNode, message: &str) {
        self.found.push(Err(SourceError::new(node.start, message)));
    }
}

/// Whether a node is Envoy's `PluginConfig` of a Wasm filter, or a part of one with its
/// configuration.
fn is_plugin(node: &SourceNode) -> bool {
    node.get("vm_config").is_some() || node.at(&["configuration", "@type"]).is_some()
}

fn names_divvy(names: &[Option<&SourceNode>]) -> bool {
    let mut names = names.iter().copied().flatten().filter_map(SourceNode::text);
    names.any(|name| name.contains("divvy"))
}

fn is_config(node: &SourceNode) -> bool {
    KEYS.iter().any(|key| node.get(key).is_some())
}
