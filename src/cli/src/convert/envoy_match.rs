//! The `match` of an Envoy route as tests of divvy.

use super::condition::{self, TextTest};
use super::envoy::route_of;
use super::input::{list, text};
use super::istio::path_refusal;
use super::note::{Loss, ResourceOrigin};
use super::route::{RouteEntry, SplitRoute};
use crate::manifest::{ManifestNode, object};
use crate::source::tree::{SourceNode, YamlVersion};

/// A route without its destinations.
pub fn route(origin: ResourceOrigin<'_>, path: &str, node: &SourceNode) -> SplitRoute {
    let entry = node
        .get("match")
        .map(|tests| entry(origin, &format!("{path}.match"), tests));
    route_of(vec![entry.unwrap_or_default()], node)
}

fn entry(origin: ResourceOrigin<'_>, path: &str, node: &SourceNode) -> RouteEntry {
    let mut entry = RouteEntry::default();
    let ignores_case = text(node, &["case_sensitive"]) == "false";
    let mut route_only: Vec<(&str, String)> = Vec::new();
    match path_test(node) {
        Some(Ok(test)) => {
            let test = test.on_path();
            let test = match test {
                Some(test) if ignores_case => Some(test.with("ignoreCase", true)),
                test => test,
            };
            match test.as_ref().and_then(path_refusal) {
                Some(reason) => route_only.push(("path", reason)),
                None => entry.scope.path = test,
            }
        }
        Some(Err(key)) if key == "path_separated_prefix" => {
            let prefix = text(node, &["path_separated_prefix"]);
            entry.scope.path = Some(object([("prefix", prefix.into())]));
        }
        Some(Err(_)) | None => {}
    }
    for field in node.entries() {
        match &*field.key {
            "prefix"
            | "path"
            | "safe_regex"
            | "path_separated_prefix"
            | "case_sensitive"
            | "runtime_fraction" => {}
            "headers" => {
                for test in list(node, "headers") {
                    let pattern = text(test, &["string_match", "safe_regex", "regex"]);
                    let pattern = TextTest::regex(pattern);
                    if let Some(reason) = condition::approximation(text(test, &["name"]), &pattern)
                    {
                        origin.note((node, path), "headers", Loss::Approximate, reason);
                    }
                    match header(test) {
                        Ok(test) => add(&mut entry, test),
                        Err(reason) => route_only.push(("headers", reason)),
                    }
                }
            }
            "query_parameters" => {
                for test in list(node, "query_parameters") {
                    match query(test) {
                        Ok(test) => entry.conditions.push(test),
                        Err(reason) => route_only.push(("query_parameters", reason)),
                    }
                }
            }
            "grpc" => entry.conditions.push(grpc()),
            _ => route_only.push((&field.key, "divvy has no condition for it".to_owned())),
        }
    }
    for (key, reason) in route_only {
        let value = node
            .get(key)
            .map(|value| ManifestNode::of(value, YamlVersion::V12));
        let value = value.map(|value| crate::manifest::json::inline(&value));
        entry
            .scope
            .route_only
            .push(format!("{key} {}", value.unwrap_or_default()));
        let reason = format!("only the route tests it: {reason}");
        origin.note((node, path), key, Loss::LeftInPlace, reason);
    }
    entry
}

/// Adds a condition; a method is a part of the scope.
fn add(entry: &mut RouteEntry, test: ManifestNode) {
    let method = test.get("method").and(test.get("exact"));
    match method {
        Some(ManifestNode::Text(method)) if entry.scope.methods.is_empty() => {
            entry.scope.methods.push(method.clone());
        }
        _ => entry.conditions.push(test),
    }
}

/// What Envoy takes for a gRPC request.
fn grpc() -> ManifestNode {
    let exact = TextTest::Exact("application/grpc".to_owned());
    let prefix = TextTest::Prefix("application/grpc+".to_owned());
    let tests = [exact, prefix].map(|test| condition::header("content-type", &test));
    condition::any(tests.to_vec()).unwrap_or_else(|| object([]))
}

