//! Canary of Flagger. Flagger writes the routes itself, so the new ones are made of its `service`.

use super::choice::Choices;
use super::condition;
use super::draft::{RolloutDraft, part_name, rollout_name, unique};
use super::duration::duration;
use super::flagger_routes;
use super::input::{Resource, list, text, texts, whole};
use super::istio;
use super::note::Loss;
use super::route::RouteEntry;
use super::{Converted, route::SplitRoute};
use crate::manifest::{ManifestNode, list as nodes, object};
use crate::source::tree::SourceNode;

/// Converts a Canary.
pub fn canary(resource: &Resource<'_>, choices: &Choices, converted: &mut Converted) {
    let Some(spec) = resource.node.get("spec") else {
        return;
    };
    let title = resource.title();
    let target = match text(spec, &["service", "name"]) {
        "" => text(spec, &["targetRef", "name"]),
        name => name,
    };
    let stable = part_name(&format!("{target}-primary"));
    let version = part_name(&format!("{target}-canary"));
    let taken = converted.names();
    let mut draft = RolloutDraft {
        comment: super::origin_of(resource),
        place: super::place_of(resource),
        name: unique(&rollout_name(resource.name), |name| taken.contains(name)),
        scopes: scope(resource, spec, target, choices),
        versions: vec![stable.clone(), version.clone()],
        stable: stable.clone(),
        ..RolloutDraft::default()
    };
    // Older versions name the field canaryAnalysis.
    let field = ["analysis", "canaryAnalysis"]
        .into_iter()
        .find(|field| spec.get(field).is_some());
    let analysis = field.and_then(|field| spec.get(field));
    for key in ["skipAnalysis", "suspend"] {
        if text(spec, &[key]) == "true" {
            let reason = "Flagger does not judge: here the analysis applies";
            resource
                .origin
                .note((spec, &title), key, Loss::Approximate, reason);
        }
    }
    if spec.get("autoscalerRef").is_some() {
        resource.origin.note(
            (spec, &title),
            "autoscalerRef",
            Loss::LeftInPlace,
            "concerns pods",
        );
    }
    let (Some(analysis), Some(field)) = (analysis, field) else {
        let reason = "has no analysis, so nothing says how the release goes on";
        return resource
            .origin
            .note((spec, &title), "analysis", Loss::Impossible, reason);
    };
    let path = format!("{title}: {field}");
    let reader = AnalysisReader {
        resource,
        analysis,
        path: &path,
    };
    let Some(strategy) = reader.strategy(&mut draft, &version, choices) else {
        return;
    };
    draft.strategy = strategy;
    let sends = !draft.rules.is_empty() || draft.strategy.get("canary").is_some();
    match sends {
        true => draft.guardrail = reader.guardrail(),
        false => reader.without_guardrail(),
    }
    reader.others();
    converted.add([draft]);
    converted.routes.extend(flagger_routes::virtual_service(
        resource,
        spec,
        target,
        [&stable, &version],
    ));
}

/// The `match` of the rollout: hosts and matches of the service.
fn scope(
    resource: &Resource<'_>,
    spec: &SourceNode,
    target: &str,
    choices: &Choices,
) -> Vec<ManifestNode> {
    let service = spec.get("service").unwrap_or(spec);
    let namespace = match resource.namespace {
        "" => choices.namespace.as_deref().unwrap_or_default(),
        namespace => namespace,
    };
    let mut hosts = texts(service, "hosts");
    let path = format!("{}: service", resource.title());
    if hosts.iter().any(|host| host == "*") {
        hosts.clear();
    } else if namespace.is_empty() {
        let reason = format!("calls to {target} with a namespace do not match: say --namespace");
        resource.origin.note(
            (spec, &resource.title()),
            "service",
            Loss::Approximate,
            reason,
        );
        hosts.push(target.to_owned());
    } else {
        hosts.extend(istio::in_cluster(&format!(
            "{target}.{namespace}.svc.cluster.local"
        )));
    }
    let matches = list(service, "match").iter().enumerate();
    let mut entries: Vec<_> = matches
        .map(|(index, node)| istio::entry(resource, &format!("{path}.match[{index}]"), node))
        .collect();
    if entries.is_empty() {
        entries.push(RouteEntry::default());
    }
    let route = SplitRoute {
        entries,
        ..SplitRoute::default()
    };
    route.match_entries(&hosts)
}

