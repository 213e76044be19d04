//! Envoy's routes with `weighted_clusters` or `runtime_fraction`, in a bootstrap, a route configuration or an
//! EnvoyFilter.

use super::Converted;
use super::choice::Choices;
use super::envoy_match as matching;
use super::envoy_routes::variant_of;
use super::group::{RouteList, RoutePart, RouteVariant, group};
use super::input::{Resource, list, text, texts, whole};
use super::note::{Loss, NoteLog};
use super::route::{RouteDestination, SplitRoute};
use crate::manifest::{ManifestNode, list as nodes, object};
use crate::source::tree::{NodeKind, SourceNode, YamlVersion};

/// Fields of a `weighted_clusters` entry that a route to one cluster also has.
pub const OF_CLUSTERS: [&str; 5] = [
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "typed_per_filter_config",
];
/// Fields of a route's action that choose a cluster.
pub const TARGETS: [&str; 2] = ["cluster", "weighted_clusters"];

/// Converts the virtual hosts of a document.
pub fn document(resource: &Resource<'_>, choices: &Choices, converted: &mut Converted) -> bool {
    let mut hosts = Vec::new();
    resource.node.walk(&mut |node| {
        if !list(node, "routes").is_empty() && node.get("domains").is_some() {
            hosts.push(node);
        }
    });
    if hosts.is_empty() {
        return false;
    }
    let mut replaced = Vec::new();
    for host in hosts {
        let new = virtual_host(resource, host, choices, converted);
        replaced.push((host, new));
    }
    converted.routes.push(with_hosts(resource.node, &replaced));
    true
}

/// The document with other virtual hosts.
fn with_hosts(node: &SourceNode, hosts: &[(&SourceNode, ManifestNode)]) -> ManifestNode {
    let known = hosts.iter().find(|(host, _)| std::ptr::eq(*host, node));
    if let Some((_, new)) = known {
        return new.clone();
    }
    match &node.kind {
        NodeKind::Scalar(_) => manifest_of(node),
        NodeKind::List(elements) => nodes(elements.iter().map(|one| with_hosts(one, hosts))),
        NodeKind::Map(entries) => {
            let entries = entries.iter();
            object(entries.map(|entry| (&*entry.key, with_hosts(&entry.value, hosts))))
        }
    }
}

pub fn manifest_of(node: &SourceNode) -> ManifestNode {
    ManifestNode::of(node, YamlVersion::V12)
}

fn inline(node: &ManifestNode) -> String {
    crate::manifest::json::inline(node)
}

fn virtual_host(
    resource: &Resource<'_>,
    host: &SourceNode,
    choices: &Choices,
    converted: &mut Converted,
) -> ManifestNode {
    let origin = resource.origin;
    let name = match text(host, &["name"]) {
        "" => "routes",
        name => name,
    };
    let domains = texts(host, "domains");
    let title = format!("virtual host {name}");
    let sources = list(host, "routes");
    let mut routes = Vec::new();
    // A route with a runtime_fraction and the next one with the same match are one division.
    let mut joined: Vec<Vec<usize>> = Vec::new();
    let mut index = 0;
    while let Some(source) = sources.get(index) {
        let path = format!("routes[{index}]");
        let log = NoteLog::default();
        let own = resource.with_log(&log);
        let mut route = matching::route(own.origin, &format!("{title}: {path}"), source);
        route.path = path;
        route.destinations = destinations(source);
        let mut members = vec![index];
        if source.at(&["match", "runtime_fraction"]).is_some() {
            let fraction = fraction(source);
            let next = sources.get(index + 1);
            let rest = next.filter(|next| same_match(source, next));
            match (fraction, rest.map(|rest| (rest, destinations(rest)))) {
                (Some((part, whole)), Some((rest, others)))
                    if route.destinations.len() == 1
                        && others.len() == 1
                        && settings(source) == settings(rest) =>
                {
                    route.destinations[0].weight = part;
                    let mut other = others[0].clone();
                    other.weight = whole - part;
                    route.destinations.insert(0, other);
                    members.insert(0, index + 1);
                    route.stays = None;
                }
                _ => {
                    route.stays = Some((Loss::Impossible,
                        "the next route does not have the same match and settings, so runtime_fraction stays"
                            .to_owned(),
                    ));
                }
            }
            let fraction = source.at(&["match", "runtime_fraction"]);
            if let Some(at) = fraction.filter(|at| at.get("runtime_key").is_some()) {
                let path = format!("{title}: routes[{index}].match.runtime_fraction");
                let reason = "divvy reads no runtime keys: the weight is the one of the file";
                let own = own.origin;
                own.note((at, &path), "runtime_key", Loss::Approximate, reason);
            }
        }
        index = members.iter().max().copied().unwrap_or(index) + 1;
        notes(&own, &title, &route.path, source);
        let weighted = source.at(&["route", "weighted_clusters"]);
        if weighted.is_some() && route.destinations.is_empty() {
            let reason = "the cluster is not known before the request";
            route.stays = Some((Loss::Impossible, reason.to_owned()));
        }
        route.notes = log.into_notes();
        joined.push(members);
        routes.push(route);
    }
    let hosts = hosts(resource, &title, host, &domains);
    let given = RouteList {
        routes: &routes,
        hosts: &hosts,
        kind: resource.kind,
        namespace: resource.namespace,
        name,
        origin: &format!("{title}, {}:{}", origin.file, origin.line(host.start)),
        place: (
            origin.file.to_owned(),
            origin.line(host.start),
            title.clone(),
        ),
        by_precedence: false,
    };
    let taken = converted.names();
    let grouped = group(&given, choices, &|name| taken.contains(name));
    Converted::note_parts(resource, (&title, ""), &given, &grouped);
    let mut new = Vec::new();
    for part in &grouped.parts {
        match part {
            RoutePart::Unchanged(index) => {
                let mut members = joined[*index].clone();
                members.sort_unstable();
                new.extend(members.iter().map(|index| manifest_of(&sources[*index])));
            }
            RoutePart::Variant(variant) => new.push(variant_of(sources, &joined, variant)),
        }
    }
    for part in &grouped.parts {
        if let RoutePart::Variant(RouteVariant { route, .. }) = part {
            stays(resource, &title, *route, &sources[joined[*route][0]]);
        }
    }
    converted.add(grouped.rollouts.into_iter().map(|(draft, _)| draft));
    let ManifestNode::Map(mut entries) = manifest_of(host) else {
        return object([]);
    };
    for entry in &mut entries {
        if entry.key == "routes" {
            entry.value = nodes(new.clone());
        }
    }
    ManifestNode::Map(entries)
}

