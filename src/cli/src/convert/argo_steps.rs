//! The steps of an Argo canary as steps of divvy.

use super::argo::number;
use super::condition::{self, string_match};
use super::duration::duration;
use super::input::{list, text};
use super::note::{Loss, ResourceOrigin};
use crate::manifest::{ManifestNode, object, texts};
use crate::source::tree::SourceNode;

/// What the steps of a canary say.
#[derive(Clone, Debug, Default)]
pub struct CanarySteps {
    /// Weights with what ends them.
    pub steps: Vec<ManifestNode>,
    /// Names and conditions of rules for the canary.
    pub rules: Vec<(String, ManifestNode)>,
    /// Percentage of copies, and the methods.
    pub mirror: Option<(ManifestNode, Option<ManifestNode>)>,
}

/// Reads the steps of a canary.
pub fn read(origin: ResourceOrigin<'_>, path: &str, canary: &SourceNode) -> CanarySteps {
    let mut reader = StepReader {
        origin,
        found: CanarySteps::default(),
        weight: 0.0,
        is_held: true,
    };
    for (index, step) in list(canary, "steps").iter().enumerate() {
        reader.step(&format!("{path}.steps[{index}]"), index, step);
    }
    // Argo sends every request to the new version after the last step.
    let last = reader.found.steps.last();
    let is_complete = last.is_some_and(|step| step.get("weight") == Some(&weight(100.0)));
    if is_complete {
        reader.found.steps.pop();
    }
    reader.found.steps.push(object([("weight", weight(100.0))]));
    reader.found
}

fn weight(weight: f64) -> ManifestNode {
    ManifestNode::Literal(weight.to_string())
}

struct StepReader<'s> {
    origin: ResourceOrigin<'s>,
    found: CanarySteps,
    weight: f64,
    /// Whether a pause followed the weight.
    is_held: bool,
}

impl StepReader<'_> {
    fn step(&mut self, path: &str, index: usize, step: &SourceNode) {
        for field in step.entries() {
            let (key, value) = (&*field.key, &field.value);
            let note = |loss: Loss, reason: &str| self.origin.note((step, path), key, loss, reason);
            match key {
                "setWeight" => self.set_weight(path, step, value),
                "pause" => self.pause(path, index, step, value),
                "setHeaderRoute" => self.header_route(path, step, value),
                "setMirrorRoute" => self.mirror_route(path, step, value),
                "setCanaryScale" | "replicaProgressThreshold" => {
                    note(Loss::LeftInPlace, "concerns pods");
                }
                "analysis" => note(
                    Loss::Impossible,
                    "divvy judges requests inside the proxy: write a guardrail with limits on errors and latency",
                ),
                "experiment" => note(Loss::Impossible, "divvy starts no pods"),
                _ => note(Loss::Impossible, "divvy has nothing for it"),
            }
        }
    }

    fn set_weight(&mut self, path: &str, step: &SourceNode, value: &SourceNode) {
        let note =
            |loss: Loss, reason: &str| self.origin.note((step, path), "setWeight", loss, reason);
        let new = value.text().and_then(number);
        let new = new.and_then(|new| match new {
            ManifestNode::Literal(text) => text.parse::<f64>().ok(),
            _ => None,
        });
        let Some(new) = new else {
            return note(Loss::Impossible, "is not a weight from 0 to 100");
        };
        if new < self.weight {
            return note(
                Loss::Impossible,
                "is less than the weight before: weights of divvy do not decrease",
            );
        }
        if !self.is_held {
            let reason = format!(
                "no pause follows the weight {} before, so it lasts until pods are ready: left out",
                self.weight
            );
            note(Loss::Approximate, &reason);
        }
        self.weight = new;
        self.is_held = false;
    }

    fn pause(&mut self, path: &str, index: usize, step: &SourceNode, value: &SourceNode) {
        self.is_held = true;
        let node = object([("weight", weight(self.weight))]);
        let Some(written) = value.get("duration").filter(|node| !node.is_null()) else {
            let gate = format!("pause-{index}");
            self.found.steps.push(node.with("gate", gate));
            return;
        };
        match duration(written.text().unwrap_or_default()) {
            Some(hold) => self.found.steps.push(node.with("hold", hold)),
            None => {
                let reason = "is not a duration such as 30s or 10m";
                self.origin
                    .note((step, path), "pause", Loss::Impossible, reason);
            }
        }
    }

    fn header_route(&mut self, path: &str, step: &SourceNode, value: &SourceNode) {
        let note = |loss: Loss, reason: &str| {
            self.origin
                .note((step, path), "setHeaderRoute", loss, reason)
        };
        let matches = list(value, "match");
        if matches.is_empty() {
            return note(
                Loss::Approximate,
                "removes a route by header: the rule remains until you remove it",
            );
        }
        let mut conditions = Vec::new();
        for test in matches {
            let name = text(test, &["headerName"]);
            let operator = test.get("headerValue").map(string_match);
            let condition = match operator {
                Some(Ok(test)) => condition::header(name, &test),
                _ => return note(Loss::Impossible, "has no header value"),
            };
            if let Some(reason) = condition::refusal(&condition) {
                return note(Loss::Impossible, &format!("{name}: {reason}"));
            }
            conditions.push(condition);
        }
        let name = text(value, &["name"]);
        // Argo writes one match of the route for each.
        if let Some(condition) = condition::any(conditions) {
            self.found.rules.push((name.to_owned(), condition));
            note(
                Loss::Approximate,
                "the rule applies from the begin of the release, not from this step",
            );
        }
    }

    fn mirror_route(&mut self, path: &str, step: &SourceNode, value: &SourceNode) {
        let note = |loss: Loss, reason: &str| {
            self.origin
                .note((step, path), "setMirrorRoute", loss, reason)
        };
        let matches = list(value, "match");
        let percent = text(value, &["percentage"]);
        if matches.is_empty() && percent.is_empty() {
            return note(
                Loss::Approximate,
                "ends the copies: they continue until you remove `mirror`",
            );
        }
        let mut methods = Vec::new();
        for test in matches {
            let is_method = test.entries().iter().all(|field| field.key == "method");
            match text(test, &["method", "exact"]) {
                method if is_method && !method.is_empty() => methods.push(method.to_owned()),
                _ => return note(Loss::Impossible, "divvy selects copies by method only"),
            }
        }
        let percent = match percent {
            "" => number("100"),
            percent => number(percent),
        };
        let Some(percent) = percent else {
            return note(Loss::Impossible, "has no percentage from 0 to 100");
        };
        let methods = (!methods.is_empty()).then(|| texts(&methods));
        self.found.mirror = Some((percent, methods));
        note(
            Loss::Approximate,
            "copies are made from the begin of the release, not from this step",
        );
    }
}