/// Reads the analysis of a Canary.
struct AnalysisReader<'s> {
    resource: &'s Resource<'s>,
    analysis: &'s SourceNode,
    path: &'s str,
}

impl AnalysisReader<'_> {
    fn note(&self, key: &str, loss: Loss, reason: &str) {
        self.resource
            .origin
            .note((self.analysis, self.path), key, loss, reason);
    }

    /// The strategy. Adds a rule to the draft for an A/B test.
    fn strategy(
        &self,
        draft: &mut RolloutDraft,
        version: &str,
        choices: &Choices,
    ) -> Option<ManifestNode> {
        let analysis = self.analysis;
        let stable = draft.stable.clone();
        let matches = list(analysis, "match");
        let weights = list(analysis, "stepWeights");
        let by_weight = !weights.is_empty() || whole(analysis.get("stepWeight")).is_some();
        let active = || object([("blueGreen", object([("active", (&*stable).into())]))]);
        if !matches.is_empty() {
            let mut conditions = Vec::new();
            for (index, test) in matches.iter().enumerate() {
                let path = format!("{}.match[{index}]", self.path);
                let entry = istio::entry(self.resource, &path, test);
                conditions.extend(condition::all(entry.conditions));
            }
            let Some(when) = condition::any(conditions) else {
                self.note("match", Loss::Impossible, "has no condition on a header");
                return None;
            };
            // With a percentage, so that the guardrail judges its requests.
            let rule = object([("name", "match".into()), ("when", when)]);
            draft.rules.push(
                rule.with("use", version)
                    .with("percent", ManifestNode::from(100)),
            );
            self.note(
                "iterations",
                Loss::Approximate,
                "the test lasts until the configuration changes; Flagger ends it after this number of intervals",
            );
            return Some(active());
        }
        if !by_weight {
            if whole(analysis.get("iterations")).is_none() {
                self.note(
                    "iterations",
                    Loss::Impossible,
                    "neither weights nor iterations: nothing is divided",
                );
                return None;
            }
            self.note(
                "iterations",
                Loss::Approximate,
                "divvy switches when `active` is changed; Flagger does after this number of intervals",
            );
            return Some(active());
        }
        let Some(start) = &choices.start else {
            let reason = "a release by the clock needs the instant at which it begins: say --start";
            self.note(
                if weights.is_empty() {
                    "stepWeight"
                } else {
                    "stepWeights"
                },
                Loss::Impossible,
                reason,
            );
            return None;
        };
        let Some(every) = duration(text(analysis, &["interval"])) else {
            self.note(
                "interval",
                Loss::Impossible,
                "is not a duration such as 30s or 1m",
            );
            return None;
        };
        let canary = object([("version", version.into())]).with("start", &**start);
        let canary = match weights {
            [] => canary.with("ramp", self.ramp(&every)?),
            weights => {
                let numbers: Vec<u64> = weights.iter().filter_map(|one| whole(Some(one))).collect();
                let below = numbers.iter().filter(|number| **number < 100);
                let steps = below.map(|number| {
                    object([("weight", (*number).into()), ("hold", (&*every).into())])
                });
                let last = object([("weight", ManifestNode::from(100))]);
                canary.with("steps", nodes(steps.chain([last])))
            }
        };
        Some(object([("canary", canary)]))
    }

    fn ramp(&self, every: &str) -> Option<ManifestNode> {
        let step = whole(self.analysis.get("stepWeight"))?;
        let most = whole(self.analysis.get("maxWeight"))
            .unwrap_or(100)
            .min(100);
        if step == 0 || step > most {
            self.note("stepWeight", Loss::Impossible, "is 0 or above maxWeight");
            return None;
        }
        if self.analysis.get("maxWeight").is_none() {
            self.note(
                "stepWeight",
                Loss::Approximate,
                "there is no maxWeight: the ramp goes to 100",
            );
        }
        let ramp = object([("from", step.into()), ("by", step.into())]);
        let ramp = ramp.with("to", most).with("every", every);
        Some(match most {
            100 => ramp,
            _ => ramp.with("then", ManifestNode::from(100)),
        })
    }

    /// The limits of the metrics that divvy measures too.
    fn guardrail(&self) -> Option<ManifestNode> {
        let mut guardrail = object([]);
        for (index, metric) in list(self.analysis, "metrics").iter().enumerate() {
            let path = format!("{}.metrics[{index}]", self.path);
            let note = |key: &str, loss: Loss, reason: &str| {
                self.resource
                    .origin
                    .note((metric, &path), key, loss, reason);
            };
            let bound = |bound: &str| match text(metric, &["thresholdRange", bound]) {
                "" => text(metric, &["threshold"]),
                text => text,
            };
            let window = duration(text(metric, &["interval"]));
            let window = window.map(ManifestNode::from);
            match text(metric, &["name"]) {
                "request-success-rate" => {
                    let Some(max) = complement(bound("min")) else {
                        note(
                            "thresholdRange",
                            Loss::Impossible,
                            "has no min from 0 to 100",
                        );
                        continue;
                    };
                    let limit = object([("max", max)]).with_some("window", window);
                    guardrail = guardrail.with("errors", limit);
                    note(
                        "name",
                        Loss::Approximate,
                        "divvy judges by evidence, not by one ratio per interval",
                    );
                }
                "request-duration" => {
                    let milliseconds = bound("max").trim();
                    let max = match milliseconds.parse::<u32>() {
                        Ok(number) => duration(&format!("{number}ms")),
                        Err(_) => duration(milliseconds),
                    };
                    let Some(max) = max else {
                        note(
                            "thresholdRange",
                            Loss::Impossible,
                            "has no max in milliseconds",
                        );
                        continue;
                    };
                    let quantile = ManifestNode::Literal("0.99".to_owned());
                    let limit = object([("quantile", quantile), ("max", max.into())]);
                    guardrail = guardrail.with("latency", limit.with_some("window", window));
                    note(
                        "name",
                        Loss::Approximate,
                        "divvy judges the 99th percentile by evidence, and the time to the response headers",
                    );
                }
                _ => note(
                    "name",
                    Loss::Impossible,
                    "divvy measures errors and latency only",
                ),
            }
        }
        (!guardrail.is_empty()).then_some(guardrail)
    }

    /// Notes metrics of a switch.
    fn without_guardrail(&self) {
        if self.analysis.get("metrics").is_some() {
            let reason = "no request goes to the new version before the switch, so a guardrail has nothing to judge";
            self.note("metrics", Loss::Impossible, reason);
        }
    }

    /// Notes the other fields.
    fn others(&self) {
        for field in self.analysis.entries() {
            match &*field.key {
                "interval" | "iterations" | "maxWeight" | "stepWeight" | "stepWeights" | "match" | "metrics" => {}
                "threshold" => self.note(
                    "threshold",
                    Loss::Approximate,
                    "a breach has an effect at once: divvy does not count failed checks",
                ),
                "stepWeightPromotion" => self.note(
                    "stepWeightPromotion",
                    Loss::Approximate,
                    "after the last weight all requests go to the new version at once",
                ),
                "primaryReadyThreshold" | "canaryReadyThreshold" => {
                    self.note(&field.key, Loss::LeftInPlace, "concerns pods");
                }
                "alerts" => self.note("alerts", Loss::Impossible, "divvy sends no alerts: its gauges can"),
                "webhooks" => {
                    for (index, hook) in list(self.analysis, "webhooks").iter().enumerate() {
                        let path = format!("{}.webhooks[{index}]", self.path);
                        let reason = match text(hook, &["type"]) {
                            "confirm-rollout" | "confirm-promotion" | "confirm-traffic-increase" => {
                                "divvy calls no webhooks: a step with a gate waits for a person"
                            }
                            _ => "divvy calls no webhooks",
                        };
                        self.resource.origin.note((hook, &path), "url", Loss::Impossible, reason);
                    }
                }
                "mirror" | "mirrorWeight" => self.note(
                    &field.key,
                    Loss::Impossible,
                    "Flagger copies requests in the first step only; divvy copies as long as `mirror` is there",
                ),
                "sessionAffinity" => self.note(
                    "sessionAffinity",
                    Loss::Approximate,
                    "users keep a version by their identity, without a cookie",
                ),
                key => self.note(key, Loss::Impossible, "divvy has nothing for it"),
            }
        }
    }
}

/// 100 minus a percentage.
fn complement(text: &str) -> Option<ManifestNode> {
    let value: f64 = text.trim().parse().ok()?;
    let is_valid = (0.0..=100.0).contains(&value);
    let rounded = ((100.0 - value) * 1e4).round() / 1e4;
    is_valid.then(|| ManifestNode::Literal(rounded.to_string()))
}
