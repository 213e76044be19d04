//! Istio's VirtualService. Subsets and traffic policies stay in the DestinationRule.

use super::choice::Choices;
use super::condition::{self, TextTest, string_match};
use super::group::{RouteList, RoutePart, RouteVariant, group};
use super::input::{Resource, list, text, texts, whole};
use super::note::{Loss, NoteLog};
use super::route::{RouteDestination, RouteEntry, ScopeTests, SplitRoute};
use super::{Converted, ROUTE_HEADER, manifest_of, with_spec_field};
use crate::manifest::istio::with_headers;
use crate::manifest::{ManifestEntry, ManifestNode, list as nodes, object, texts as text_list};
use crate::source::tree::SourceNode;

/// Converts a VirtualService.
pub fn virtual_service(resource: &Resource<'_>, choices: &Choices, converted: &mut Converted) {
    let Some(spec) = resource.node.get("spec") else {
        return;
    };
    let routes = routes(resource, spec);
    let hosts = hosts(resource, spec, choices);
    let title = resource.title();
    for protocol in ["tcp", "tls"] {
        if spec.get(protocol).is_some() {
            let reason = "divvy decides about HTTP requests";
            let origin = resource.origin;
            origin.note((spec, &title), protocol, Loss::LeftInPlace, reason);
        }
    }
    let given = RouteList {
        routes: &routes,
        hosts: &hosts,
        kind: resource.kind,
        namespace: resource.namespace,
        name: resource.name,
        origin: &super::origin_of(resource),
        place: super::place_of(resource),
        by_precedence: false,
    };
    let taken = converted.names();
    let grouped = group(&given, choices, &|name| taken.contains(name));
    Converted::note_parts(resource, (&title, "route"), &given, &grouped);
    let has_rollouts = !grouped.rollouts.is_empty();
    converted.add(grouped.rollouts.into_iter().map(|(draft, _)| draft));
    let sources = list(spec, "http");
    if has_rollouts {
        settings(resource, sources, &grouped.parts);
    }
    let http = grouped.parts.iter().map(|part| match part {
        RoutePart::Unchanged(index) => manifest_of(&sources[*index]),
        RoutePart::Variant(variant) => variant_of(sources, variant),
    });
    let http: Vec<_> = http.collect();
    converted
        .routes
        .push(with_spec_field(resource.node, "http", nodes(http)));
}

/// The hosts as divvy compares them; empty for all.
fn hosts(resource: &Resource<'_>, spec: &SourceNode, choices: &Choices) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let title = resource.title();
    let namespace = match resource.namespace {
        "" => choices.namespace.as_deref().unwrap_or_default(),
        namespace => namespace,
    };
    let written = texts(spec, "hosts");
    let origin = resource.origin;
    if written.is_empty() {
        let reason = "names no host: the VirtualService that delegates to it does, so the rollouts match every host";
        origin.note((spec, &title), "hosts", Loss::Approximate, reason);
    }
    for host in written {
        if host == "*" {
            return Vec::new();
        }
        let is_short = !host.contains(['.', '*', ':']);
        let all = match (is_short, namespace) {
            (false, _) => in_cluster(&host),
            (true, "") => {
                let reason = format!(
                    "{host} is a short name without a namespace: calls to {host}.NAMESPACE and longer names do not \
                     match; say --namespace"
                );
                origin.note((spec, &title), "hosts", Loss::Approximate, reason);
                vec![host]
            }
            (true, namespace) => in_cluster(&format!("{host}.{namespace}.svc.cluster.local")),
        };
        hosts.extend(
            all.into_iter()
                .filter(|host| !hosts.contains(host))
                .collect::<Vec<_>>(),
        );
    }
    hosts
}

/// A host, and for a service of the cluster the shorter names that Istio also accepts.
pub fn in_cluster(host: &str) -> Vec<String> {
    let mut all = vec![host.to_owned()];
    let parts: Vec<&str> = host.split('.').collect();
    if let [name, namespace, "svc", "cluster", "local"] = parts.as_slice()
        && *name != "*"
    {
        all.push(format!("{name}.{namespace}.svc"));
        all.push(format!("{name}.{namespace}"));
        all.push((*name).to_owned());
    }
    all
}

fn routes(resource: &Resource<'_>, spec: &SourceNode) -> Vec<SplitRoute> {
    let routes = list(spec, "http").iter().enumerate();
    routes
        .map(|(index, node)| route(resource, &format!("http[{index}]"), node))
        .collect()
}

