//! Where in a file divvy's configurations stand.

use super::tree::{Kind, Node, Reader};
use super::{File, Lines, Mapping, json};

/// A configuration that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// As the filter gets it.
    pub bytes: Vec<u8>,
    /// Its nodes; `None` where there is nothing, or no JSON.
    pub tree: Option<Node>,
    /// From places in the tree to places in the file.
    pub mapping: Mapping,
}

/// What stands where a configuration should, and cannot be one.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Where, in bytes from the beginning of the file.
    pub at: usize,
    /// What.
    pub message: String,
}

impl Found {
    /// Where in the file a path of an error is; `key` is one that its message names.
    pub fn place(&self, path: &str, key: Option<&str>) -> usize {
        let tree = self.tree.as_ref();
        self.mapping
            .place(tree.map_or(0, |tree| tree.place(path, key)))
    }

    /// Where in the file the key at the end of a path is.
    pub fn key_place(&self, path: &str) -> usize {
        let tree = self.tree.as_ref();
        self.mapping
            .place(tree.map_or(0, |tree| tree.key_place(path)))
    }
}

/// Keys that only a configuration of divvy's has at its top.
const KEYS: [&str; 4] = ["rollouts", "ignoreIdentities", "holdout", "responseHeader"];

/// All configurations of a file.
pub fn all(file: &File, documents: &[Node]) -> Vec<Result<Found, Trouble>> {
    let lines = Lines::new(&file.text);
    let mut search = Search {
        file,
        lines: &lines,
        found: Vec::new(),
    };
    for document in documents {
        search.document(document);
    }
    // An empty file, or one of comments, is the empty configuration, if somebody says it is one.
    if documents.is_empty() && file.named {
        search.found.push(Ok(Found {
            bytes: b"{}".to_vec(),
            tree: None,
            mapping: Mapping::At(0),
        }));
    }
    search.found
}

struct Search<'f> {
    file: &'f File,
    lines: &'f Lines<'f>,
    found: Vec<Result<Found, Trouble>>,
}

impl Search<'_> {
    fn document(&mut self, document: &Node) {
        let kind = document.get("kind").and_then(Node::text);
        if let (Some(kind), Some(_)) = (kind, document.get("apiVersion")) {
            return self.resource(kind, document);
        }
        let before = self.found.len();
        let mut plugins = Vec::new();
        document.walk(&mut |node| {
            if is_plugin(node) {
                plugins.push(node);
            }
        });
        for plugin in &plugins {
            self.plugin(plugin);
        }
        let envoy = [
            "static_resources",
            "dynamic_resources",
            "resources",
            "configuration",
        ];
        let is_envoys = envoy.iter().any(|key| document.get(key).is_some());
        if self.found.len() > before || is_envoys || !plugins.is_empty() {
            return;
        }
        // In a folder there are files about other things.
        let known = document
            .members()
            .iter()
            .any(|member| KEYS.contains(&&*member.key));
        if known || self.file.named {
            let found = self.written(document, Reader::Modern);
            self.found.push(Ok(found));
        }
    }

    /// A Kubernetes resource.
    fn resource(&mut self, kind: &str, resource: &Node) {
        if kind.ends_with("List") {
            for item in resource.get("items").into_iter().flat_map(Node::elements) {
                self.document(item);
            }
            return;
        }
        let spec = match kind {
            "WasmPlugin" => resource.get("spec"),
            "TrafficExtension" => resource
                .at(&["spec", "wasm"])
                .or_else(|| resource.get("spec")),
            // An EnvoyFilter has what Envoy has.
            _ => {
                let mut plugins = Vec::new();
                resource.walk(&mut |node| plugins.extend(is_plugin(node).then_some(node)));
                for plugin in plugins {
                    self.plugin(plugin);
                }
                return;
            }
        };
        let Some(spec) = spec else { return };
        // A patch of Kustomize, which is no whole without what it is laid over.
        if spec.get("url").is_none() && !self.file.named {
            return;
        }
        let names = [
            spec.get("url"),
            spec.get("pluginName"),
            resource.at(&["metadata", "name"]),
        ];
        let Some(config) = spec.get("pluginConfig") else {
            if is_named(&names) {
                self.found.push(Err(Trouble {
                    at: spec.start,
                    message: "has no pluginConfig, which is the empty configuration".to_owned(),
                }));
            }
            return;
        };
        if is_named(&names) || is_divvys(config) {
            let found = self.written(config, Reader::Kubernetes);
            self.found.push(Ok(found));
        }
    }

    /// The plugin of a Wasm filter in what Envoy reads.
    fn plugin(&mut self, plugin: &Node) {
        let names = [
            plugin.get("name"),
            plugin.get("root_id"),
            plugin.at(&["vm_config", "code", "local", "filename"]),
        ];
        let Some(configuration) = plugin.get("configuration") else {
            if is_named(&names) {
                self.trouble(plugin, "has no configuration, which is the empty one");
            }
            return;
        };
        let value = configuration.get("value");
        let text = value.and_then(Node::text).unwrap_or_default();
        let about = ["\"rollouts\"", "\"identity\""];
        let ours = is_named(&names)
            || about.iter().any(|key| text.contains(key))
            || is_divvys(configuration)
            || value.is_some_and(is_divvys);
        if !ours {
            return;
        }
        let kind = configuration
            .get("@type")
            .and_then(Node::text)
            .unwrap_or_default();
        if !kind.ends_with("google.protobuf.StringValue") {
            let message = "is no google.protobuf.StringValue: write the configuration as JSON \
                           text in one";
            return self.trouble(configuration, message);
        }
        match value.map(|value| (value, &value.kind)) {
            Some((value, Kind::Scalar(scalar))) => {
                let mapping = Mapping::of(&self.file.text, self.lines, value.start, scalar);
                self.found.push(Ok(Found {
                    bytes: scalar.text.clone().into_bytes(),
                    tree: json::read(&scalar.text).ok(),
                    mapping,
                }));
            }
            Some((value, _)) => {
                let message = "is YAML, of which Envoy hands over an empty text: write | behind \
                               value, and JSON below it";
                self.trouble(value, message);
            }
            None => self.trouble(
                configuration,
                "has no value, which is the empty configuration",
            ),
        }
    }

    /// A configuration that is written out as YAML or JSON.
    fn written(&self, node: &Node, reader: Reader) -> Found {
        let whole = self.file.text.trim();
        let at = &self.file.text[node.start..];
        // JSON goes to the filter's reader as it is, so that it says what is wrong with it.
        let as_it_is = reader == Reader::Modern && at.trim_end() == whole;
        let bytes = if as_it_is && json::read(whole).is_ok() {
            whole.to_owned()
        } else if node.is_null() {
            "{}".to_owned()
        } else {
            node.to_json(reader)
        };
        Found {
            bytes: bytes.into_bytes(),
            tree: Some(node.clone()),
            mapping: Mapping::From(0),
        }
    }

    fn trouble(&mut self, node: &Node, message: &str) {
        self.found.push(Err(Trouble {
            at: node.start,
            message: message.to_owned(),
        }));
    }
}

/// Whether this is the plugin of a Wasm filter, or a part of one with its configuration.
fn is_plugin(node: &Node) -> bool {
    node.get("vm_config").is_some() || node.at(&["configuration", "@type"]).is_some()
}

fn is_named(names: &[Option<&Node>]) -> bool {
    let texts = names.iter().copied().flatten().filter_map(Node::text);
    texts.into_iter().any(|text| text.contains("divvy"))
}

fn is_divvys(config: &Node) -> bool {
    config
        .members()
        .iter()
        .any(|member| KEYS.contains(&&*member.key))
}
