//! Finds the divvy configurations of a file.

mod envoy;
mod kubernetes;

use divvy::signature::VARIABLE;

use super::document::SourceDocument;
use super::embedded::OffsetMap;
use super::error::SourceError;
use super::file::{Given, is_resource};
use super::json;
use super::lines::LineIndex;
use super::tree::{SourceNode, YamlVersion};
pub use envoy::EnvoyPlugin;
pub use kubernetes::Workload;

/// A configuration in a file.
#[derive(Clone, Debug)]
pub struct FoundConfig {
    /// The configuration as the filter receives it.
    pub bytes: Vec<u8>,
    /// The nodes; `None` if the configuration is empty or not JSON.
    pub tree: Option<SourceNode>,
    /// Maps offsets in the tree to offsets in the file.
    pub offsets: OffsetMap,
    /// Names of the plugin and of the resource around it, the most specific first.
    pub names: Vec<String>,
    /// What brings it to the filter.
    pub carrier: Carrier,
    /// Whether keys come with it.
    pub keys: PassedKeys,
}

/// How a plugin gets the variable with the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassedKeys {
    /// Its file does not say.
    #[default]
    Unknown,
    /// It gets none.
    Absent,
    /// From the environment of the proxy.
    Host,
    /// The file contains the value.
    Written,
}

/// What brings a configuration to the filter.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// A file with only the configuration.
    Plain,
    /// A Kubernetes resource that selects workloads.
    Workload(Workload),
    /// A plugin in Envoy's own configuration.
    Envoy(EnvoyPlugin),
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
/// Top-level keys of files that Envoy reads.
const ENVOYS: [&str; 8] = [
    "static_resources",
    "dynamic_resources",
    "resources",
    "virtual_hosts",
    "configuration",
    "admin",
    "node",
    "layered_runtime",
];

pub(super) fn all(
    given: Given,
    documents: &[SourceDocument],
) -> Vec<Result<FoundConfig, SourceError>> {
    let mut found = Vec::new();
    for document in documents {
        let lines = document.text.lines();
        let mut search = Search {
            document,
            given,
            lines: &lines,
            found: Vec::new(),
        };
        search.document(&document.root);
        found.append(&mut search.found);
    }
    found
}

struct Search<'f> {
    document: &'f SourceDocument,
    given: Given,
    lines: &'f LineIndex<'f>,
    found: Vec<Result<FoundConfig, SourceError>>,
}

impl Search<'_> {
    fn document(&mut self, root: &SourceNode) {
        if let (Some(kind), true) = (
            root.get("kind").and_then(SourceNode::text),
            is_resource(root),
        ) {
            return self.resource(kind, root);
        }
        let is_envoys = ENVOYS.iter().any(|key| root.get(key).is_some());
        // A file that is the only argument contains a configuration, also one that has no key of divvy.
        let is_alone = self.given == Given::Alone && self.document.key.is_none();
        let is_ours = is_config(root) || is_alone;
        if !self.plugins(root) && !is_envoys && is_ours {
            let names = self.document.key.iter().cloned().collect();
            let found = self.written(root, YamlVersion::V12, names, Carrier::Plain);
            self.found.push(Ok(found));
        }
    }

    /// A configuration as YAML or JSON.
    fn written(
        &self,
        node: &SourceNode,
        version: YamlVersion,
        names: Vec<String>,
        carrier: Carrier,
    ) -> FoundConfig {
        let text = self.document.text.text();
        let whole = text.trim();
        let is_whole = text[node.start..].trim_end() == whole;
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
            offsets: OffsetMap::From(0).within(&self.document.offsets),
            names,
            carrier,
            keys: PassedKeys::Unknown,
        }
    }

    fn error(&mut self, node: &SourceNode, message: &str) {
        let offset = self.document.offsets.in_file(node.start);
        self.found.push(Err(SourceError::new(offset, message)));
    }
}

/// Whether a list of texts has the variable with the keys.
fn lists_keys(list: Option<&SourceNode>) -> bool {
    let mut names = list.map_or(&[][..], SourceNode::elements).iter();
    names.any(|name| name.text() == Some(VARIABLE))
}

fn names_divvy(names: &[Option<&SourceNode>]) -> bool {
    let mut names = names.iter().copied().flatten().filter_map(SourceNode::text);
    names.any(|name| name.contains("divvy"))
}

/// The names that are given, without repetition.
fn names_of(names: &[Option<&SourceNode>]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names.iter().copied().flatten().filter_map(SourceNode::text) {
        if all.iter().all(|known| known != name) {
            all.push(name.to_owned());
        }
    }
    all
}

/// Whether a node is a configuration, also one with a misspelled key.
pub fn is_config(node: &SourceNode) -> bool {
    if KEYS.iter().any(|key| node.get(key).is_some()) {
        return true;
    }
    let has = |node: &SourceNode, keys: &[&str]| keys.iter().any(|key| node.get(key).is_some());
    let sources = [
        "header", "cookie", "query", "jwtClaim", "sourceIp", "random", "concat",
    ];
    let identity = node.get("identity").map_or(&[][..], SourceNode::elements);
    identity.iter().any(|source| has(source, &sources))
        || node.entries().iter().any(|entry| {
            strsim::damerau_levenshtein(&entry.key.to_lowercase(), "rollouts") <= 2
                && (entry.value.elements().iter())
                    .any(|rollout| has(rollout, &["versions", "stable", "strategy"]))
        })
}
