//! Canaries of ingress-nginx: an Ingress with the annotation `canary`, and the main one with the same hosts and paths.

use super::Converted;
use super::condition::{self, TextTest, escaped};
use super::draft::{RolloutDraft, part_name, percent, rollout_name, unique};
use super::input::{Resource, list, text, whole};
use super::note::Loss;
use crate::manifest::{ManifestNode, object};
use crate::source::tree::SourceNode;

/// The prefix of the annotations.
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// A backend for a host and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPath {
    /// The host; empty for all.
    pub host: String,
    /// The path, `/` if there is none.
    pub path: String,
    /// Its `pathType`.
    pub kind: String,
    /// Name of the service.
    pub service: String,
    /// Number of its port, if it is not a name.
    pub port: Option<ManifestNode>,
}

/// Whether the Ingress is the canary of another one.
pub fn is_canary(resource: &Resource<'_>) -> bool {
    annotation(resource, "canary") == "true"
}

/// Whether an Ingress may be the main one of a canary.
pub fn is_main_of(main: &Resource<'_>, canary: &Resource<'_>) -> bool {
    main.kind == "Ingress" && main.namespace == canary.namespace && !is_canary(main)
}

/// Converts an Ingress if it is a canary.
pub fn canary(resource: &Resource<'_>, all: &[Resource<'_>], converted: &mut Converted) -> bool {
    if !is_canary(resource) {
        return false;
    }
    let others: Vec<&Resource<'_>> = all
        .iter()
        .filter(|other| is_main_of(other, resource))
        .collect();
    let title = resource.title();
    let origin = resource.origin;
    let spec = resource.node.get("spec").unwrap_or(resource.node);
    // Pairs of services, each with the paths that have it.
    let mut pairs: Vec<(String, String, Vec<IngressPath>)> = Vec::new();
    for path in paths(resource) {
        let mains = others.iter().flat_map(|other| paths(other));
        let mut mains = mains.filter(|main| main.host == path.host && main.path == path.path);
        let Some(main) = mains.next() else {
            let reason = format!(
                "the Ingress that has host {:?} and path {} without the annotation is not among the files",
                path.host, path.path
            );
            origin.note((spec, &title), "rules", Loss::Impossible, reason);
            continue;
        };
        let known = pairs
            .iter_mut()
            .find(|(stable, version, _)| *stable == main.service && *version == path.service);
        match known {
            Some((.., paths)) => paths.push(path),
            None => pairs.push((main.service, path.service.clone(), vec![path])),
        }
    }
    for (stable, version, paths) in pairs {
        if stable == version {
            origin.note(
                (spec, &title),
                "rules",
                Loss::Impossible,
                "both have the same service",
            );
            continue;
        }
        let taken = converted.names();
        let [stable, version] = [stable, version].map(|name| part_name(&name));
        let scopes: Vec<_> = paths.iter().map(|path| scope(resource, path)).collect();
        let draft = RolloutDraft {
            comment: super::origin_of(resource),
            place: super::place_of(resource),
            name: unique(&rollout_name(resource.name), |name| taken.contains(name)),
            scopes: match scopes.iter().any(ManifestNode::is_empty) {
                true => Vec::new(),
                false => scopes,
            },
            rules: rules(resource, &stable, &version),
            strategy: strategy(resource, &stable, &version),
            versions: vec![stable.clone(), version],
            stable,
            ..RolloutDraft::default()
        };
        converted.add([draft]);
    }
    others_of(resource);
    true
}

/// The value of an annotation.
pub fn annotation<'s>(resource: &Resource<'s>, name: &str) -> &'s str {
    text(
        resource.node,
        &["metadata", "annotations", &format!("{PREFIX}{name}")],
    )
}

fn note(resource: &Resource<'_>, name: &str, loss: Loss, reason: &str) {
    let node = resource
        .node
        .at(&["metadata", "annotations"])
        .unwrap_or(resource.node);
    resource.origin.note(
        (node, &resource.title()),
        &format!("{PREFIX}{name}"),
        loss,
        reason,
    );
}

/// All hosts and paths of an Ingress, with its default backend.
pub fn paths(resource: &Resource<'_>) -> Vec<IngressPath> {
    let spec = resource.node.get("spec").unwrap_or(resource.node);
    let service = |backend: Option<&SourceNode>| {
        // The second is the form before networking.k8s.io/v1.
        let of = |path: &[&str]| backend.map_or("", |backend| text(backend, path)).to_owned();
        match of(&["service", "name"]) {
            name if name.is_empty() => of(&["serviceName"]),
            name => name,
        }
    };
    let port = |backend: Option<&SourceNode>| {
        let ports = [&["service", "port", "number"][..], &["servicePort"][..]];
        let mut ports = ports
            .iter()
            .map(|path| backend.and_then(|backend| backend.at(path)));
        let number = ports.find_map(|port| whole(port));
        number.map(ManifestNode::from)
    };
    let mut found = Vec::new();
    for rule in list(spec, "rules") {
        let host = text(rule, &["host"]);
        let all = rule.get("http").map_or(&[][..], |http| list(http, "paths"));
        for path in all {
            found.push(IngressPath {
                host: host.to_owned(),
                path: match text(path, &["path"]) {
                    "" => "/".to_owned(),
                    path => path.to_owned(),
                },
                kind: text(path, &["pathType"]).to_owned(),
                service: service(path.get("backend")),
                port: port(path.get("backend")),
            });
        }
    }
    for field in ["defaultBackend", "backend"] {
        if let Some(backend) = spec.get(field) {
            found.push(IngressPath {
                host: String::new(),
                path: "/".to_owned(),
                kind: "Prefix".to_owned(),
                service: service(Some(backend)),
                port: port(Some(backend)),
            });
        }
    }
    found
}

