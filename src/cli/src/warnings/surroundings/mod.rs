//! What the given files say about the surroundings of a configuration: routes, clusters, connection managers. Facts
//! only; the warnings read them.

mod envoy;
mod header;
mod kubernetes;

use std::collections::BTreeSet;

use super::warning::FilePlace;
use crate::source::tree::SourceNode;
use crate::source::{SourceDocument, Workload};
pub use header::HeaderTest;

/// The facts of all given files.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Names of Envoy's clusters.
    pub clusters: BTreeSet<String>,
    /// Whether Envoy also gets clusters from elsewhere.
    pub discovers_clusters: bool,
    /// Routes, in their order.
    pub routes: Vec<Route>,
    /// Headers that an EnvoyFilter makes routes take the cluster from.
    pub patched_cluster_headers: Vec<String>,
    /// Envoy's connection managers.
    pub managers: Vec<Manager>,
    /// EnvoyFilters that remove headers early.
    pub strips: Vec<Strip>,
    /// Whether header names with underscores are dropped.
    pub drops_underscores: bool,
    /// Whether `//` in a path is replaced by `/`.
    pub merges_slashes: bool,
    /// Kinds of resources that split traffic in another way, such as `VirtualService reviews`.
    pub other_splits: Vec<(usize, String)>,
    /// Whether the configuration is that of another machine: files that it names are not looked for.
    pub is_remote: bool,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it is.
    pub place: FilePlace,
    /// The virtual host or resource around it.
    pub group: usize,
    /// Hosts of the group; empty if unknown.
    pub hosts: Vec<String>,
    /// The header conditions of each entry of its `match`; one entry without conditions if it has no `match`.
    pub entries: Vec<Vec<HeaderTest>>,
    /// Names of its destinations: clusters, subsets or services.
    pub destinations: Vec<String>,
    /// The header that names the cluster.
    pub cluster_header: Option<String>,
    /// Whether Envoy's own configuration has it.
    pub is_envoys: bool,
}

/// A connection manager of Envoy.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    /// Where it is.
    pub place: FilePlace,
    /// Headers that are removed early, in lower case.
    pub removes: Vec<String>,
    /// Its filters in their order.
    pub filters: Vec<HttpFilter>,
    /// Whether the client's address is that of its connection.
    pub uses_remote_address: bool,
    /// Whether its listener is an outbound one.
    pub is_outbound: bool,
    /// Whether its listener requires a client certificate.
    pub verifies_peer: bool,
    /// Its virtual hosts.
    pub groups: Vec<usize>,
    /// Facts of the bootstrap around it.
    pub bootstrap: Option<Bootstrap>,
}

/// A filter of a connection manager.
#[derive(Clone, Debug, Default)]
pub struct HttpFilter {
    /// Where it is.
    pub place: FilePlace,
    /// Its name.
    pub name: String,
    /// The type of its configuration.
    pub kind: String,
    /// Offset of the Wasm plugin in it.
    pub plugin: Option<usize>,
    /// The file that Envoy reads the filter from.
    pub discovered: Option<String>,
}

/// Facts of a bootstrap.
#[derive(Clone, Debug, Default)]
pub struct Bootstrap {
    /// Where it is.
    pub place: FilePlace,
    /// Names of its `stats_tags`.
    pub tags: Vec<String>,
    /// Whether it has `node.id` and `node.cluster`.
    pub has_node: bool,
}

/// An EnvoyFilter that removes headers early.
#[derive(Clone, Debug)]
pub struct Strip {
    /// The workloads.
    pub workload: Workload,
    /// Headers that it removes, in lower case.
    pub removes: Vec<String>,
}

impl Surroundings {
    /// Adds the facts of a file's documents.
    pub fn add(&mut self, file: usize, documents: &[SourceDocument]) {
        for document in documents {
            let reader = FactReader { file, document };
            reader.document(&document.root, self);
        }
    }

    /// A number for the routes of one virtual host or resource.
    fn new_group(&self) -> usize {
        self.routes.last().map_or(0, |route| route.group + 1)
    }
}

impl Route {
    /// Whether one of its conditions is about a header.
    pub fn reads(&self, header: &str) -> bool {
        let mut entries = self.entries.iter().flatten();
        entries.any(|test| test.name == header) || self.cluster_header.as_deref() == Some(header)
    }

    /// Whether it takes requests that have this value of a header, or those without the header for `None`.
    pub fn accepts(&self, header: &str, value: Option<&str>) -> bool {
        self.entries.iter().any(|entry| {
            let mut tests = entry.iter().filter(|test| test.name == header);
            tests.all(|test| test.accepts(value))
        })
    }
}

/// Reads facts from one document.
struct FactReader<'d> {
    file: usize,
    document: &'d SourceDocument,
}

impl FactReader<'_> {
    fn place(&self, node: &SourceNode) -> FilePlace {
        FilePlace {
            file: self.file,
            offset: self.document.offsets.in_file(node.start),
        }
    }

    fn document(&self, root: &SourceNode, all: &mut Surroundings) {
        let kind = root.get("kind").and_then(SourceNode::text);
        match kind.filter(|_| root.get("apiVersion").is_some()) {
            Some(kind) if kind.ends_with("List") => {
                for item in list(root, "items") {
                    self.document(item, all);
                }
            }
            Some(kind) => self.resource(kind, root, all),
            None => self.envoy(root, all),
        }
    }
}

/// The elements of a list; none if the field is missing.
fn list<'n>(node: &'n SourceNode, field: &str) -> &'n [SourceNode] {
    node.get(field).map_or(&[], SourceNode::elements)
}

/// The text of a field; empty if it is missing.
fn text<'n>(node: &'n SourceNode, path: &[&str]) -> &'n str {
    let node = node.at(path).and_then(SourceNode::text);
    node.unwrap_or_default()
}

fn is_true(node: Option<&SourceNode>) -> bool {
    node.and_then(SourceNode::text) == Some("true")
}

/// Headers that a connection manager removes early, in lower case.
fn removed_early(manager: &SourceNode) -> Vec<String> {
    let mut names = Vec::new();
    for extension in list(manager, "early_header_mutation_extensions") {
        let config = extension.get("typed_config");
        // Also in a TypedStruct.
        let mutations = config.into_iter().flat_map(|config| {
            let inner = config.get("value").unwrap_or(config);
            list(inner, "mutations")
        });
        for mutation in mutations {
            let name = text(mutation, &["remove"]);
            names.extend((!name.is_empty()).then(|| name.to_ascii_lowercase()));
        }
    }
    names
}

/// Whether a connection manager drops or refuses header names with underscores.
fn drops_underscores(manager: &SourceNode) -> bool {
    let options = [
        "common_http_protocol_options",
        "headers_with_underscores_action",
    ];
    matches!(text(manager, &options), "DROP_HEADER" | "REJECT_REQUEST")
}
