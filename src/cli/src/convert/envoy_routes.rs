//! New routes of Envoy: a route of the source with one cluster and a test of the route header.

use super::ROUTE_HEADER;
use super::envoy::{OF_CLUSTERS, TARGETS, manifest_of};
use super::group::RouteVariant;
use super::input::{list, text};
use crate::manifest::{ManifestEntry, ManifestNode, list as nodes, object};
use crate::source::tree::SourceNode;

/// The cluster of a destination as fields of the action, and fields of the route.
fn cluster_of(route: &SourceNode, index: usize) -> (ManifestNode, Vec<ManifestEntry>) {
    let Some(action) = route.get("route") else {
        return (object([]), Vec::new());
    };
    if let Some(cluster) = action.get("cluster") {
        return (object([("cluster", manifest_of(cluster))]), Vec::new());
    }
    let clusters = action.at(&["weighted_clusters", "clusters"]);
    let cluster = clusters.and_then(|clusters| clusters.elements().get(index));
    let Some(cluster) = cluster else {
        return (object([]), Vec::new());
    };
    let mut new = object([("cluster", text(cluster, &["name"]).into())]);
    if let Some(host) = cluster.get("host_rewrite_literal") {
        new = new.with("host_rewrite_literal", manifest_of(host));
    }
    let entries = cluster.entries().iter();
    let entries = entries.filter(|entry| OF_CLUSTERS.contains(&&*entry.key));
    let entries = entries.map(|entry| ManifestEntry {
        comment: Vec::new(),
        key: entry.key.clone(),
        value: manifest_of(&entry.value),
    });
    (new, entries.collect())
}

/// A route of the source with one cluster.
pub fn variant_of(
    sources: &[SourceNode],
    joined: &[Vec<usize>],
    variant: &RouteVariant,
) -> ManifestNode {
    let template = &sources[joined[variant.route][0]];
    let (route, index) = variant.destination;
    let members = &joined[route];
    // Of joined routes, each has one destination, in this order.
    let (cluster, more) = match members.as_slice() {
        [only] => cluster_of(&sources[*only], index),
        several => cluster_of(&sources[several[index.min(several.len() - 1)]], 0),
    };
    let value = variant.value.as_deref();
    let mut new = object([]);
    for entry in template.entries() {
        let key = &*entry.key;
        let node = match key {
            "name" => match value {
                Some(value) => format!("{}-{value}", entry.value.text().unwrap_or_default()).into(),
                None => manifest_of(&entry.value),
            },
            "match" => match_of(&entry.value, value),
            "route" => {
                let mut action = cluster.clone();
                for field in entry.value.entries() {
                    if !TARGETS.contains(&&*field.key) && action.get(&field.key).is_none() {
                        action = action.with(&field.key, manifest_of(&field.value));
                    }
                }
                action
            }
            _ => joined_field(key, manifest_of(&entry.value), &more),
        };
        new = new.with(key, node);
    }
    for entry in &more {
        if new.get(&entry.key).is_none() {
            new = new.with(&entry.key, entry.value.clone());
        }
    }
    let removed = new.get("request_headers_to_remove").cloned();
    match removed {
        None => new.with("request_headers_to_remove", nodes([ROUTE_HEADER.into()])),
        Some(_) => {
            let header = ManifestEntry {
                comment: Vec::new(),
                key: "request_headers_to_remove".to_owned(),
                value: nodes([ROUTE_HEADER.into()]),
            };
            let ManifestNode::Map(entries) = new else {
                return new;
            };
            let entries = entries.into_iter().map(|mut entry| {
                if entry.key == header.key {
                    entry.value =
                        joined_field(&header.key, entry.value, std::slice::from_ref(&header));
                }
                entry
            });
            ManifestNode::Map(entries.collect())
        }
    }
}

/// A field of a route with that of its cluster added.
fn joined_field(key: &str, value: ManifestNode, more: &[ManifestEntry]) -> ManifestNode {
    let other = more.iter().find(|entry| entry.key == key);
    match (value, other.map(|entry| &entry.value)) {
        (ManifestNode::List(mut all), Some(ManifestNode::List(others))) => {
            all.extend(others.iter().cloned());
            ManifestNode::List(all)
        }
        (ManifestNode::Map(entries), Some(ManifestNode::Map(others))) => {
            let own = entries.into_iter();
            let own = own.filter(|entry| others.iter().all(|other| other.key != entry.key));
            ManifestNode::Map(own.chain(others.iter().cloned()).collect())
        }
        (value, _) => value,
    }
}

/// A match without `runtime_fraction`, with a test of the route header.
fn match_of(node: &SourceNode, value: Option<&str>) -> ManifestNode {
    let mut new = object([]);
    let test = value.map(|value| {
        let exact = object([("exact", value.into())]);
        object([("name", ROUTE_HEADER.into()), ("string_match", exact)])
    });
    let mut has_headers = false;
    for entry in node.entries() {
        match &*entry.key {
            "runtime_fraction" => {}
            "headers" => {
                has_headers = true;
                let headers = list(node, "headers").iter().map(manifest_of);
                new = new.with("headers", nodes(headers.chain(test.clone())));
            }
            key => new = new.with(key, manifest_of(&entry.value)),
        }
    }
    match test {
        Some(test) if !has_headers => new.with("headers", nodes([test])),
        _ => new,
    }
}
