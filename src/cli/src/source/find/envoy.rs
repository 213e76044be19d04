//! Configurations in Envoy's own configuration: a bootstrap, a file of extensions, an EnvoyFilter.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use divvy::signature::VARIABLE;

use super::{
    Carrier, FoundConfig, PassedKeys, Search, is_config, lists_keys, names_divvy, names_of,
};
use crate::source::embedded::OffsetMap;
use crate::source::json;
use crate::source::tree::{NodeKind, Quoting, SourceNode, SourceScalar};

/// A plugin in Envoy's configuration.
#[derive(Clone, Debug, Default)]
pub struct EnvoyPlugin {
    /// Name of the extension, if a file of extensions contains it.
    pub extension: Option<String>,
    /// Offset of its node in the document.
    pub start: usize,
    /// Offset in the file of the plugin's name.
    pub name: Option<usize>,
    /// Offset in the file of the name of the extension.
    pub place: Option<usize>,
    /// Path of the wasm file, and its offset in the file.
    pub wasm: Option<(String, usize)>,
}

impl Search<'_> {
    /// All Wasm plugins below a node of Envoy's configuration. Whether there are any.
    pub(super) fn plugins(&mut self, node: &SourceNode) -> bool {
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
        let kind = configuration.get("@type").and_then(SourceNode::text);
        let is_of = |name: &str| kind.is_some_and(|kind| kind.ends_with(name));
        let is_bytes = is_of("google.protobuf.BytesValue");
        let decoded = value.filter(|_| is_bytes).and_then(decoded);
        let text = decoded.as_deref().or(value.and_then(SourceNode::text));
        let text = text.unwrap_or_default();
        let is_divvy = names_divvy(&names)
            || ["\"rollouts\"", "\"identity\""]
                .iter()
                .any(|key| text.contains(key))
            || is_config(configuration)
            || value.is_some_and(is_config);
        if !is_divvy {
            return;
        }
        if !is_bytes && !is_of("google.protobuf.StringValue") {
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
        if is_bytes && decoded.is_none() {
            return self.error(value, "value is not base64, as a BytesValue has it");
        }
        let scalar = match decoded {
            None => scalar.clone(),
            Some(text) => SourceScalar {
                text,
                // Only its start has a position.
                quoting: Quoting::Folded,
                end: scalar.end,
            },
        };
        let file = self.document.text.text();
        let in_file = |node: &SourceNode| self.document.offsets.in_file(node.start);
        let plugin_name = names[0];
        let extension = self.extension(plugin);
        let wasm = names[2].and_then(|node| Some((node.text()?.to_owned(), in_file(node))));
        let place = extension.map(in_file);
        let extension = extension.and_then(SourceNode::text).map(str::to_owned);
        let mut names = names_of(&names[..2]);
        names.extend(extension.clone());
        self.found.push(Ok(FoundConfig {
            bytes: scalar.text.clone().into_bytes(),
            tree: json::read(&scalar.text).ok(),
            offsets: OffsetMap::new(file, self.lines, value.start, &scalar)
                .within(&self.document.offsets),
            names,
            carrier: Carrier::Envoy(EnvoyPlugin {
                extension,
                start: plugin.start,
                name: plugin_name.map(in_file),
                place,
                wasm,
            }),
            keys: keys(plugin),
        }));
    }

    /// The name of the extension around a plugin, in a file of extensions.
    fn extension(&self, plugin: &SourceNode) -> Option<&SourceNode> {
        let resources = self.document.root.get("resources")?;
        let resource = resources.elements().iter().find(|resource| {
            let mut is_around = false;
            resource.walk(&mut |node| is_around |= std::ptr::eq(node, plugin));
            is_around
        })?;
        resource.get("name")
    }
}

fn keys(plugin: &SourceNode) -> PassedKeys {
    let Some(vm) = plugin.get("vm_config") else {
        return PassedKeys::Unknown;
    };
    let variables = vm.get("environment_variables");
    let of = |field: &str| variables.and_then(|variables| variables.get(field));
    let written = of("key_values").and_then(|values| values.get(VARIABLE));
    match written {
        Some(_) => PassedKeys::Written,
        None if lists_keys(of("host_env_keys")) => PassedKeys::Host,
        None => PassedKeys::Absent,
    }
}

/// The text of base64, in either alphabet, with or without padding, as protobuf reads it.
fn decoded(value: &SourceNode) -> Option<String> {
    let digits: String = value.text()?.split_whitespace().collect();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let mut alphabets = [STANDARD, URL_SAFE].into_iter();
    let bytes = alphabets
        .find_map(|alphabet| GeneralPurpose::new(&alphabet, config).decode(&digits).ok())?;
    String::from_utf8(bytes).ok()
}

/// Whether a node is Envoy's `PluginConfig` of a Wasm filter, or a part of one with its
/// configuration.
fn is_plugin(node: &SourceNode) -> bool {
    node.get("vm_config").is_some() || node.at(&["configuration", "@type"]).is_some()
}
