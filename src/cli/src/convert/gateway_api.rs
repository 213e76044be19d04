//! HTTPRoute and GRPCRoute of the Gateway API.
//!
//! The order of the rules does not decide which one takes a request, but how specific its matches are. So each match
//! is a route of its own here, the most specific first.

use std::cmp::Reverse;

use super::choice::Choices;
use super::gateway_match::{self, Precedence};
use super::group::{Grouped, RouteList, RoutePart, RouteVariant, group};
use super::input::{Resource, list, text, texts, whole};
use super::note::{Loss, NoteLog};
use super::route::{RouteDestination, RouteEntry, SplitRoute};
use super::{Converted, ROUTE_HEADER, manifest_of, with_spec_field};
use crate::manifest::{ManifestNode, json, list as nodes, object, texts as text_list};
use crate::source::tree::SourceNode;

/// Maximum number of rules of a route.
pub const MAX_RULES: usize = 16;

/// A match with its rule.
struct MatchOfRule<'s> {
    rule: usize,
    node: Option<&'s SourceNode>,
    precedence: Precedence,
}

/// Converts an HTTPRoute or GRPCRoute.
pub fn route<'s>(resource: &Resource<'s>, choices: &Choices, converted: &mut Converted) {
    let Some(spec) = resource.node.get("spec") else {
        return;
    };
    let title = resource.title();
    let rules = list(spec, "rules");
    let mut all: Vec<(MatchOfRule<'s>, SplitRoute)> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{title}: rules[{index}]");
        let base = rule_route(rule, index);
        let matches = list(rule, "matches");
        let mut add = |found: Option<&'s SourceNode>, entry: RouteEntry, notes| {
            let precedence = found.map_or_else(Precedence::default, |node| {
                Precedence::of(resource.kind, node)
            });
            let one = MatchOfRule {
                rule: index,
                node: found,
                precedence,
            };
            let route = SplitRoute {
                entries: vec![entry],
                notes,
                ..base.clone()
            };
            all.push((one, route));
        };
        if matches.is_empty() {
            add(None, RouteEntry::default(), Vec::new());
        }
        for (number, node) in matches.iter().enumerate() {
            let path = format!("{path}.matches[{number}]");
            let log = NoteLog::default();
            let entry = gateway_match::entry(&resource.with_log(&log), &path, node);
            add(Some(node), entry, log.into_notes());
        }
    }
    // Stable: of equal ones the first counts.
    all.sort_by_key(|(one, _)| Reverse(one.precedence));
    let routes: Vec<SplitRoute> = all.iter().map(|(_, route)| route.clone()).collect();
    let matches: Vec<MatchOfRule<'_>> = all.into_iter().map(|(one, _)| one).collect();
    let hosts: Vec<String> = texts(spec, "hostnames");
    let given = RouteList {
        routes: &routes,
        hosts: &hosts,
        kind: resource.kind,
        namespace: resource.namespace,
        name: resource.name,
        origin: &super::origin_of(resource),
        place: super::place_of(resource),
        by_precedence: true,
    };
    let taken = converted.names();
    let grouped = group(&given, choices, &|name| taken.contains(name));
    note_rules(resource, &given, &grouped, &matches);
    let rules = new_rules(rules, &matches, &grouped.parts);
    if rules.len() > MAX_RULES {
        let reason = format!(
            "{} rules are needed and a route has at most {MAX_RULES}: divide it among several",
            rules.len()
        );
        resource
            .origin
            .note((spec, &title), "rules", Loss::Approximate, reason);
    }
    converted.add(grouped.rollouts.into_iter().map(|(draft, _)| draft));
    converted
        .routes
        .push(with_spec_field(resource.node, "rules", nodes(rules)));
}

