//! The way to a decision, in the order in which the core goes it.

use divvy::assignment::UpstreamDecisions;
use divvy::bucket::{Gate, Position, Share};
use divvy::condition::EvaluationContext;
use divvy::decision::{Decision, Reason};
use divvy::policy::{Policy, Rollout, RolloutId, Strategy, VersionId, Weight};
use divvy::request::Request;
use divvy::scope::Scope;
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
    pub(super) fn new(step: &'static str, text: impl Into<String>) -> Self {
        Self {
            step,
            text: text.into(),
            condition: None,
            position: None,
            threshold: None,
        }
    }

    pub(super) fn at(self, position: Option<Position>, threshold: Share) -> Self {
        let position = position.map(Position::get);
        Self {
            position,
            threshold: Some(threshold.ppm()),
            ..self
        }
    }
}

/// The ways to all decisions.
pub fn all(
    policy: &Policy,
    raw: &Value,
    request: &Request<'_>,
    decisions: &[Decision],
) -> Vec<RolloutSteps> {
    let visitor = policy.visitor(request);
    let upstream = UpstreamDecisions::new(request, policy.inheritance.as_ref());
    let written = raw
        .get("rollouts")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let mut all = Vec::new();
    for ((id, rollout), raw) in policy.numbered().zip(written) {
        let decision = decisions.iter().find(|decision| decision.rollout == id);
        let earlier = decisions.partition_point(|decision| decision.rollout < id);
        let context = EvaluationContext {
            request,
            visitor: &visitor,
            decisions: &decisions[..earlier],
            upstream: &upstream,
        };
        let mut way = Way {
            id,
            rollout,
            raw,
            context,
            steps: Vec::new(),
        };
        way.scopes(policy.scopes.of(id), decision.is_some());
        if let Some(decision) = decision {
            way.walk(decision);
        }
        let version = decision.and_then(|decision| rollout.version(decision.version));
        all.push(RolloutSteps {
            rollout: rollout.name.to_string(),
            matches: decision.is_some(),
            version: version.map(|version| version.name.to_string()),
            reason: decision.map(|decision| decision.reason.name()),
            steps: way.steps,
        });
    }
    all
}

/// The way to one decision, as far as it was gone.
pub(super) struct Way<'w, 'f, 'a, 'r> {
    id: RolloutId,
    rollout: &'w Rollout,
    raw: &'w Value,
    pub(super) context: EvaluationContext<'f, 'a, 'r>,
    pub(super) steps: Vec<StepReport>,
}

impl Way<'_, '_, '_, '_> {
    pub(super) fn say(&mut self, step: &'static str, text: impl Into<String>) {
        self.steps.push(StepReport::new(step, text));
    }

    pub(super) fn name(&self, version: VersionId) -> &str {
        self.rollout
            .version(version)
            .map_or("", |version| &version.name)
    }

