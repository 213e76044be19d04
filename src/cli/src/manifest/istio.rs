//! Resources of Istio. Must not depend on configurations of divvy.

use super::node::{ManifestNode, list, object, texts};

/// How long a version may take to answer. Istio has no timeout by default, so that a version that hangs would never
/// fail.
pub const TIMEOUT: &str = "60s";

/// A resource without its `spec`.
pub fn resource(api_version: &str, kind: &str, name: &str, namespace: &str) -> ManifestNode {
    let mut metadata = object([("name", name.into())]);
    if !namespace.is_empty() {
        metadata = metadata.with("namespace", namespace);
    }
    object([
        ("apiVersion", api_version.into()),
        ("kind", kind.into()),
        ("metadata", metadata),
    ])
}

/// A VirtualService with these routes, of which the first that matches counts. Without gateways it is for the mesh.
pub fn virtual_service(
    (name, namespace): (&str, &str),
    hosts: &[String],
    gateways: &[String],
    routes: Vec<ManifestNode>,
) -> ManifestNode {
    let mut spec = object([("hosts", texts(hosts))]);
    if !gateways.is_empty() {
        spec = spec.with("gateways", texts(gateways));
    }
    resource("networking.istio.io/v1", "VirtualService", name, namespace)
        .with("spec", spec.with("http", list(routes)))
}

/// A DestinationRule with a subset for each pair of a name and the value of the pods' label `version`.
pub fn destination_rule(
    (name, namespace): (&str, &str),
    host: &str,
    subsets: &[(String, String)],
) -> ManifestNode {
    let subsets = subsets.iter().map(|(subset, version)| {
        object([
            ("name", (&**subset).into()),
            ("labels", object([("version", (&**version).into())])),
        ])
    });
    let spec = object([("host", host.into()), ("subsets", list(subsets))]);
    resource("networking.istio.io/v1", "DestinationRule", name, namespace).with("spec", spec)
}

/// A destination of a route.
pub fn destination(host: &str, subset: Option<&str>, port: Option<u64>) -> ManifestNode {
    object([("host", host.into())])
        .with_some("subset", subset.map(Into::into))
        .with_some("port", port.map(|port| object([("number", port.into())])))
}

/// A match entry of a route with the values of these headers added.
pub fn with_headers(entry: ManifestNode, headers: &[(&str, &str)]) -> ManifestNode {
    let exact = |value: &str| object([("exact", value.into())]);
    let added = headers.iter().map(|(name, value)| (*name, exact(value)));
    let ManifestNode::Map(mut entries) = entry else {
        return object([("headers", object(added))]);
    };
    let known = entries.iter_mut().find(|entry| entry.key == "headers");
    match known {
        Some(headers) => {
            let mut all = headers.value.clone();
            for (name, value) in added {
                all = all.with(name, value);
            }
            headers.value = all;
            ManifestNode::Map(entries)
        }
        None => ManifestNode::Map(entries).with("headers", object(added)),
    }
}

/// A route to one destination. Its match entries may be empty: it then takes every request. Its header is removed from
/// the request, so that it does not reach the application.
pub fn route(
    name: &str,
    matches: Vec<ManifestNode>,
    route_header: &str,
    destination: ManifestNode,
) -> ManifestNode {
    let removed = object([("request", object([("remove", texts([route_header]))]))]);
    let mut route = object([("name", name.into())]);
    if !matches.is_empty() {
        route = route.with("match", list(matches));
    }
    route
        .with("headers", removed)
        .with("timeout", TIMEOUT)
        .with("route", list([object([("destination", destination)])]))
}