/// Notes for each rule once what stays.
fn note_rules(
    resource: &Resource<'_>,
    given: &RouteList<'_>,
    grouped: &Grouped,
    matches: &[MatchOfRule<'_>],
) {
    let title = resource.title();
    Converted::note_parts(resource, (&title, "backendRefs"), given, grouped);
    for part in &grouped.parts {
        let RoutePart::Variant(variant) = part else {
            continue;
        };
        let rule = matches[variant.route].rule;
        let Some(node) =
            list(resource.node.get("spec").unwrap_or(resource.node), "rules").get(rule)
        else {
            continue;
        };
        for field in node.entries() {
            if !["name", "matches", "backendRefs"].contains(&&*field.key) {
                let path = format!("{title}: rules[{rule}]");
                let reason = "stays on the routes of each version";
                resource
                    .origin
                    .note((node, &path), &field.key, Loss::LeftInPlace, reason);
            }
        }
    }
}

/// A rule without its matches.
fn rule_route(rule: &SourceNode, index: usize) -> SplitRoute {
    let name = text(rule, &["name"]);
    let redirects = list(rule, "filters")
        .iter()
        .any(|filter| text(filter, &["type"]) == "RequestRedirect");
    let settings = rule.entries().iter();
    let settings =
        settings.filter(|entry| !["name", "matches", "backendRefs"].contains(&&*entry.key));
    let settings = settings.map(|entry| (&*entry.key, manifest_of(&entry.value)));
    let backends = list(rule, "backendRefs");
    SplitRoute {
        name: (!name.is_empty()).then(|| name.to_owned()),
        entries: Vec::new(),
        destinations: backends.iter().map(destination).collect(),
        settings: json::inline(&object(settings)),
        stays: redirects.then(|| {
            let reason = "has a redirect, so nothing is divided";
            (Loss::LeftInPlace, reason.to_owned())
        }),
        notes: Vec::new(),
        offset: rule.start,
        path: format!("rules[{index}]"),
    }
}

fn destination(backend: &SourceNode) -> RouteDestination {
    let [name, namespace, port] =
        ["name", "namespace", "port"].map(|field| text(backend, &[field]));
    let filters = backend.get("filters").map(manifest_of);
    let mut names = vec![name.to_owned(), format!("{name}-{port}")];
    if !namespace.is_empty() {
        names.push(format!("{namespace}-{name}-{port}"));
    }
    RouteDestination {
        key: ["group", "kind", "namespace", "name", "port"]
            .map(|field| text(backend, &[field]))
            .join("\n"),
        settings: filters
            .map(|filters| json::inline(&filters))
            .unwrap_or_default(),
        family: format!("{namespace}/{name}"),
        service: name.to_owned(),
        subset: String::new(),
        names,
        weight: match backend.get("weight").filter(|weight| !weight.is_null()) {
            None => 1,
            weight => whole(weight).unwrap_or(0),
        },
    }
}

/// Index of a rule of the source, its variant, and the matches of the new rule.
type NewRule<'p> = (usize, Option<&'p RouteVariant>, Vec<Option<ManifestNode>>);

