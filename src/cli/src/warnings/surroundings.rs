//! What stands around a configuration in its file: routes, clusters, how addresses are found.

use std::collections::BTreeSet;

use divvy::policy::{Policy, Role};
use serde_json::Value;

use super::{Warning, each};
use crate::source::tree::{Node, Reader};

/// What of a file a configuration has to fit to.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The clusters of an Envoy, if the file has any.
    clusters: BTreeSet<String>,
    /// The values of headers that routes ask for, by the headers' names.
    routed: Vec<(String, String)>,
    /// Whether routes go by the header's value itself.
    cluster_header: bool,
    /// Whether it has a connection manager that believes X-Forwarded-For.
    believes: bool,
}

impl Surroundings {
    /// What there is in these documents.
    pub fn of(documents: &[Node]) -> Self {
        let mut all = Self::default();
        for document in documents {
            document.walk(&mut |node| all.look_at(node));
        }
        all
    }

    fn look_at(&mut self, node: &Node) {
        let texts = |key: &str| node.get(key).and_then(Node::text);
        for cluster in node.get("clusters").into_iter().flat_map(Node::elements) {
            let name = cluster.get("name").and_then(Node::text);
            // Weighted clusters of a route have a weight instead.
            if cluster.get("weight").is_none() {
                self.clusters.extend(name.map(str::to_owned));
            }
        }
        self.cluster_header |= texts("cluster_header").is_some();
        let kind = texts("@type").unwrap_or_default();
        if kind.ends_with("v3.HttpConnectionManager") {
            let flag = node
                .get("use_remote_address")
                .map(|node| node.to_json(Reader::Modern));
            self.believes |= flag.as_deref() != Some("true");
        }
        // A VirtualService's `match: [{headers: {x-divvy-route: {exact: v2}}}]`.
        for entry in node.get("match").into_iter().flat_map(Node::elements) {
            for header in entry.get("headers").into_iter().flat_map(Node::members) {
                if let Some(value) = header.value.get("exact").and_then(Node::text) {
                    self.routed
                        .push((header.key.to_lowercase(), value.to_owned()));
                }
            }
        }
    }

    pub(super) fn find(&self, policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
        self.targets(policy, raw, found);
        if self.believes {
            addresses(raw, "", found);
        }
    }

    /// Targets that lead nowhere.
    fn targets(&self, policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
        let mut written = policy.written.iter();
        let route = written.find(|(role, _)| *role == Role::Route);
        let header = route
            .and_then(|(_, id)| policy.owned(*id))
            .map(|header| &*header.name);
        let asked = self
            .routed
            .iter()
            .filter(|(name, _)| Some(&**name) == header);
        let asked: BTreeSet<&str> = asked.map(|(_, value)| &**value).collect();
        let clusters = self.cluster_header && !self.clusters.is_empty();
        let known = |target: &str| match (clusters, asked.is_empty()) {
            (true, _) => self.clusters.contains(target),
            (false, false) => asked.contains(target),
            (false, true) => true,
        };
        let rollouts = each(raw, "", "rollouts");
        for ((path, rollout), compiled) in rollouts.iter().zip(&policy.rollouts) {
            let versions = each(rollout, path, "versions");
            for ((place, written), version) in versions.iter().zip(&compiled.versions) {
                let Some(target) = version.target.as_deref().filter(|target| !known(target)) else {
                    continue;
                };
                let place = match written.get("target") {
                    Some(_) => format!("{place}.target"),
                    None => place.clone(),
                };
                let what = if clusters { "cluster" } else { "route" };
                let message = format!("no {what} in this file is for its target {target:?}");
                found.push(Warning::new(place, message));
            }
        }
    }
}

/// Sources that look at the client's address.
fn addresses(value: &Value, path: &str, found: &mut Vec<Warning>) {
    match value {
        Value::Array(list) => {
            for (nth, item) in list.iter().enumerate() {
                addresses(item, &format!("{path}[{nth}]"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let dot = if path.is_empty() { "" } else { "." };
                let below = format!("{path}{dot}{key}");
                if key == "sourceIp" {
                    let message = "the connection manager in this file has no use_remote_address: \
                                   true, so the address is whatever the client's X-Forwarded-For \
                                   says";
                    found.push(Warning::new(below, message));
                } else {
                    addresses(item, &below, found);
                }
            }
        }
        _ => {}
    }
}