/// The hosts of a rollout; empty for all.
fn hosts(
    resource: &Resource<'_>,
    title: &str,
    host: &SourceNode,
    domains: &[String],
) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for domain in domains {
        if domain == "*" {
            return Vec::new();
        }
        let name = domain.split(':').next().unwrap_or_default();
        let is_odd = name.contains('*') && (!name.starts_with("*.") || name[1..].contains('*'));
        if is_odd {
            let reason = format!(
                "{domain}: divvy has patterns of whole labels only, so the rollouts match every host"
            );
            resource
                .origin
                .note((host, title), "domains", Loss::Approximate, reason);
            return Vec::new();
        }
        if !hosts.iter().any(|known| known == name) {
            hosts.push(name.to_owned());
        }
    }
    hosts
}

/// Numerator and denominator of a `runtime_fraction`, as weights of a sum.
fn fraction(route: &SourceNode) -> Option<(u64, u64)> {
    let value = route.at(&["match", "runtime_fraction", "default_value"])?;
    let part = whole(value.get("numerator")).unwrap_or(0);
    let sum = match text(value, &["denominator"]) {
        "" | "HUNDRED" | "0" => 100,
        "TEN_THOUSAND" | "1" => 10_000,
        "MILLION" | "2" => 1_000_000,
        _ => return None,
    };
    Some((part.min(sum), sum))
}

/// Whether two routes differ by their `runtime_fraction` only, as far as `match` says.
fn same_match(one: &SourceNode, other: &SourceNode) -> bool {
    let tests = |route: &SourceNode| {
        let entries = route.get("match").map_or(&[][..], SourceNode::entries);
        let entries = entries.iter();
        let entries = entries.filter(|entry| entry.key != "runtime_fraction");
        let mut tests: Vec<_> = entries
            .map(|entry| (entry.key.clone(), inline(&manifest_of(&entry.value))))
            .collect();
        tests.sort();
        tests
    };
    tests(one) == tests(other)
}

/// Everything of a route that is neither its match nor a choice of clusters.
pub fn settings(route: &SourceNode) -> String {
    let mut all = Vec::new();
    for entry in route.entries() {
        match &*entry.key {
            "match" | "name" => {}
            "route" => {
                let action = entry.value.entries().iter();
                let action = action.filter(|field| !TARGETS.contains(&&*field.key));
                all.extend(
                    action.map(|field| (field.key.clone(), inline(&manifest_of(&field.value)))),
                );
            }
            _ => all.push((entry.key.clone(), inline(&manifest_of(&entry.value)))),
        }
    }
    all.sort();
    format!("{all:?}")
}

