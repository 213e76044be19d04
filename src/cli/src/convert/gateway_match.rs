//! Matches of HTTPRoute and GRPCRoute as tests of divvy, and which of two matches is more specific.

use super::condition::{self, TextTest, escaped};
use super::input::{Resource, list, text};
use super::istio::path_refusal;
use super::note::Loss;
use super::route::RouteEntry;
use crate::manifest::{ManifestNode, object};
use crate::source::tree::SourceNode;

/// How specific a match is; the greater one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    is_exact: bool,
    path: usize,
    /// Whether it has a method; for gRPC, the length of the method.
    method: usize,
    headers: usize,
    query: usize,
}

impl Precedence {
    /// With one more header.
    pub fn with_header(self) -> Self {
        Self {
            headers: self.headers.saturating_add(1),
            ..self
        }
    }

    /// Of a match of this kind of route.
    pub fn of(kind: &str, node: &SourceNode) -> Self {
        let headers = list(node, "headers").len();
        if kind == "GRPCRoute" {
            return Self {
                is_exact: text(node, &["method", "type"]) != "RegularExpression",
                path: text(node, &["method", "service"]).len(),
                method: text(node, &["method", "method"]).len(),
                headers,
                query: 0,
            };
        }
        Self {
            is_exact: text(node, &["path", "type"]) == "Exact",
            path: text(node, &["path", "value"]).len(),
            method: usize::from(node.get("method").is_some()),
            headers,
            query: list(node, "queryParams").len(),
        }
    }
}

/// One element of `matches`.
pub fn entry(resource: &Resource<'_>, path: &str, node: &SourceNode) -> RouteEntry {
    let mut entry = RouteEntry::default();
    let mut route_only: Vec<(&str, String)> = Vec::new();
    for field in node.entries() {
        match &*field.key {
            "path" => match http_path(resource, path, node, &field.value) {
                Ok(test) => entry.scope.path = test,
                Err(reason) => route_only.push(("path", reason)),
            },
            "method" if resource.kind == "GRPCRoute" => match grpc_path(&field.value) {
                Ok(test) => entry.scope.path = test,
                Err(reason) => route_only.push(("method", reason)),
            },
            "method" => entry
                .scope
                .methods
                .extend(field.value.text().map(str::to_owned)),
            key @ ("headers" | "queryParams") => {
                for test in list(node, key) {
                    let is_regex = text(test, &["type"]) == "RegularExpression";
                    let pattern = TextTest::regex(text(test, &["value"]));
                    let name = text(test, &["name"]);
                    let reason = condition::approximation(name, &pattern);
                    if let Some(reason) = reason.filter(|_| is_regex && key == "headers") {
                        let origin = resource.origin;
                        origin.note((node, path), key, Loss::Approximate, reason);
                    }
                    match named_test(key, test) {
                        Ok(test) => entry.conditions.push(test),
                        Err(reason) => route_only.push((&field.key, reason)),
                    }
                }
            }
            _ => route_only.push((&field.key, "divvy has no condition for it".to_owned())),
        }
    }
    for (key, reason) in route_only {
        let value = node.get(key).map(super::manifest_of);
        let value = value.map(|value| crate::manifest::json::inline(&value));
        entry
            .scope
            .route_only
            .push(format!("{key} {}", value.unwrap_or_default()));
        let reason = format!("only the route tests it: {reason}");
        resource
            .origin
            .note((node, path), key, Loss::LeftInPlace, reason);
    }
    entry
}

/// The operator on a path; `None` for every path. A prefix ends at a segment, as in divvy.
fn http_path(
    resource: &Resource<'_>,
    path: &str,
    node: &SourceNode,
    test: &SourceNode,
) -> Result<Option<ManifestNode>, String> {
    let value = match text(test, &["value"]) {
        "" => "/",
        value => value,
    };
    let operator = match text(test, &["type"]) {
        "Exact" => object([("exact", value.into())]),
        "" | "PathPrefix" => match value.trim_end_matches('/') {
            "" => return Ok(None),
            prefix => object([("prefix", prefix.into())]),
        },
        "RegularExpression" => {
            let reason = "each implementation matches expressions in its own way: divvy matches the whole path";
            resource
                .origin
                .note((node, path), "path", Loss::Approximate, reason);
            match TextTest::regex(value).on_path() {
                None => return Ok(None),
                Some(operator) => operator,
            }
        }
        other => return Err(format!("{other} is not a known type")),
    };
    match path_refusal(&operator) {
        None => Ok(Some(operator)),
        Some(reason) => Err(reason),
    }
}

/// The path of a gRPC method.
fn grpc_path(node: &SourceNode) -> Result<Option<ManifestNode>, String> {
    let [kind, service, method] = ["type", "service", "method"].map(|field| text(node, &[field]));
    let is_regex = kind == "RegularExpression";
    let operator = match (is_regex, service, method) {
        (_, "", "") => return Ok(None),
        (false, "", method) => object([("regex", format!("/[^/]+/{}", escaped(method)).into())]),
        (false, service, "") => object([("prefix", format!("/{service}").into())]),
        (false, service, method) => object([("exact", format!("/{service}/{method}").into())]),
        (true, service, method) => {
            let or_all = |part: &str| match part {
                "" => "[^/]+".to_owned(),
                part => format!("(?:{part})"),
            };
            object([(
                "regex",
                format!("/{}/{}", or_all(service), or_all(method)).into(),
            )])
        }
    };
    match path_refusal(&operator) {
        None => Ok(Some(operator)),
        Some(reason) => Err(reason),
    }
}

fn named_test(field: &str, node: &SourceNode) -> Result<ManifestNode, String> {
    let name = text(node, &["name"]);
    let value = text(node, &["value"]);
    let test = match text(node, &["type"]) {
        "" | "Exact" => TextTest::Exact(value.to_owned()),
        "RegularExpression" => TextTest::regex(value),
        other => return Err(format!("{name}: {other} is not a known type")),
    };
    let condition = match field {
        "queryParams" => test.about("query", name.into()),
        _ => condition::header(name, &test),
    };
    match condition::refusal(&condition) {
        None => Ok(condition),
        Some(reason) => Err(format!("{name}: {reason}")),
    }
}
