//! The steps of each decision as the core recorded them, with conditions as the configuration
//! writes them.

use divvy::bucket::Position;
use divvy::condition::with_request_only;
use divvy::decide::trace::{self, ConditionTrace, Recorder};
use divvy::decision::{Decision, RolloutId};
use divvy::policy::Policy;
use divvy::request::Request;
use serde::Serialize;
use serde_json::Value;

use super::condition::ConditionReport;
use super::schedule::{self, StepSchedule};
use crate::raw::list;
use crate::source::LoadedConfig;

/// The decision of one rollout and its steps.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSteps {
    /// Name of the rollout.
    pub rollout: String,
    /// Whether the rollout decides about the request.
    pub matches: bool,
    /// Version that serves the request, if the rollout decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Reason of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The steps, up to the one that decides.
    pub steps: Vec<StepReport>,
    /// The schedule of a canary that grows over time, if the rollout decides. A guardrail can hold
    /// a proxy back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<StepSchedule>,
}

/// One step of a decision.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StepReport {
    /// `match`, `enabled`, `override`, `upstream`, `rule`, `identity`, `holdout`, `layer`, `sticky`, `traffic`,
    /// `strategy`, `guardrail` or `unreachable`.
    pub step: &'static str,
    /// The result.
    pub text: String,
    /// The condition of a rule or of an entry of `match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionReport>,
    /// Position of the user, 0 to 999,999.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Positions below this are admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

/// The steps of all rollouts.
pub(super) fn all(
    config: &LoadedConfig,
    request: &Request<'_>,
    decisions: &[Decision],
    recorder: Recorder,
) -> Vec<RolloutSteps> {
    let policy = &config.policy;
    let mut recorded = recorder.rollouts.into_iter().peekable();
    let rollouts = policy.numbered().zip(config.rollouts());
    let steps = rollouts.map(|((id, rollout), raw)| {
        let decision = decisions.iter().find(|decision| decision.rollout == id);
        let mut steps = scopes(policy, id, raw, request, decision.is_some());
        if let Some((_, own)) = recorded.next_if(|(rollout, _)| *rollout == id) {
            steps.extend(with_conditions(own, raw));
        }
        let version = decision.and_then(|decision| rollout.version(decision.version));
        RolloutSteps {
            rollout: rollout.name.to_string(),
            matches: decision.is_some(),
            version: version.map(|version| version.name.to_string()),
            reason: decision.map(|decision| decision.reason.name()),
            steps,
            schedule: decision.map_or_else(Vec::new, |_| {
                schedule::of(rollout.plan.as_ref(), raw, request.now())
            }),
        }
    });
    steps.collect()
}

/// The recorded steps of a rollout. The steps with a condition are its rules, in order.
fn with_conditions(steps: Vec<trace::TraceStep>, raw: &Value) -> impl Iterator<Item = StepReport> {
    let mut rules = list(raw, "rules").iter();
    steps.into_iter().map(move |step| StepReport {
        step: step.name,
        text: step.text,
        condition: step.condition.map(|condition| {
            let when = rules.next().and_then(|rule| rule.get("when"));
            ConditionReport::new(condition, when.unwrap_or(&Value::Null))
        }),
        position: step.position.map(Position::get),
        threshold: step.threshold.map(|share| share.ppm()),
    })
}

/// A step for each entry of `match`.
fn scopes(
    policy: &Policy,
    id: RolloutId,
    raw: &Value,
    request: &Request<'_>,
    matches: bool,
) -> Vec<StepReport> {
    let step = |text: String| StepReport {
        step: "match",
        text,
        ..StepReport::default()
    };
    let entries = policy.scopes.of(id).enumerate().map(|(index, scope)| {
        let parts = [
            ("host", scope.allows_host(request)),
            ("path", scope.allows_path(request)),
            ("method", scope.allows_method(request)),
        ];
        let others = parts.iter().filter(|(_, allowed)| !allowed);
        let mut others: Vec<_> = others.map(|(part, _)| format!("other {part}")).collect();
        if !scope.condition_holds(request) {
            others.push("its condition is false".to_owned());
        }
        let condition = scope.when.as_ref().map(|when| {
            let trace = with_request_only(request, |context| ConditionTrace::new(when, context));
            ConditionReport::new(trace, &list(raw, "match")[index]["when"])
        });
        let step = step(match others.as_slice() {
            [] => format!("entry {index} matches"),
            others => format!("entry {index} does not match: {}", others.join(", ")),
        });
        StepReport { condition, ..step }
    });
    let mut steps: Vec<_> = entries.collect();
    if steps.is_empty() {
        steps.push(step("all requests match".to_owned()));
    } else if !matches {
        steps.push(step(
            "no entry matches, so the rollout does not decide".to_owned(),
        ));
    }
    steps
}