fn route(resource: &Resource<'_>, path: &str, node: &SourceNode) -> SplitRoute {
    let log = NoteLog::default();
    let resource = &resource.with_log(&log);
    let full = format!("{}: {path}", resource.title());
    let matches = list(node, "match").iter().enumerate();
    let mut entries: Vec<_> = matches
        .map(|(index, node)| entry(resource, &format!("{full}.match[{index}]"), node))
        .collect();
    if entries.is_empty() {
        entries.push(RouteEntry::default());
    }
    let name = text(node, &["name"]);
    let stays = ["redirect", "directResponse", "delegate"]
        .into_iter()
        .find(|field| node.get(field).is_some());
    let stays = match stays {
        Some("delegate") => {
            Some("the VirtualService that it delegates to is converted by itself".to_owned())
        }
        Some(field) => Some(format!("has a {field}, so nothing is divided")),
        None => None,
    };
    let settings = node.entries().iter();
    let settings = settings.filter(|entry| !["name", "match", "route"].contains(&&*entry.key));
    let settings = ManifestNode::Map(
        settings
            .map(|entry| ManifestEntry {
                comment: Vec::new(),
                key: entry.key.clone(),
                value: manifest_of(&entry.value),
            })
            .collect(),
    );
    SplitRoute {
        name: (!name.is_empty()).then(|| name.to_owned()),
        entries,
        destinations: destinations(node),
        settings: crate::manifest::json::inline(&settings),
        stays: stays.map(|reason| (Loss::LeftInPlace, reason)),
        notes: log.into_notes(),
        offset: node.start,
        path: path.to_owned(),
    }
}

fn destinations(node: &SourceNode) -> Vec<RouteDestination> {
    let all = list(node, "route");
    let all = all.iter().map(|destination| {
        let host = text(destination, &["destination", "host"]);
        let subset = text(destination, &["destination", "subset"]);
        let port = text(destination, &["destination", "port", "number"]);
        let label = host.split('.').next().unwrap_or_default();
        let weight = match all {
            [_] => 100,
            _ => whole(destination.get("weight")).unwrap_or(0),
        };
        let mut names = Vec::new();
        match subset {
            "" => names.push(label.to_owned()),
            subset => {
                names.push(subset.to_owned());
                names.push(format!("{label}-{subset}"));
            }
        }
        names.push(format!(
            "{}-{port}",
            names.last().map_or("", String::as_str)
        ));
        // Headers of a destination belong to its version.
        let headers = destination.get("headers").map(manifest_of);
        let headers = headers.map(|headers| crate::manifest::json::inline(&headers));
        RouteDestination {
            key: [host, subset, port].join("\n"),
            settings: headers.unwrap_or_default(),
            family: host.to_owned(),
            service: host.to_owned(),
            subset: subset.to_owned(),
            names,
            weight,
        }
    });
    all.collect()
}

/// One element of `match`.
pub fn entry(resource: &Resource<'_>, path: &str, node: &SourceNode) -> RouteEntry {
    let mut entry = RouteEntry::default();
    let origin = resource.origin;
    let route_only = |scope: &mut ScopeTests, key: &str, reason: &str| {
        let reason = format!("only the route tests it: {reason}");
        origin.note((node, path), key, Loss::LeftInPlace, reason);
        let value = node.get(key).map(manifest_of);
        let value = value.map(|value| crate::manifest::json::inline(&value));
        scope
            .route_only
            .push(format!("{key} {}", value.unwrap_or_default()));
    };
    let ignores_case = text(node, &["ignoreUriCase"]) == "true";
    for field in node.entries() {
        let value = &field.value;
        let scope = &mut entry.scope;
        match &*field.key {
            "name" | "ignoreUriCase" | "statPrefix" => {}
            "uri" => match string_match(value) {
                Ok(test) => {
                    let test = test.on_path();
                    let test = match test {
                        Some(test) if ignores_case => Some(test.with("ignoreCase", true)),
                        test => test,
                    };
                    match test.as_ref().and_then(path_refusal) {
                        Some(reason) => route_only(scope, "uri", &reason),
                        None => scope.path = test,
                    }
                }
                Err(reason) => route_only(scope, "uri", &reason),
            },
            "method" => match string_match(value) {
                Ok(TextTest::Exact(method)) => scope.methods.push(method),
                Ok(test) => entry.conditions.push(test.about("method", true.into())),
                Err(reason) => route_only(scope, "method", &reason),
            },
            "authority" => match string_match(value) {
                Ok(TextTest::Exact(host)) if !host.contains(':') => scope.hosts.push(host),
                Ok(test) => {
                    let test = condition::header(":authority", &test);
                    match condition::refusal(&test) {
                        None => entry.conditions.push(test),
                        Some(reason) => route_only(scope, "authority", &reason),
                    }
                }
                Err(reason) => route_only(scope, "authority", &reason),
            },
            key @ ("headers" | "withoutHeaders" | "queryParams") => {
                if key != "queryParams" {
                    approximations(resource, path, value);
                }
                let known = named_tests(key, value);
                match known {
                    Ok(tests) => entry.conditions.extend(tests),
                    Err(reason) => route_only(scope, key, &reason),
                }
            }
            other => route_only(scope, other, "divvy has no condition for it"),
        }
    }
    entry
}