fn header(node: &SourceNode) -> Result<ManifestNode, String> {
    let name = text(node, &["name"]);
    let inverts = text(node, &["invert_match"]) == "true";
    let is_empty = text(node, &["treat_missing_header_as_empty"]) == "true";
    let flag = |field: &str| node.get(field).and_then(SourceNode::text);
    let is_present = flag("present_match").map(|text| text == "true");
    if is_present == Some(false) {
        let test = object([
            ("header", name.to_ascii_lowercase().into()),
            ("present", inverts.into()),
        ]);
        return checked(test);
    }
    if let Some(range) = node.get("range_match") {
        let bound = |field: &str| {
            let text = text(range, &[field]);
            ManifestNode::Literal(if text.is_empty() { "0" } else { text }.to_owned())
        };
        let range = object([("min", bound("start")), ("max", bound("end"))]);
        let test = object([
            ("header", name.to_ascii_lowercase().into()),
            ("range", range),
        ]);
        return checked(inverted(name, test, inverts && !is_empty, inverts));
    }
    let (test, ignores_case) = match node.get("string_match") {
        Some(matcher) => string_match(matcher)?,
        None => (old_match(node)?, false),
    };
    let accepts_empty = match &test {
        TextTest::Exact(text) => text.is_empty(),
        TextTest::Regex(_) => true,
        _ => false,
    };
    if is_empty && accepts_empty {
        return Err(format!("{name}: treat_missing_header_as_empty"));
    }
    // Without the header, Envoy fails a test of its value, also an inverted one.
    let needs_header = inverts && !is_empty && test != TextTest::Present;
    let test = condition::header(name, &test);
    let test = match ignores_case {
        true => test.with("ignoreCase", true),
        false => test,
    };
    checked(inverted(name, test, needs_header, inverts))
}

/// The test or its opposite, which may require the header.
fn inverted(name: &str, test: ManifestNode, needs_header: bool, inverts: bool) -> ManifestNode {
    let present = || condition::header(name, &TextTest::Present);
    match (inverts, needs_header) {
        (false, _) => test,
        (true, false) => condition::not(test),
        (true, true) => {
            let both = condition::all(vec![present(), condition::not(test)]);
            both.unwrap_or_else(present)
        }
    }
}

/// The fields that `string_match` replaced.
fn old_match(node: &SourceNode) -> Result<TextTest, String> {
    let of = |field: &str| {
        node.get(field)
            .and_then(SourceNode::text)
            .map(str::to_owned)
    };
    if let Some(pattern) = node
        .at(&["safe_regex_match", "regex"])
        .and_then(SourceNode::text)
    {
        return Ok(TextTest::regex(pattern));
    }
    let tests = [
        of("exact_match").map(TextTest::Exact),
        of("prefix_match").map(TextTest::Prefix),
        of("suffix_match").map(TextTest::Suffix),
        of("contains_match").map(TextTest::Contains),
    ];
    let known = ["name", "invert_match", "present_match"];
    let other = node
        .entries()
        .iter()
        .find(|entry| !known.contains(&&*entry.key));
    match tests.into_iter().flatten().next() {
        Some(test) => Ok(test),
        None => match other {
            Some(other) => Err(format!("{}: divvy has no condition for it", other.key)),
            None => Ok(TextTest::Present),
        },
    }
}

/// The test of a `StringMatcher`, and whether it ignores the case.
fn string_match(node: &SourceNode) -> Result<(TextTest, bool), String> {
    let ignores_case = text(node, &["ignore_case"]) == "true";
    let of = |field: &str| {
        node.get(field)
            .and_then(SourceNode::text)
            .map(str::to_owned)
    };
    let pattern = node.at(&["safe_regex", "regex"]).and_then(SourceNode::text);
    let tests = [
        of("exact").map(TextTest::Exact),
        of("prefix").map(TextTest::Prefix),
        of("suffix").map(TextTest::Suffix),
        of("contains").map(TextTest::Contains),
        pattern.map(TextTest::regex),
    ];
    match tests.into_iter().flatten().next() {
        Some(test) => Ok((test, ignores_case)),
        None => Err("divvy has no condition for it".to_owned()),
    }
}

fn query(node: &SourceNode) -> Result<ManifestNode, String> {
    let name = text(node, &["name"]);
    let (test, ignores_case) = match node.get("string_match") {
        Some(matcher) => string_match(matcher)?,
        None => (TextTest::Present, false),
    };
    let test = test.about("query", name.into());
    let test = if ignores_case {
        test.with("ignoreCase", true)
    } else {
        test
    };
    checked(test)
}

/// The test of a path specifier; `None` for every path.
fn path_test(node: &SourceNode) -> Option<Result<TextTest, String>> {
    let text = |path: &[&str]| text(node, path).to_owned();
    let entries = node.entries().iter();
    let mut specifiers = entries.filter_map(|entry| {
        Some(match &*entry.key {
            "prefix" => Ok(TextTest::Prefix(text(&["prefix"]))),
            "path" => Ok(TextTest::Exact(text(&["path"]))),
            "safe_regex" => Ok(TextTest::regex(&text(&["safe_regex", "regex"]))),
            "path_separated_prefix" | "path_match_policy" | "connect_matcher" => {
                Err(entry.key.clone())
            }
            _ => return None,
        })
    });
    specifiers.next()
}

/// Whether a test can be a condition of divvy.
fn checked(condition: ManifestNode) -> Result<ManifestNode, String> {
    match condition::refusal(&condition) {
        None => Ok(condition),
        Some(reason) => Err(reason),
    }
}