fn scope(resource: &Resource<'_>, path: &IngressPath) -> ManifestNode {
    let mut scope = object([]);
    if !path.host.is_empty() {
        scope = scope.with("hosts", crate::manifest::texts([&path.host]));
    }
    let is_regex = annotation(resource, "use-regex") == "true";
    let operator = match &*path.kind {
        "Exact" => Some(object([("exact", (&*path.path).into())])),
        // nginx compares expressions from the beginning of the path, in any case.
        _ if is_regex => {
            let pattern = format!("{}.*", path.path.trim_end_matches('$'));
            Some(object([
                ("regex", pattern.into()),
                ("ignoreCase", true.into()),
            ]))
        }
        "Prefix" => match path.path.trim_end_matches('/') {
            "" => None,
            prefix => Some(object([("prefix", prefix.into())])),
        },
        _ => TextTest::Prefix(path.path.clone()).on_path(),
    };
    let Some(operator) = operator else {
        return scope;
    };
    match super::istio::path_refusal(&operator) {
        None => scope.with("path", operator),
        Some(reason) => {
            let spec = resource.node.get("spec").unwrap_or(resource.node);
            let reason = format!("{}: {reason}", path.path);
            resource
                .origin
                .note((spec, &resource.title()), "rules", Loss::Impossible, reason);
            scope
        }
    }
}

/// A rule for each value of a header or cookie, in the order of ingress-nginx.
fn rules(resource: &Resource<'_>, stable: &str, version: &str) -> Vec<ManifestNode> {
    let mut rules = Vec::new();
    let mut add = |name: &str, from: &str, when: ManifestNode, version: &str| {
        if let Some(reason) = condition::refusal(&when) {
            return note(resource, from, Loss::Impossible, &reason);
        }
        rules.push(object([
            ("name", name.into()),
            ("when", when),
            ("use", version.into()),
        ]));
    };
    let always = || TextTest::Exact("always".to_owned());
    let never = || TextTest::Exact("never".to_owned());
    let header = annotation(resource, "canary-by-header");
    let value = annotation(resource, "canary-by-header-value");
    let pattern = annotation(resource, "canary-by-header-pattern");
    if !header.is_empty() {
        let about = |test: &TextTest| condition::header(header, test);
        match (value, pattern) {
            ("", "") => {
                let from = "canary-by-header";
                add("header-always", from, about(&always()), version);
                add("header-never", from, about(&never()), stable);
            }
            // ingress-nginx searches the pattern anywhere in the value.
            ("", pattern) => {
                let whole = match pattern == escaped(pattern) {
                    true => TextTest::Contains(pattern.to_owned()),
                    false => TextTest::Regex(format!(".*(?:{pattern}).*")),
                };
                add(
                    "header-pattern",
                    "canary-by-header-pattern",
                    about(&whole),
                    version,
                );
            }
            (value, _) => {
                let test = TextTest::Exact(value.to_owned());
                add(
                    "header-value",
                    "canary-by-header-value",
                    about(&test),
                    version,
                );
            }
        }
    }
    let cookie = annotation(resource, "canary-by-cookie");
    if !cookie.is_empty() {
        let from = "canary-by-cookie";
        let about = |test: TextTest| test.about("cookie", cookie.into());
        add("cookie-always", from, about(always()), version);
        add("cookie-never", from, about(never()), stable);
    }
    rules
}

fn strategy(resource: &Resource<'_>, stable: &str, version: &str) -> ManifestNode {
    let weight = annotation(resource, "canary-weight");
    let total = annotation(resource, "canary-weight-total");
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let sum = if total.is_empty() {
        Some(100)
    } else {
        number(total)
    };
    let active = || object([("blueGreen", object([("active", stable.into())]))]);
    if weight.is_empty() {
        return active();
    }
    let (Some(part), Some(sum)) = (number(weight), sum) else {
        note(
            resource,
            "canary-weight",
            Loss::Impossible,
            "is not a whole number",
        );
        return active();
    };
    let part = part.min(sum);
    let weights = [(stable.to_owned(), sum - part), (version.to_owned(), part)];
    match percent(part.into(), sum.into()) {
        Some(_) => super::draft::strategy(&weights, stable),
        None if sum == 0 => active(),
        None => super::draft::strategy(&weights, stable),
    }
}

/// Notes the other annotations.
fn others_of(resource: &Resource<'_>) {
    let annotations = resource.node.at(&["metadata", "annotations"]);
    for entry in annotations.map_or(&[][..], SourceNode::entries) {
        let Some(name) = entry.key.strip_prefix(PREFIX) else {
            continue;
        };
        match name {
            "canary"
            | "canary-by-header"
            | "canary-by-header-value"
            | "canary-by-header-pattern"
            | "canary-by-cookie"
            | "canary-weight"
            | "canary-weight-total"
            | "use-regex" => {}
            "affinity" | "affinity-mode" | "affinity-canary-behavior" | "session-cookie-name" => {
                note(
                    resource,
                    name,
                    Loss::Approximate,
                    "users keep a version by their identity, not by the cookie of a pod",
                )
            }
            _ => note(
                resource,
                name,
                Loss::LeftInPlace,
                "ingress-nginx takes it from the main Ingress",
            ),
        }
    }
}