    fn scopes<'s>(&mut self, scopes: impl Iterator<Item = &'s Scope>, matches: bool) {
        let request = self.context.request;
        let mut any = false;
        for (nth, scope) in scopes.enumerate() {
            any = true;
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
                        || request.method.is_some_and(|asked| {
                            scope.methods.iter().any(|method| **method == *asked)
                        }),
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
            self.say("match", text);
        }
        if !any {
            self.say("match", "looks at every request");
        } else if !matches {
            self.say("match", "nothing fits: this rollout decides nothing");
        }
    }

    /// Goes as far as the decision did.
    fn walk(&mut self, decision: &Decision) {
        if decision.reason == Reason::Disabled {
            return self.say("enabled", "no: stable for everybody");
        }
        self.say("enabled", "yes");
        self.upstream();
        let mut decided = decision.reason == Reason::Inherited;
        if !decided {
            decided = self.rules();
        }
        if !decided {
            self.strategy(decision.reason);
        }
        self.guardrail(decision);
    }

    fn upstream(&mut self) {
        let upstream = self.context.upstream;
        let text = match upstream.get(&self.rollout.name) {
            Some(member) => {
                let version = member.version.as_deref().unwrap_or_default();
                match self.rollout.version_of_name(version) {
                    Some(_) => format!("a trusted proxy decided {}", member.text),
                    None => format!(
                        "a trusted proxy decided {}, a version not here",
                        member.text
                    ),
                }
            }
            None => "nothing was decided upstream by anybody trusted".to_owned(),
        };
        self.say("upstream", text);
    }

    /// Whether a rule decided.
    fn rules(&mut self) -> bool {
        let written = self.raw.get("rules").and_then(Value::as_array);
        let written = written.map_or(&[][..], Vec::as_slice);
        let rollout = self.rollout;
        for (rule, raw) in rollout.rules.iter().zip(written) {
            let when = raw.get("when").unwrap_or(&Value::Null);
            let truth = condition::truth(&rule.when, when, &self.context);
            let holds = truth.holds;
            let gate = rule.percent.as_ref().filter(|_| holds);
            let admitted = gate.is_none_or(|gate| self.admits(gate));
            let matched = holds && admitted;
            let verdict = match (holds, matched) {
                (_, true) => format!("matches: {}", self.name(rule.version)),
                (true, false) => "holds, and its percent does not let in".to_owned(),
                _ => "does not match".to_owned(),
            };
            let mut step = StepReport::new("rule", format!("{} {verdict}", rule.name));
            step.condition = Some(truth);
            if let Some(gate) = gate {
                let position = self
                    .context
                    .visitor
                    .any_identity()
                    .map(|who| gate.position(who));
                step = step.at(position, gate.share());
            }
            self.steps.push(step);
            if matched {
                return true;
            }
        }
        false
    }

    fn admits(&self, gate: &Gate) -> bool {
        self.context
            .visitor
            .any_identity()
            .is_some_and(|who| gate.admits(who))
    }

    /// Goes as far as the strategy did: the reason says where it ended.
    fn strategy(&mut self, reason: Reason) {
        match &self.rollout.strategy {
            Strategy::Canary {
                version,
                line,
                weight,
            } => {
                let share = match weight {
                    Weight::Fixed(share) => *share,
                    Weight::Clock => {
                        let request = self.context.request;
                        let share =
                            self.rollout
                                .clocked(self.id, request.now(), request.environment());
                        share.unwrap_or(Share::NONE)
                    }
                };
                let recalled = self.sticky();
                if reason == Reason::Sticky {
                    return;
                }
                let canary = self.name(*version).to_owned();
                if share.foregone().is_none() && recalled.is_none() {
                    self.identity();
                    if reason == Reason::NoIdentity {
                        return;
                    }
                }
                let position = recalled.or_else(|| {
                    self.context
                        .visitor
                        .any_identity()
                        .map(|who| line.position(who))
                });
                let grown = if *weight == Weight::Clock {
                    ", by the clock"
                } else {
                    ""
                };
                let text = format!("canary {canary} has {}{grown}", percent(share));
                self.steps
                    .push(StepReport::new("strategy", text).at(position, share));
            }
            Strategy::AbTest(test) => self.ab_test(test, reason),
            Strategy::BlueGreen { active } => {
                let text = format!("{} is active", self.name(*active));
                self.say("strategy", text);
            }
            Strategy::Follow { leader, .. } => {
                self.say("strategy", format!("follows {leader}"));
            }
        }
    }

    /// What the cookie says; the position that it remembers.
    pub(super) fn sticky(&mut self) -> Option<Position> {
        let sticky = self.rollout.sticky.as_ref()?;
        let memory = sticky.recall(self.context.request, self.rollout.version_names());
        let cookie = &sticky.set.name;
        let Some(memory) = memory else {
            self.say("sticky", format!("no cookie {cookie} of this revision"));
            return None;
        };
        let text = match memory.version {
            Some(version) => format!("cookie {cookie} remembers {}", self.name(version)),
            None => format!("cookie {cookie} remembers that nothing was given"),
        };
        let mut step = StepReport::new("sticky", text);
        step.position = Some(memory.position.get());
        self.steps.push(step);
        Some(memory.position)
    }

    pub(super) fn identity(&mut self) {
        let text = match self.context.visitor.any_identity() {
            Some(who) => format!("{:?}", String::from_utf8_lossy(who)),
            None => "none".to_owned(),
        };
        self.say("identity", text);
    }

    fn guardrail(&mut self, decision: &Decision) {
        if self
            .rollout
            .plan
            .as_ref()
            .is_none_or(|plan| !plan.is_guarded())
        {
            return;
        }
        let text = if decision.judged {
            "counts for it; what it has taken back, only a running proxy knows"
        } else {
            "does not count for it"
        };
        self.say("guardrail", text);
    }
}

/// A share as a configuration has it.
pub fn percent(share: Share) -> String {
    let text = format!("{:.4}", f64::from(share.ppm()) / 1e4);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
