//! Facts of Envoy's own configuration: a bootstrap, or files of listeners, routes, clusters and extensions.

use super::{
    Bootstrap, FactReader, HeaderTest, HttpFilter, Manager, Route, Surroundings, drops_underscores,
    is_true, list, removed_early, text,
};
use crate::source::tree::SourceNode;

impl FactReader<'_> {
    pub(super) fn envoy(&self, root: &SourceNode, all: &mut Surroundings) {
        let is_bootstrap = root.get("static_resources").is_some() || root.get("admin").is_some();
        let bootstrap = is_bootstrap.then(|| self.bootstrap(root));
        all.discovers_clusters |= root.at(&["dynamic_resources", "cds_config"]).is_some()
            || root.at(&["dynamic_resources", "ads_config"]).is_some();
        root.walk(&mut |node| {
            self.clusters(node, all);
            if node.get("filter_chains").is_some() {
                let is_outbound = text(node, &["traffic_direction"]) == "OUTBOUND";
                let mut verifies_peer = false;
                node.walk(&mut |inner| {
                    verifies_peer |= is_true(inner.get("require_client_certificate"));
                });
                node.walk(&mut |inner| {
                    if text(inner, &["@type"]).ends_with("v3.HttpConnectionManager") {
                        let mut manager = self.manager(inner, all);
                        manager.is_outbound = is_outbound;
                        manager.verifies_peer = verifies_peer;
                        manager.bootstrap.clone_from(&bootstrap);
                        all.managers.push(manager);
                    }
                });
            }
        });
        // A file of route configurations.
        for resource in list(root, "resources") {
            if resource.get("virtual_hosts").is_some() {
                self.virtual_hosts(resource, all);
            }
        }
    }

    fn clusters(&self, node: &SourceNode, all: &mut Surroundings) {
        let is_cluster = text(node, &["@type"]).ends_with("config.cluster.v3.Cluster");
        let one = is_cluster.then_some(node);
        for cluster in list(node, "clusters").iter().chain(one) {
            // Weighted clusters of a route are references.
            if cluster.get("weight").is_none() {
                let name = cluster.get("name").and_then(SourceNode::text);
                all.clusters.extend(name.map(str::to_owned));
            }
        }
    }

    fn bootstrap(&self, root: &SourceNode) -> Bootstrap {
        let tags = root.at(&["stats_config", "stats_tags"]);
        let tags = tags.map_or(&[][..], SourceNode::elements);
        Bootstrap {
            place: self.place(root),
            tags: tags
                .iter()
                .map(|tag| text(tag, &["tag_name"]).to_owned())
                .collect(),
            has_node: ["id", "cluster"]
                .iter()
                .all(|key| !text(root, &["node", key]).is_empty()),
        }
    }

    fn manager(&self, node: &SourceNode, all: &mut Surroundings) -> Manager {
        all.drops_underscores |= drops_underscores(node);
        all.merges_slashes |= is_true(node.get("merge_slashes"));
        let filters = list(node, "http_filters").iter();
        let filters = filters.map(|filter| {
            let discovery = filter.get("config_discovery");
            let wasm = filter.at(&["typed_config", "config"]);
            HttpFilter {
                place: self.place(filter),
                name: text(filter, &["name"]).to_owned(),
                kind: text(filter, &["typed_config", "@type"]).to_owned(),
                plugin: wasm
                    .or(filter.at(&["typed_config", "value", "config"]))
                    .map(|plugin| plugin.start),
                discovered: discovery.map(|discovery| {
                    let path = ["config_source", "path_config_source", "path"];
                    text(discovery, &path).to_owned()
                }),
            }
        });
        let filters = filters.collect();
        let groups = match node.get("route_config") {
            Some(config) => self.virtual_hosts(config, all),
            None => Vec::new(),
        };
        Manager {
            place: self.place(node),
            removes: removed_early(node),
            filters,
            uses_remote_address: is_true(node.get("use_remote_address")),
            groups,
            ..Manager::default()
        }
    }

    /// The routes of all virtual hosts, and the numbers of these.
    fn virtual_hosts(&self, config: &SourceNode, all: &mut Surroundings) -> Vec<usize> {
        let mut groups = Vec::new();
        for host in list(config, "virtual_hosts") {
            let group = all.new_group();
            groups.push(group);
            let hosts = list(host, "domains").iter();
            let hosts: Vec<_> = hosts
                .filter_map(SourceNode::text)
                .map(str::to_owned)
                .collect();
            for route in list(host, "routes") {
                let matching = route.get("match");
                let tests = matching.map_or(&[][..], |matching| list(matching, "headers"));
                let action = route.get("route");
                let weighted = action.and_then(|action| action.at(&["weighted_clusters"]));
                let weighted = weighted.map_or(&[][..], |weighted| list(weighted, "clusters"));
                let clusters = weighted.iter().map(|cluster| text(cluster, &["name"]));
                let cluster = action.map_or("", |action| text(action, &["cluster"]));
                let cluster_header = action.map_or("", |action| text(action, &["cluster_header"]));
                let names = clusters.chain([cluster]).filter(|name| !name.is_empty());
                all.routes.push(Route {
                    place: self.place(route),
                    group,
                    hosts: hosts.clone(),
                    entries: vec![tests.iter().filter_map(HeaderTest::of_envoy).collect()],
                    destinations: names.map(str::to_owned).collect(),
                    cluster_header: (!cluster_header.is_empty())
                        .then(|| cluster_header.to_ascii_lowercase()),
                    is_envoys: true,
                });
            }
        }
        groups
    }
}