fn destinations(route: &SourceNode) -> Vec<RouteDestination> {
    let destination = |name: &str, more: String, weight: u64| RouteDestination {
        key: name.to_owned(),
        settings: more,
        family: name.to_owned(),
        service: name.to_owned(),
        subset: String::new(),
        names: vec![name.to_owned()],
        weight,
    };
    let Some(action) = route.get("route") else {
        return Vec::new();
    };
    if let Some(cluster) = action.get("cluster").and_then(SourceNode::text) {
        return vec![destination(cluster, String::new(), 100)];
    }
    let clusters = action.at(&["weighted_clusters", "clusters"]);
    let clusters = clusters.map_or(&[][..], SourceNode::elements);
    // A cluster that a header names is not known here.
    if clusters.iter().any(|cluster| cluster.get("name").is_none()) {
        return Vec::new();
    }
    let clusters = clusters.iter().map(|cluster| {
        let more = cluster.entries().iter();
        let more = more.filter(|field| !["name", "weight"].contains(&&*field.key));
        let more: Vec<_> = more
            .map(|field| format!("{}: {}", field.key, inline(&manifest_of(&field.value))))
            .collect();
        let weight = whole(cluster.get("weight")).unwrap_or(0);
        destination(text(cluster, &["name"]), more.join(" "), weight)
    });
    clusters.collect()
}

/// Notes fields that choose among clusters in another way than by weights.
fn notes(resource: &Resource<'_>, title: &str, path: &str, route: &SourceNode) {
    let Some(weighted) = route.at(&["route", "weighted_clusters"]) else {
        return;
    };
    let path = format!("{title}: {path}.route.weighted_clusters");
    let origin = resource.origin;
    for field in weighted.entries() {
        let (loss, reason) = match &*field.key {
            "clusters" | "total_weight" => continue,
            "runtime_key_prefix" => (
                Loss::Approximate,
                "divvy reads no runtime keys: the weights are those of the file",
            ),
            "use_hash_policy" => (
                Loss::Approximate,
                "users keep a version by divvy's hash, which is another one: some get another version once",
            ),
            "header_name" => (
                Loss::Impossible,
                "divvy takes no random value from a header",
            ),
            "random_value_specifier" => (Loss::Impossible, "divvy draws by itself"),
            _ => (Loss::Impossible, "divvy does not know this field"),
        };
        origin.note((weighted, &path), &field.key, loss, reason);
    }
    for (index, cluster) in list(weighted, "clusters").iter().enumerate() {
        for field in cluster.entries() {
            let key = &*field.key;
            if key == "name"
                || key == "weight"
                || OF_CLUSTERS.contains(&key)
                || key == "host_rewrite_literal"
            {
                continue;
            }
            let path = format!("{path}.clusters[{index}]");
            let reason = match key {
                "cluster_header" => "the cluster is not known before the request",
                _ => "a route to one cluster does not have this field",
            };
            origin.note((cluster, &path), key, Loss::Impossible, reason);
        }
    }
}

/// Notes what stays on the routes of each version.
fn stays(resource: &Resource<'_>, title: &str, index: usize, route: &SourceNode) {
    let reason = "stays on the routes of each version";
    let path = format!("{title}: routes[{index}]");
    let origin = resource.origin;
    for field in route.entries() {
        if field.key == "route" {
            let path = format!("{path}.route");
            for field in field.value.entries() {
                if !TARGETS.contains(&&*field.key) {
                    origin.note(
                        (route.get("route").unwrap_or(route), &path),
                        &field.key,
                        Loss::LeftInPlace,
                        reason,
                    );
                }
            }
        } else if field.key != "match" && field.key != "name" {
            origin.note((route, &path), &field.key, Loss::LeftInPlace, reason);
        }
    }
}

/// The route without destinations.
pub fn route_of(entries: Vec<super::route::RouteEntry>, node: &SourceNode) -> SplitRoute {
    let name = text(node, &["name"]);
    let stays = [
        "redirect",
        "direct_response",
        "filter_action",
        "non_forwarding_action",
    ]
    .into_iter()
    .find(|field| node.get(field).is_some());
    SplitRoute {
        name: (!name.is_empty()).then(|| name.to_owned()),
        entries,
        destinations: Vec::new(),
        settings: settings(node),
        stays: stays.map(|field| {
            let reason = format!("has a {field}, so nothing is divided");
            (Loss::LeftInPlace, reason)
        }),
        notes: Vec::new(),
        offset: node.start,
        path: String::new(),
    }
}
