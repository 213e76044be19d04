//! The VirtualService that Flagger writes for a Canary on Istio, with the route header in place of weights.

use super::ROUTE_HEADER;
use super::input::{Resource, list, text, texts};
use super::istio::without_route_header;
use super::manifest_of;
use crate::manifest::istio::{destination, resource as istio_resource, with_headers};
use crate::manifest::{ManifestNode, list as nodes, object, texts as text_list};
use crate::source::tree::SourceNode;

/// Fields of the service that Flagger copies to the routes.
const OF_ROUTES: [&str; 4] = ["rewrite", "timeout", "retries", "corsPolicy"];

/// The routes for these versions, stable first. `None` for a provider that has other routes than Istio's.
pub fn virtual_service(
    resource: &Resource<'_>,
    spec: &SourceNode,
    target: &str,
    [stable, version]: [&str; 2],
) -> Option<ManifestNode> {
    let service = spec.get("service")?;
    if !matches!(text(spec, &["provider"]), "" | "istio") {
        return None;
    }
    let port = text(service, &["port"]).parse().ok();
    let gateways = texts(service, "gateways");
    let mut hosts = texts(service, "hosts");
    if !hosts.iter().any(|host| host == target || host == "*") {
        hosts.push(target.to_owned());
    }
    let route = |host: &str, value: Option<&str>| {
        let header = |entry: ManifestNode| match value {
            Some(value) => with_headers(entry, &[(ROUTE_HEADER, value)]),
            None => entry,
        };
        let mut matches: Vec<_> = list(service, "match")
            .iter()
            .map(|entry| header(manifest_of(entry)))
            .collect();
        if matches.is_empty() && value.is_some() {
            matches.push(header(object([])));
        }
        let mut route = object([]);
        if !matches.is_empty() {
            route = route.with("match", nodes(matches));
        }
        for field in OF_ROUTES {
            route = route.with_some(field, service.get(field).map(manifest_of));
        }
        let headers = service.get("headers").map(manifest_of);
        let to = object([("destination", destination(host, None, port))]);
        route
            .with("headers", without_route_header(headers))
            .with("route", nodes([to]))
    };
    let mut new = object([("hosts", text_list(&hosts))]);
    if !gateways.is_empty() {
        new = new.with("gateways", text_list(&gateways));
    }
    let routes = [route(version, Some(version)), route(stable, None)];
    let root = istio_resource(
        "networking.istio.io/v1",
        "VirtualService",
        target,
        resource.namespace,
    );
    Some(root.with("spec", new.with("http", nodes(routes))))
}