/// Why divvy refuses the operator on a path.
pub fn path_refusal(test: &ManifestNode) -> Option<String> {
    let ManifestNode::Map(entries) = test else {
        return None;
    };
    let mut condition = object([("path", true.into())]);
    for entry in entries {
        condition = condition.with(&entry.key, entry.value.clone());
    }
    condition::refusal(&condition)
}

/// Notes tests of headers that are not exact.
fn approximations(resource: &Resource<'_>, path: &str, node: &SourceNode) {
    for entry in node.entries() {
        let test = string_match(&entry.value);
        if let Some(reason) = test
            .ok()
            .and_then(|test| condition::approximation(&entry.key, &test))
        {
            resource
                .origin
                .note((node, path), &entry.key, Loss::Approximate, reason);
        }
    }
}

/// The conditions of `headers`, `withoutHeaders` or `queryParams`.
fn named_tests(field: &str, node: &SourceNode) -> Result<Vec<ManifestNode>, String> {
    let tests = node.entries().iter().map(|entry| {
        let name = &entry.key;
        let test = string_match(&entry.value)?;
        let condition = match field {
            "queryParams" => test.about("query", name.as_str().into()),
            "withoutHeaders" => condition::without_header(name, &entry.value, &test),
            _ => condition::header(name, &test),
        };
        match condition::refusal(&condition) {
            None => Ok(condition),
            Some(reason) => Err(format!("{name}: {reason}")),
        }
    });
    tests.collect()
}

/// Notes what stays on the routes that are divided.
fn settings(resource: &Resource<'_>, sources: &[SourceNode], parts: &[RoutePart]) {
    let title = resource.title();
    for part in parts {
        let RoutePart::Variant(RouteVariant { route, .. }) = part else {
            continue;
        };
        let node = &sources[*route];
        for entry in node.entries() {
            if !["name", "match", "route"].contains(&&*entry.key) {
                let path = format!("{title}: http[{route}]");
                let reason = "stays on the routes of each version";
                let origin = resource.origin;
                origin.note((node, &path), &entry.key, Loss::LeftInPlace, reason);
            }
        }
    }
}

/// A route of the source with one destination.
fn variant_of(sources: &[SourceNode], variant: &RouteVariant) -> ManifestNode {
    let node = &sources[variant.route];
    let (route, index) = variant.destination;
    let destination = list(&sources[route], "route")[index].entries().iter();
    let destination = destination
        .filter(|entry| entry.key != "weight")
        .map(|entry| (&*entry.key, manifest_of(&entry.value)));
    let destination = object(destination);
    let value = variant.value.as_deref();
    let header = |entry: ManifestNode| match value {
        Some(value) => with_headers(entry, &[(ROUTE_HEADER, value)]),
        None => entry,
    };
    let mut matches: Vec<_> = list(node, "match")
        .iter()
        .map(|entry| header(manifest_of(entry)))
        .collect();
    if matches.is_empty() && value.is_some() {
        matches.push(header(object([])));
    }
    let mut new = object([]);
    if let Some(name) = node.get("name").and_then(SourceNode::text) {
        new = match value {
            Some(value) => new.with("name", format!("{name}-{value}")),
            None => new.with("name", name),
        };
    }
    if !matches.is_empty() {
        new = new.with("match", nodes(matches));
    }
    for entry in node.entries() {
        if !["name", "match", "route", "headers"].contains(&&*entry.key) {
            new = new.with(&entry.key, manifest_of(&entry.value));
        }
    }
    let headers = node.get("headers").map(manifest_of);
    new.with("headers", without_route_header(headers))
        .with("route", nodes([destination]))
}

/// The `headers` of a route, which also remove the route header.
pub fn without_route_header(headers: Option<ManifestNode>) -> ManifestNode {
    let removal = object([("remove", text_list([ROUTE_HEADER]))]);
    let Some(ManifestNode::Map(mut entries)) = headers else {
        return object([("request", removal)]);
    };
    match entries.iter_mut().find(|entry| entry.key == "request") {
        None => ManifestNode::Map(entries).with("request", removal),
        Some(request) => {
            if let ManifestNode::Map(operations) = &mut request.value {
                match operations.iter_mut().find(|one| one.key == "remove") {
                    Some(ManifestEntry {
                        value: ManifestNode::List(names),
                        ..
                    }) => names.push(ROUTE_HEADER.into()),
                    _ => {
                        let value = std::mem::replace(&mut request.value, object([]));
                        request.value = value.with("remove", text_list([ROUTE_HEADER]));
                    }
                }
            }
            ManifestNode::Map(entries)
        }
    }
}
