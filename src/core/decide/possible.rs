//! The possible answers of a rollout.

use crate::decision::{Reason, VersionId};
use crate::guardrail::OnBreach;
use crate::policy::{Policy, Rollout};
use crate::strategy::AnswerInputs;

/// Every answer that a rollout can give, so that its series exist before the first request.
/// An answer that has two causes is listed twice.
pub fn possible(policy: &Policy, rollout: &Rollout) -> Vec<(VersionId, Reason)> {
    let stable = rollout.stable;
    let mut answers = vec![(stable, Reason::Error)];
    if !rollout.enabled {
        answers.push((stable, Reason::Disabled));
        return answers;
    }
    let versions = rollout.versions.len();
    if policy.overrides.is_some() {
        let all = (0..).map(VersionId).take(versions);
        answers.extend(all.map(|version| (version, Reason::Override)));
    }
    let inherits = policy.inheritance.is_some();
    if inherits {
        let all = (0..).map(VersionId).take(versions);
        answers.extend(all.map(|version| (version, Reason::Inherited)));
    }
    for rule in &rollout.rules {
        let versions = rule.possible().into_iter();
        answers.extend(versions.map(|version| (version, Reason::Rule)));
    }
    if rollout.strategy.behaviour().needed_identity().is_some() {
        answers.push((stable, Reason::NoIdentity));
    }
    let guarded = rollout.plan.as_ref().filter(|plan| plan.is_guarded());
    if guarded.is_some_and(|plan| plan.on_breach() == OnBreach::Rollback) {
        answers.push((stable, Reason::RolledBack));
    }
    let inputs = AnswerInputs {
        stable,
        versions,
        is_sticky: rollout.sticky.is_some(),
        inherits,
    };
    let strategy = rollout.strategy.behaviour();
    let mut chosen = Vec::new();
    strategy.add_answers(&inputs, &mut chosen);
    // A CORS preflight has no identity, and what a strategy chooses without one gets this reason.
    let needs_none = strategy.needed_identity().is_none();
    let without_identity = |(version, reason): &(VersionId, Reason)| match reason {
        Reason::Sticky => true,
        // A ramp that has reached 100 % needs none either.
        Reason::Split => needs_none || strategy.ramped_version() == Some(*version),
        _ => false,
    };
    let preflights = chosen.iter().filter(|answer| without_identity(answer));
    answers.extend(preflights.map(|(version, _)| (*version, Reason::NoIdentity)));
    answers.append(&mut chosen);
    if answers.iter().any(|(id, _)| rollout.watches(*id)) {
        answers.push((stable, Reason::Unreachable));
    }
    answers
}
