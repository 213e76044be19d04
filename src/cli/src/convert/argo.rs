//! Rollout of Argo: canary and blueGreen. Its VirtualService or HTTPRoute, if it is among the files, gives the hosts,
//! matches and versions.

use super::Converted;
use super::argo_steps::{self, CanarySteps};
use super::choice::Choices;
use super::draft::{RolloutDraft, part_name, rollout_name, unique};
use super::input::{Resource, list, text};
use super::note::Loss;
use crate::manifest::{ManifestNode, list as nodes, object};
use crate::source::tree::SourceNode;

/// Fields of a strategy that concern pods, not requests.
const OF_PODS: [&str; 15] = [
    "maxSurge",
    "maxUnavailable",
    "canaryMetadata",
    "stableMetadata",
    "activeMetadata",
    "previewMetadata",
    "antiAffinity",
    "scaleDownDelaySeconds",
    "scaleDownDelayRevisionLimit",
    "abortScaleDownDelaySeconds",
    "dynamicStableScale",
    "minPodsPerReplicaSet",
    "previewReplicaCount",
    "progressDeadlineSeconds",
    "replicaProgressThreshold",
];

/// Converts a Rollout. VirtualServices and HTTPRoutes have been converted before.
pub fn rollout(resource: &Resource<'_>, choices: &Choices, converted: &mut Converted) {
    let strategy = resource.node.at(&["spec", "strategy"]);
    let canary = strategy.and_then(|strategy| strategy.get("canary"));
    let blue_green = strategy.and_then(|strategy| strategy.get("blueGreen"));
    match (canary, blue_green) {
        (Some(canary), _) => release(resource, canary, choices, converted),
        (None, Some(blue_green)) => switch(resource, blue_green, converted),
        (None, None) => {
            let node = resource.node.get("spec").unwrap_or(resource.node);
            let reason = "has neither canary nor blueGreen";
            let title = resource.title();
            resource.origin.note(
                (node, &format!("{title}: spec")),
                "strategy",
                Loss::Impossible,
                reason,
            );
        }
    }
}

/// A canary with steps.
fn release(
    resource: &Resource<'_>,
    canary: &SourceNode,
    choices: &Choices,
    converted: &mut Converted,
) {
    let path = format!("{}: strategy.canary", resource.title());
    let origin = resource.origin;
    let note =
        |key: &str, loss: Loss, reason: &str| origin.note((canary, &path), key, loss, reason);
    for field in canary.entries() {
        match &*field.key {
            "steps" | "canaryService" | "stableService" | "trafficRouting" => {}
            "analysis" => note(
                "analysis",
                Loss::Impossible,
                "divvy judges requests inside the proxy: write a guardrail with limits on errors and latency",
            ),
            key if OF_PODS.contains(&key) => {
                note(key, Loss::LeftInPlace, "concerns pods");
            }
            key => note(key, Loss::Impossible, "divvy has nothing for it"),
        }
    }
    let Some(start) = &choices.start else {
        let reason = "a release by the clock needs the instant at which it begins: say --start";
        return note("steps", Loss::Impossible, reason);
    };
    if list(canary, "steps").is_empty() {
        let reason = "has no steps: Argo replaces pods one by one, and divides no requests";
        return note("steps", Loss::Impossible, reason);
    }
    let steps = argo_steps::read(origin, &path, canary);
    let linked = linked(resource, canary, converted);
    if !linked.is_empty() {
        for (index, version) in linked {
            let draft = &mut converted.rollouts[index];
            draft.comment = format!("{}\n{}", draft.comment, super::origin_of(resource));
            if draft.stable == version
                && let Some(other) = draft.versions.iter().find(|name| **name != version)
            {
                draft.stable = other.clone();
            }
            set(draft, &version, &steps, start);
        }
        return;
    }
    let [stable, version] = [("stableService", "stable"), ("canaryService", "canary")].map(
        |(field, role)| match text(canary, &[field]) {
            "" => role.to_owned(),
            service => part_name(service),
        },
    );
    let mut draft = draft(resource, &stable, &version, converted);
    let reason = match canary.get("trafficRouting") {
        Some(_) => "its routes are not among the files, so the rollout matches every request",
        None => {
            "without trafficRouting Argo divides by numbers of pods; the rollout matches every request"
        }
    };
    note("trafficRouting", Loss::Approximate, reason);
    set(&mut draft, &version, &steps, start);
    converted.add([draft]);
}

/// Gives a rollout these steps.
fn set(draft: &mut RolloutDraft, version: &str, steps: &CanarySteps, start: &str) {
    let canary = object([("version", version.into())])
        .with("start", start)
        .with("steps", nodes(steps.steps.clone()));
    draft.strategy = object([("canary", canary)]);
    for (name, when) in &steps.rules {
        let names: Vec<_> = draft
            .rules
            .iter()
            .filter_map(|rule| rule.get("name").cloned())
            .collect();
        let name = unique(&part_name(name), |name| names.contains(&name.into()));
        draft.rules.push(object([
            ("name", name.into()),
            ("when", when.clone()),
            ("use", version.into()),
        ]));
    }
    if let Some((percent, methods)) = &steps.mirror {
        let mirror = object([("version", version.into()), ("percent", percent.clone())]);
        draft.mirror = Some(mirror.with_some("methods", methods.clone()));
    }
}

