//! The HTTPRoutes for Ingresses with a canary: backends by the route header in place of the annotations.

use super::ROUTE_HEADER;
use super::gateway_api::{MAX_RULES, with_header};
use super::ingress::{IngressPath, PREFIX, annotation, is_canary, is_main_of, paths};
use super::input::{Resource, list, text};
use super::note::Loss;
use super::{Converted, condition::escaped, draft::part_name};
use crate::manifest::{ManifestNode, list as nodes, object, texts};
use crate::source::tree::SourceNode;

/// Adds the routes of each Ingress that has a canary among the resources.
pub fn http_routes(all: &[Resource<'_>], converted: &mut Converted) {
    let mains = all
        .iter()
        .filter(|one| one.kind == "Ingress" && !is_canary(one));
    for main in mains {
        let canaries = all
            .iter()
            .filter(|one| one.kind == "Ingress" && is_canary(one) && is_main_of(main, one));
        let canaries: Vec<IngressPath> = canaries.flat_map(|one| paths(one)).collect();
        let pairs: Vec<_> = paths(main)
            .into_iter()
            .map(|path| {
                let canary = canaries.iter().find(|one| {
                    one.host == path.host && one.path == path.path && one.service != path.service
                });
                (path, canary)
            })
            .collect();
        if pairs.iter().any(|(_, canary)| canary.is_some()) {
            converted.routes.extend(routes_of(main, &pairs));
            note_others(main);
        }
    }
}

/// One route for each host of an Ingress.
fn routes_of(
    main: &Resource<'_>,
    pairs: &[(IngressPath, Option<&IngressPath>)],
) -> Vec<ManifestNode> {
    let mut hosts: Vec<&str> = Vec::new();
    for (path, _) in pairs {
        if !hosts.contains(&&*path.host) {
            hosts.push(&path.host);
        }
    }
    let route = |host: &&str| {
        let of_host = pairs.iter().filter(|(path, _)| path.host == *host);
        let rules: Vec<_> = of_host
            .flat_map(|(path, canary)| rules(main, path, *canary))
            .collect();
        if rules.len() > MAX_RULES {
            let reason = format!(
                "{} rules are needed and a route has at most {MAX_RULES}: divide it among several",
                rules.len()
            );
            note_spec(main, "rules", Loss::Approximate, &reason);
        }
        let name = match (hosts.len(), *host) {
            (1, _) => main.name.to_owned(),
            (_, "") => format!("{}-default", main.name),
            (_, host) => format!(
                "{}-{}",
                main.name,
                host.replace('*', "any").replace('.', "-")
            ),
        };
        let mut spec = object([]);
        let class = class(main);
        if !class.is_empty() {
            spec = spec.with("parentRefs", nodes([object([("name", class.into())])]));
        }
        if !host.is_empty() {
            spec = spec.with("hostnames", texts([*host]));
        }
        let mut metadata = object([("name", (&*name).into())]);
        if !main.namespace.is_empty() {
            metadata = metadata.with("namespace", main.namespace);
        }
        object([
            ("apiVersion", "gateway.networking.k8s.io/v1".into()),
            ("kind", "HTTPRoute".into()),
            ("metadata", metadata),
            ("spec", spec.with("rules", nodes(rules))),
        ])
    };
    hosts.iter().map(route).collect()
}

/// The class of an Ingress, by the field or the older annotation.
fn class<'s>(main: &Resource<'s>) -> &'s str {
    match text(main.node, &["spec", "ingressClassName"]) {
        "" => text(
            main.node,
            &["metadata", "annotations", "kubernetes.io/ingress.class"],
        ),
        class => class,
    }
}

/// The rule for a path, behind one by the route header if it has a canary.
fn rules(
    main: &Resource<'_>,
    path: &IngressPath,
    canary: Option<&IngressPath>,
) -> Vec<ManifestNode> {
    let tests = match path_test(main, path) {
        None => object([]),
        Some(test) => object([("path", test)]),
    };
    let rule = |tests: ManifestNode, backend: &IngressPath| {
        let mut rule = object([]);
        if !tests.is_empty() {
            rule = rule.with("matches", nodes([tests]));
        }
        let mut filters = Vec::new();
        if canary.is_some() {
            let removal = object([("remove", texts([ROUTE_HEADER]))]);
            filters.push(object([
                ("type", "RequestHeaderModifier".into()),
                ("requestHeaderModifier", removal),
            ]));
        }
        filters.extend(rewrite(main));
        if !filters.is_empty() {
            rule = rule.with("filters", nodes(filters));
        }
        let to = object([("name", (&*backend.service).into())]);
        rule.with(
            "backendRefs",
            nodes([to.with_some("port", backend.port.clone())]),
        )
    };
    for one in [Some(path), canary].into_iter().flatten() {
        if one.port.is_none() {
            let reason = format!(
                "service {}: an HTTPRoute needs the number of the port, and the Ingress has none",
                one.service
            );
            note_spec(main, "rules", Loss::Impossible, &reason);
        }
    }
    let by_header = canary.map(|canary| {
        let tests = with_header(tests.clone(), &part_name(&canary.service));
        rule(tests, canary)
    });
    by_header.into_iter().chain([rule(tests, path)]).collect()
}

