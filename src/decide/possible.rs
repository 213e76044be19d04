//! What a rollout can decide.

use crate::bucket::{Gate, Share};
use crate::decision::{Reason, VersionId};
use crate::guardrail::OnBreach;
use crate::policy::{AbTest, Policy, Rollout, Strategy, Weight};

/// Every answer that a rollout can give, so that its series exist before the first
/// request. An answer that can come about in two ways is listed twice.
pub fn possible(policy: &Policy, rollout: &Rollout) -> Vec<(VersionId, Reason)> {
    let stable = rollout.stable;
    let mut answers = vec![(stable, Reason::Error)];
    if !rollout.enabled {
        answers.push((stable, Reason::Disabled));
        return answers;
    }
    let versions = || (0..).map(VersionId).zip(&rollout.versions);
    if policy.inheritance.is_some() {
        for (version, _) in versions() {
            answers.push((version, Reason::Inherited));
        }
    }
    for rule in &rollout.rules {
        answers.push((rule.version, Reason::Rule));
    }
    if rollout.strategy.needs_identity() {
        answers.push((stable, Reason::NoIdentity));
    }
    let guarded = rollout.plan.as_ref().filter(|plan| plan.is_guarded());
    if guarded.is_some_and(|plan| plan.on_breach() == OnBreach::Rollback) {
        answers.push((stable, Reason::RolledBack));
    }
    let sticky = rollout.sticky.is_some();
    match &rollout.strategy {
        Strategy::Canary {
            version,
            weight: Weight::Clock,
            ..
        } => {
            answers.push((stable, Reason::Split));
            answers.push((*version, Reason::Split));
            if sticky {
                answers.push((*version, Reason::Sticky));
            }
        }
        Strategy::Canary {
            version,
            weight: Weight::Fixed(share),
            ..
        } => {
            if *share < Share::ALL {
                answers.push((stable, Reason::Split));
            }
            if *share > Share::NONE {
                answers.push((*version, Reason::Split));
                if sticky {
                    answers.push((*version, Reason::Sticky));
                }
            }
        }
        Strategy::AbTest(test) => possible_in(test, stable, sticky, &mut answers),
        Strategy::BlueGreen { active } => answers.push((*active, Reason::Active)),
        Strategy::Follow { here, .. } => {
            // Stable even if the leader has it not: it may not look at the request.
            answers.push((stable, Reason::Follow));
            if let Some((_, versions)) = here {
                for version in versions.iter().flatten() {
                    answers.push((*version, Reason::Follow));
                }
            }
            // Upstream it may have chosen any of them.
            if policy.inheritance.is_some() {
                for (version, _) in versions() {
                    answers.push((version, Reason::Follow));
                }
            }
        }
    }
    answers
}

fn possible_in(
    test: &AbTest,
    stable: VersionId,
    sticky: bool,
    answers: &mut Vec<(VersionId, Reason)>,
) {
    let holdout = test.holdout.as_ref();
    match holdout.map_or(Some(false), Gate::foregone) {
        Some(false) => {}
        None => answers.push((stable, Reason::Holdout)),
        Some(true) => return answers.push((stable, Reason::Holdout)),
    }
    if test.layer.as_ref().is_some_and(|layer| !layer.is_whole()) {
        answers.push((stable, Reason::Excluded));
    }
    if test.traffic.foregone() != Some(true) {
        answers.push((stable, Reason::NotEnrolled));
    }
    if test.traffic.foregone() != Some(false) {
        let arms = test.split.shares();
        for (arm, _) in arms {
            answers.push((arm, Reason::Split));
            if sticky {
                answers.push((arm, Reason::Sticky));
            }
        }
    }
}