/// A rollout with two versions for every request.
fn draft(
    resource: &Resource<'_>,
    stable: &str,
    other: &str,
    converted: &Converted,
) -> RolloutDraft {
    let taken = converted.names();
    RolloutDraft {
        comment: super::origin_of(resource),
        place: super::place_of(resource),
        name: unique(&rollout_name(resource.name), |name| taken.contains(name)),
        versions: vec![stable.to_owned(), other.to_owned()],
        stable: stable.to_owned(),
        ..RolloutDraft::default()
    }
}

/// The rollouts of the routes that this Rollout changes, each with its canary version.
fn linked(
    resource: &Resource<'_>,
    canary: &SourceNode,
    converted: &Converted,
) -> Vec<(usize, String)> {
    let mut routes: Vec<(&str, &SourceNode)> = Vec::new();
    if let Some(istio) = canary.at(&["trafficRouting", "istio"]) {
        routes.extend(
            istio
                .get("virtualService")
                .map(|one| ("VirtualService", one)),
        );
        routes.extend(
            list(istio, "virtualServices")
                .iter()
                .map(|one| ("VirtualService", one)),
        );
    }
    let plugin = canary.at(&["trafficRouting", "plugins", "argoproj-labs/gatewayAPI"]);
    routes.extend(plugin.map(|one| ("HTTPRoute", one)));
    let subset = canary.at(&["trafficRouting", "istio", "destinationRule"]);
    let subset = subset.map_or("", |rule| text(rule, &["canarySubsetName"]));
    let service = text(canary, &["canaryService"]);
    let mut found = Vec::new();
    for (kind, node) in routes {
        let name = match kind {
            "HTTPRoute" => text(node, &["httpRoute"]),
            _ => text(node, &["name"]),
        };
        // The name may be one with a namespace.
        let (name, namespace) = name.split_once('.').unwrap_or((name, resource.namespace));
        let named = super::input::texts(node, "routes");
        for (index, draft) in converted.rollouts.iter().enumerate() {
            let is_of = draft.link.kind == kind
                && draft.link.name == name
                && (draft.link.namespace == namespace || namespace.is_empty())
                && (named.is_empty() || named.contains(&draft.link.route));
            let mut versions = draft.link.versions.iter();
            let version = versions.find(|(_, service_name, subset_name)| match subset {
                "" => service_name.split('.').next() == Some(service),
                subset => subset_name == subset,
            });
            if let Some((version, ..)) = version.filter(|_| is_of && draft.versions.len() > 1) {
                found.push((index, version.clone()));
            }
        }
    }
    found
}

/// A switch from one service to another.
fn switch(resource: &Resource<'_>, node: &SourceNode, converted: &mut Converted) {
    let path = format!("{}: strategy.blueGreen", resource.title());
    let note = |key: &str, loss: Loss, reason: &str| {
        resource.origin.note((node, &path), key, loss, reason)
    };
    for field in node.entries() {
        match &*field.key {
            "activeService" | "previewService" => {}
            "autoPromotionEnabled" if field.value.text() == Some("false") => {}
            "autoPromotionEnabled" | "autoPromotionSeconds" => note(
                &field.key,
                Loss::Approximate,
                "divvy switches when `active` is changed, not by itself",
            ),
            "prePromotionAnalysis" | "postPromotionAnalysis" => {
                note(
                    &field.key,
                    Loss::Impossible,
                    "divvy runs no analysis before or after a switch",
                );
            }
            key if OF_PODS.contains(&key) => note(key, Loss::LeftInPlace, "concerns pods"),
            key => note(key, Loss::Impossible, "divvy has nothing for it"),
        }
    }
    let [active, preview] = ["activeService", "previewService"].map(|field| text(node, &[field]));
    if active.is_empty() || preview.is_empty() || active == preview {
        let reason = "without a preview service there is one version to send requests to";
        return note("previewService", Loss::Impossible, reason);
    }
    let (active, preview) = (part_name(active), part_name(preview));
    let reason = "Argo changes the pods of the services; here `active` names the service, and the rollout matches every \
                  request";
    note("activeService", Loss::Approximate, reason);
    let mut draft = draft(resource, &active, &preview, converted);
    draft.strategy = object([("blueGreen", object([("active", (&*active).into())]))]);
    converted.add([draft]);
}

/// A percentage as a number.
pub fn number(text: &str) -> Option<ManifestNode> {
    let value: f64 = text.trim().trim_end_matches('%').parse().ok()?;
    let is_valid = (0.0..=100.0).contains(&value);
    is_valid.then(|| ManifestNode::Literal(value.to_string()))
}