/// The test of a path; `None` for every path.
fn path_test(main: &Resource<'_>, path: &IngressPath) -> Option<ManifestNode> {
    let test =
        |kind: &str, value: &str| Some(object([("type", kind.into()), ("value", value.into())]));
    let is_regex = annotation(main, "use-regex") == "true";
    let reason = "an implementation of the Gateway API may compare expressions in another way";
    match &*path.kind {
        "Exact" => test("Exact", &path.path),
        _ if is_regex => {
            note_spec(main, "rules", Loss::Approximate, reason);
            let pattern = path.path.trim_end_matches('$');
            test("RegularExpression", &format!("(?i){pattern}.*"))
        }
        "Prefix" => test("PathPrefix", &path.path),
        // nginx compares the beginning of the text.
        _ if path.path == "/" => None,
        _ => {
            note_spec(main, "rules", Loss::Approximate, reason);
            test("RegularExpression", &format!("{}.*", escaped(&path.path)))
        }
    }
}

/// The filter for `rewrite-target`, which replaces the whole path if it has no groups.
fn rewrite(main: &Resource<'_>) -> Option<ManifestNode> {
    let target = annotation(main, "rewrite-target");
    if target.is_empty() || target.contains('$') {
        return None;
    }
    let path = object([
        ("type", "ReplaceFullPath".into()),
        ("replaceFullPath", target.into()),
    ]);
    Some(object([
        ("type", "URLRewrite".into()),
        ("urlRewrite", object([("path", path)])),
    ]))
}

fn note_spec(main: &Resource<'_>, key: &str, loss: Loss, reason: &str) {
    let node = main.node.get("spec").unwrap_or(main.node);
    let path = format!("{}: spec", main.title());
    main.origin.note((node, &path), key, loss, reason);
}

/// Notes what an Ingress has and its routes have not.
fn note_others(main: &Resource<'_>) {
    match class(main) {
        "" => note_spec(
            main,
            "ingressClassName",
            Loss::LeftInPlace,
            "is missing, so the routes have no parentRefs: name your Gateway there",
        ),
        _ => note_spec(
            main,
            "ingressClassName",
            Loss::LeftInPlace,
            "the routes name it as their Gateway in parentRefs: name yours there",
        ),
    }
    if main.node.at(&["spec", "tls"]).is_some() {
        let reason = "belongs to a listener of the Gateway";
        note_spec(main, "tls", Loss::LeftInPlace, reason);
    }
    let Some(annotations) = main.node.at(&["metadata", "annotations"]) else {
        return;
    };
    for entry in annotations.entries() {
        let Some(name) = entry.key.strip_prefix(PREFIX) else {
            continue;
        };
        let reason = match name {
            "canary" | "use-regex" => continue,
            "rewrite-target" if rewrite(main).is_some() => continue,
            "rewrite-target" => "an HTTPRoute cannot use groups of the path",
            _ => "an HTTPRoute has no equal field: set it on the route in the way of your Gateway",
        };
        let path = main.title();
        main.origin
            .note((annotations, &path), &entry.key, Loss::Impossible, reason);
    }
    for rule in list(main.node.get("spec").unwrap_or(main.node), "rules") {
        let all = rule.get("http").map_or(&[][..], |http| list(http, "paths"));
        for path in all.iter().filter(|path| has_resource(path)) {
            let place = format!("{}: spec.rules", main.title());
            let reason = "is not a service";
            main.origin
                .note((path, &place), "backend", Loss::Impossible, reason);
        }
    }
}

/// Whether a path has a resource in place of a service.
fn has_resource(path: &SourceNode) -> bool {
    path.at(&["backend", "resource"]).is_some()
}
