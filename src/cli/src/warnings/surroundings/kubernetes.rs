//! Facts of Kubernetes resources: routes of Istio and of the Gateway API, and EnvoyFilters.

use super::{
    FactReader, HeaderTest, Route, Strip, Surroundings, drops_underscores, is_true, list,
    removed_early, text,
};
use crate::source::Workload;
use crate::source::tree::SourceNode;

impl FactReader<'_> {
    pub(super) fn resource(&self, kind: &str, resource: &SourceNode, all: &mut Surroundings) {
        let Some(spec) = resource.get("spec") else {
            return;
        };
        let group = all.new_group();
        match kind {
            "VirtualService" => self.virtual_service(spec, group, all),
            "HTTPRoute" | "GRPCRoute" => self.gateway_route(spec, group, all),
            "EnvoyFilter" => envoy_filter(resource, spec, all),
            "ClientTrafficPolicy" => client_traffic_policy(resource, spec, all),
            _ => {}
        }
        if matches!(kind, "VirtualService" | "HTTPRoute" | "Rollout") {
            let name = text(resource, &["metadata", "name"]);
            all.other_splits.push((self.file, format!("{kind} {name}")));
        }
    }

    fn virtual_service(&self, spec: &SourceNode, group: usize, all: &mut Surroundings) {
        let hosts = texts(list(spec, "hosts"));
        for route in list(spec, "http") {
            let mut entries: Vec<Vec<HeaderTest>> = Vec::new();
            for entry in list(route, "match") {
                let tests = |field: &str, inverted: bool| {
                    let headers = entry.get(field).map_or(&[][..], SourceNode::entries);
                    let tests = headers
                        .iter()
                        .map(|header| HeaderTest::of_istio(&header.key, &header.value, inverted));
                    tests.collect::<Vec<_>>()
                };
                entries.push([tests("headers", false), tests("withoutHeaders", true)].concat());
            }
            if entries.is_empty() {
                entries.push(Vec::new());
            }
            let mut destinations = Vec::new();
            for destination in list(route, "route") {
                for path in [&["destination", "subset"][..], &["destination", "host"]] {
                    destinations.push(text(destination, path).to_owned());
                }
            }
            all.routes.push(Route {
                place: self.place(route),
                group,
                hosts: hosts.clone(),
                entries,
                destinations,
                cluster_header: None,
                is_envoys: false,
            });
        }
    }

    fn gateway_route(&self, spec: &SourceNode, group: usize, all: &mut Surroundings) {
        let hosts = texts(list(spec, "hostnames"));
        for rule in list(spec, "rules") {
            let matches = list(rule, "matches").iter();
            let mut entries: Vec<Vec<HeaderTest>> = matches
                .map(|entry| {
                    let headers = list(entry, "headers").iter();
                    headers.filter_map(HeaderTest::of_gateway_api).collect()
                })
                .collect();
            if entries.is_empty() {
                entries.push(Vec::new());
            }
            let backends = list(rule, "backendRefs").iter();
            let backends = backends.map(|backend| text(backend, &["name"]).to_owned());
            all.routes.push(Route {
                place: self.place(rule),
                group,
                hosts: hosts.clone(),
                entries,
                destinations: backends.collect(),
                cluster_header: None,
                is_envoys: false,
            });
        }
    }
}

fn envoy_filter(resource: &SourceNode, spec: &SourceNode, all: &mut Surroundings) {
    let mut removes = Vec::new();
    let mut strips = false;
    for patch in list(spec, "configPatches") {
        let Some(value) = patch.at(&["patch", "value"]) else {
            continue;
        };
        value.walk(&mut |node| {
            let header = text(node, &["cluster_header"]);
            if !header.is_empty() {
                all.patched_cluster_headers
                    .push(header.to_ascii_lowercase());
            }
            if node.get("early_header_mutation_extensions").is_some() {
                strips = true;
                removes.extend(removed_early(node));
            }
            all.drops_underscores |= drops_underscores(node);
            all.merges_slashes |= is_true(node.get("merge_slashes"));
        });
    }
    if strips {
        all.strips.push(Strip {
            workload: Workload::new(resource, spec),
            removes,
        });
    }
}

/// Envoy Gateway removes headers early by `headers.earlyRequestHeaders.remove`.
fn client_traffic_policy(resource: &SourceNode, spec: &SourceNode, all: &mut Surroundings) {
    let early = spec.at(&["headers", "earlyRequestHeaders"]);
    if let Some(early) = early {
        let removes = texts(list(early, "remove")).into_iter();
        all.strips.push(Strip {
            workload: Workload {
                is_envoy_gateway: true,
                ..Workload::new(resource, spec)
            },
            removes: removes.map(|name| name.to_ascii_lowercase()).collect(),
        });
    }
}

fn texts(nodes: &[SourceNode]) -> Vec<String> {
    let texts = nodes.iter().filter_map(SourceNode::text);
    texts.map(str::to_owned).collect()
}
