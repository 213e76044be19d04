//! The steps to a decision: those that the core recorded, in the form that is printed.

use divvy::bucket::Position;
use divvy::decision::{Decision, RolloutId};
use divvy::policy::Policy;
use divvy::request::Request;
use divvy::trace::{self, Recorder};
use serde::Serialize;
use serde_json::Value;

use super::condition::{self, ConditionReport};

/// The way to what one rollout decided.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSteps {
    /// The rollout.
    pub rollout: String,
    /// Whether it looks at the request at all.
    pub matches: bool,
    /// What it decided, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The way, up to the step that decided.
    pub steps: Vec<StepReport>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Which: `match`, `enabled`, `upstream`, `rule`, `identity`, `holdout`, `layer`, `sticky`,
    /// `traffic`, `strategy`, `guardrail`.
    pub step: &'static str,
    /// What it came to.
    pub text: String,
    /// The condition that was asked, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionReport>,
    /// Where the user lies on the line that was looked at, if one was: 0 to 999,999.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// The positions below this are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

impl StepReport {
    fn new(step: &'static str, text: impl Into<String>) -> Self {
        Self {
            step,
            text: text.into(),
            condition: None,
            position: None,
            threshold: None,
        }
    }

    /// A recorded step; `raw` is the condition as the configuration has it.
    fn recorded(step: trace::Step, raw: &Value) -> Self {
        Self {
            step: step.name,
            text: step.text,
            condition: step.condition.map(|report| condition::truth(report, raw)),
            position: step.position.map(Position::get),
            threshold: step.threshold.map(|share| share.ppm()),
        }
    }
}

/// The steps of all rollouts.
pub fn all(
    policy: &Policy,
    raw: &Value,
    request: &Request<'_>,
    decisions: &[Decision],
    recorded: Recorder,
) -> Vec<RolloutSteps> {
    let written = raw
        .get("rollouts")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let mut recorded = recorded.rollouts.into_iter().peekable();
    let mut all = Vec::new();
    for ((id, rollout), raw) in policy.numbered().zip(written) {
        let decision = decisions.iter().find(|decision| decision.rollout == id);
        let mut steps = scopes(policy, id, request, decision.is_some());
        if let Some((_, own)) = recorded.next_if(|(of, _)| *of == id) {
            steps.extend(with_conditions(own, raw));
        }
        let version = decision.and_then(|decision| rollout.version(decision.version));
        all.push(RolloutSteps {
            rollout: rollout.name.to_string(),
            matches: decision.is_some(),
            version: version.map(|version| version.name.to_string()),
            reason: decision.map(|decision| decision.reason.name()),
            steps,
        });
    }
    all
}

/// The recorded steps of a rollout. Rules are recorded in the order of the configuration.
fn with_conditions(recorded: Vec<trace::Step>, raw: &Value) -> impl Iterator<Item = StepReport> {
    let rules = raw.get("rules").and_then(Value::as_array);
    let mut rules = rules.into_iter().flatten();
    recorded.into_iter().map(move |step| {
        let rule = match &step.condition {
            Some(_) => rules.next(),
            None => None,
        };
        let when = rule.and_then(|rule| rule.get("when"));
        StepReport::recorded(step, when.unwrap_or(&Value::Null))
    })
}

fn scopes(policy: &Policy, id: RolloutId, request: &Request<'_>, matches: bool) -> Vec<StepReport> {
    let mut steps = Vec::new();
    for (nth, scope) in policy.scopes.of(id).enumerate() {
        let host = request.host();
        let checks = [
            (
                "host",
                scope.hosts.is_empty()
                    || host.is_some_and(|host| scope.hosts.iter().any(|own| own.matches(host))),
            ),
            (
                "path",
                scope
                    .path
                    .as_ref()
                    .is_none_or(|test| test.accepts_one_of(request.path().into_iter())),
            ),
            (
                "method",
                scope.methods.is_empty()
                    || request
                        .method
                        .is_some_and(|asked| scope.methods.iter().any(|method| **method == *asked)),
            ),
        ];
        let failed: Vec<_> = checks.iter().filter(|(_, fits)| !fits).collect();
        let text = match failed.as_slice() {
            [] => format!("entry {nth} fits"),
            some => {
                let names: Vec<_> = some.iter().map(|(name, _)| *name).collect();
                format!(
                    "entry {nth} does not fit: another {}",
                    names.join(", another ")
                )
            }
        };
        steps.push(StepReport::new("match", text));
    }
    if steps.is_empty() {
        steps.push(StepReport::new("match", "looks at every request"));
    } else if !matches {
        let text = "nothing fits: this rollout decides nothing";
        steps.push(StepReport::new("match", text));
    }
    steps
}