/// The new rules: for each version of a rule, its matches with the route header.
fn new_rules(
    rules: &[SourceNode],
    matches: &[MatchOfRule<'_>],
    parts: &[RoutePart],
) -> Vec<ManifestNode> {
    let mut new: Vec<NewRule<'_>> = Vec::new();
    for part in parts {
        let (route, variant) = match part {
            RoutePart::Unchanged(route) => (*route, None),
            RoutePart::Variant(variant) => (variant.route, Some(variant)),
        };
        let MatchOfRule { rule, node, .. } = &matches[route];
        let tests = node.map(manifest_of);
        let value = variant.and_then(|variant| variant.value.as_deref());
        let tests = match value {
            Some(value) => Some(with_header(tests.unwrap_or_else(|| object([])), value)),
            None => tests,
        };
        let more = match variant {
            None => outranking(route, matches, parts),
            Some(_) => Vec::new(),
        };
        let more = more.into_iter().map(|value| {
            let tests = node.map_or_else(|| object([]), manifest_of);
            Some(with_header(tests, value))
        });
        let tests: Vec<_> = std::iter::once(tests).chain(more).collect();
        let is_same = |other: Option<&RouteVariant>| match (variant, other) {
            (None, None) => true,
            (Some(one), Some(two)) => {
                let of = |variant: &RouteVariant| {
                    let (route, index) = variant.destination;
                    (variant.value.clone(), matches[route].rule, index)
                };
                of(one) == of(two)
            }
            _ => false,
        };
        match new
            .iter_mut()
            .find(|(known, other, _)| known == rule && is_same(*other))
        {
            Some((_, _, all)) => all.extend(tests),
            None => new.push((*rule, variant, tests)),
        }
    }
    let new = new.into_iter().map(|(rule, variant, tests)| {
        let tests: Vec<_> = tests.into_iter().flatten().collect();
        let backend = variant.map(|variant| {
            let (route, index) = variant.destination;
            let backends = list(&rules[matches[route].rule], "backendRefs");
            let value = variant.value.as_deref();
            (backends.get(index), value)
        });
        new_rule(&rules[rule], tests, backend)
    });
    new.collect()
}

/// The route header values of matches that would be more specific than an unchanged one in front of them: it needs
/// the header too.
fn outranking<'p>(
    unchanged: usize,
    matches: &[MatchOfRule<'_>],
    parts: &'p [RoutePart],
) -> Vec<&'p str> {
    let variants = || {
        parts.iter().filter_map(|part| match part {
            RoutePart::Variant(variant) => Some((variant.route, variant.value.as_deref()?)),
            RoutePart::Unchanged(_) => None,
        })
    };
    let mut values: Vec<&str> = Vec::new();
    for (route, value) in variants() {
        let outranks = matches[route].precedence.with_header() > matches[unchanged].precedence;
        let has_own = variants().any(|own| own == (unchanged, value));
        if route > unchanged && outranks && !has_own && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn new_rule(
    rule: &SourceNode,
    tests: Vec<ManifestNode>,
    variant: Option<(Option<&SourceNode>, Option<&str>)>,
) -> ManifestNode {
    let mut new = object([]);
    let Some((backend, value)) = variant else {
        for entry in rule.entries() {
            new = match &*entry.key {
                "matches" => new.with("matches", nodes(tests.clone())),
                key => new.with(key, manifest_of(&entry.value)),
            };
        }
        return new;
    };
    if let Some(name) = rule.get("name").and_then(SourceNode::text) {
        let name = match value {
            Some(value) => format!("{name}-{value}"),
            None => name.to_owned(),
        };
        new = new.with("name", name);
    }
    if !tests.is_empty() {
        new = new.with("matches", nodes(tests));
    }
    new = new.with("filters", filters(rule));
    for entry in rule.entries() {
        if !["name", "matches", "filters", "backendRefs"].contains(&&*entry.key) {
            new = new.with(&entry.key, manifest_of(&entry.value));
        }
    }
    let fields = backend.map_or(&[][..], SourceNode::entries).iter();
    let fields = fields.filter(|entry| entry.key != "weight");
    let backend = object(fields.map(|entry| (&*entry.key, manifest_of(&entry.value))));
    new.with("backendRefs", nodes([backend]))
}

/// A match with a test of the route header.
pub fn with_header(tests: ManifestNode, value: &str) -> ManifestNode {
    let test = object([
        ("type", "Exact".into()),
        ("name", ROUTE_HEADER.into()),
        ("value", value.into()),
    ]);
    let ManifestNode::Map(mut entries) = tests else {
        return object([("headers", nodes([test]))]);
    };
    match entries.iter_mut().find(|entry| entry.key == "headers") {
        Some(entry) => {
            if let ManifestNode::List(all) = &mut entry.value {
                all.push(test);
            }
            ManifestNode::Map(entries)
        }
        None => ManifestNode::Map(entries).with("headers", nodes([test])),
    }
}

/// The filters of a rule, which also remove the route header.
fn filters(rule: &SourceNode) -> ManifestNode {
    const MODIFIER: &str = "requestHeaderModifier";
    let mut all: Vec<ManifestNode> = list(rule, "filters").iter().map(manifest_of).collect();
    let known = all.iter_mut().find_map(|filter| match filter {
        ManifestNode::Map(entries) => entries.iter_mut().find(|entry| entry.key == MODIFIER),
        _ => None,
    });
    match known {
        Some(entry) => {
            let value = std::mem::replace(&mut entry.value, object([]));
            entry.value = match value {
                ManifestNode::Map(mut operations) => {
                    match operations.iter_mut().find(|one| one.key == "remove") {
                        Some(removed) => {
                            if let ManifestNode::List(names) = &mut removed.value {
                                names.push(ROUTE_HEADER.into());
                            }
                            ManifestNode::Map(operations)
                        }
                        None => {
                            ManifestNode::Map(operations).with("remove", text_list([ROUTE_HEADER]))
                        }
                    }
                }
                other => other,
            };
        }
        None => {
            let removal = object([("remove", text_list([ROUTE_HEADER]))]);
            let filter = object([
                ("type", "RequestHeaderModifier".into()),
                (MODIFIER, removal),
            ]);
            all.insert(0, filter);
        }
    }
    nodes(all)
}
