//! The rest of the file around a configuration: routes, clusters and connection managers.

use std::collections::BTreeSet;

use divvy::policy::{HeaderRole, Policy};
use serde_json::Value;

use super::warning::{Warning, each};
use crate::source::tree::{SourceNode, YamlVersion};

/// The parts of a file that a configuration must fit.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Names of Envoy's clusters.
    clusters: BTreeSet<String>,
    /// Names and values of headers that routes match exactly.
    routed: Vec<(String, String)>,
    /// Whether a route has a `cluster_header`.
    cluster_header: bool,
    /// Whether a connection manager takes the client's address from X-Forwarded-For.
    trusts_client: bool,
}

impl Surroundings {
    /// The surroundings in these documents.
    pub fn new(documents: &[SourceNode]) -> Self {
        let mut all = Self::default();
        for document in documents {
            document.walk(&mut |node| all.look_at(node));
        }
        all
    }

    fn look_at(&mut self, node: &SourceNode) {
        let texts = |key: &str| node.get(key).and_then(SourceNode::text);
        for cluster in node
            .get("clusters")
            .into_iter()
            .flat_map(SourceNode::elements)
        {
            let name = cluster.get("name").and_then(SourceNode::text);
            // Weighted clusters of a route are references.
            if cluster.get("weight").is_none() {
                self.clusters.extend(name.map(str::to_owned));
            }
        }
        self.cluster_header |= texts("cluster_header").is_some();
        let kind = texts("@type").unwrap_or_default();
        if kind.ends_with("v3.HttpConnectionManager") {
            let flag = node
                .get("use_remote_address")
                .map(|node| node.to_json(YamlVersion::V12));
            self.trusts_client |= flag.as_deref() != Some("true");
        }
        // A VirtualService's `match: [{headers: {x-divvy-route: {exact: v2}}}]`.
        for entry in node.get("match").into_iter().flat_map(SourceNode::elements) {
            for header in entry
                .get("headers")
                .into_iter()
                .flat_map(SourceNode::entries)
            {
                if let Some(value) = header.value.get("exact").and_then(SourceNode::text) {
                    self.routed
                        .push((header.key.to_lowercase(), value.to_owned()));
                }
            }
        }
    }

    pub(super) fn find(&self, policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
        self.targets(policy, raw, found);
        if self.trusts_client {
            addresses(raw, "", found);
        }
    }

    /// Targets without a cluster or route.
    fn targets(&self, policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
        let mut written = policy.written_headers.iter();
        let route = written.find(|(role, _)| *role == HeaderRole::Route);
        let header = route
            .and_then(|(_, id)| policy.reserved_header(*id))
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
                let message = format!("target {target:?} has no {what} in this file");
                found.push(Warning::new(place, message));
            }
        }
    }
}

/// All `sourceIp` in a configuration.
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
                    let message = "the connection manager in this file does not set \
                                   use_remote_address: true, so clients choose the address with \
                                   X-Forwarded-For";
                    found.push(Warning::new(below, message));
                } else {
                    addresses(item, &below, found);
                }
            }
        }
        _ => {}
    }
}
