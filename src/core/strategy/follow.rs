//! Follow: every user gets the version of the same name as in an earlier rollout, here or, if
//! that decided nothing, in a trusted proxy upstream. Stable, if there is no such version.

use super::choice::{AnswerInputs, Choice, Inputs, ShareInputs, Shares, StrategyBehaviour};
use super::trace::{Trace, TraceStep};
use crate::decision::{Decision, Reason, RolloutId, VersionId, find_decision};

/// A rollout that follows another one.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The name of the followed rollout.
    pub name: Box<str>,
    /// The followed rollout, if it is in this configuration.
    pub leader: Option<Leader>,
}

/// A followed rollout of this configuration.
#[derive(Clone, Debug)]
pub struct Leader {
    /// The rollout.
    pub id: RolloutId,
    /// For each of its versions: the version of the same name in the following rollout.
    pub versions: Vec<Option<VersionId>>,
}

impl Leader {
    fn translate(&self, version: VersionId) -> Option<VersionId> {
        *self.versions.get(usize::from(version.0))?
    }
}

impl Follow {
    pub(super) fn choose(&self, inputs: &Inputs<'_, '_, '_>, trace: &mut impl Trace) -> Choice {
        trace.step(|| TraceStep::new("strategy", format!("follows {}", self.name)));
        let decided = self.leader.as_ref().and_then(|leader| {
            let decision = find_decision(inputs.context.decisions, leader.id)?;
            Some((leader, decision))
        });
        let (version, forced) = match decided {
            Some((leader, decision)) => (leader.translate(decision.version), is_forced(decision)),
            None => match inputs.context.upstream.get(&self.name) {
                Some(member) => {
                    let name = member.version.as_deref();
                    let version = name.and_then(|name| inputs.find(name));
                    let chosen = member.reason.is_some_and(Reason::is_chosen);
                    (version, !chosen)
                }
                None => (None, false),
            },
        };
        Choice {
            // Visitor follows a forced version was forced as well.
            judged: !forced,
            ..Choice::new(version.unwrap_or(inputs.stable), Reason::Follow)
        }
    }
}

/// Whether a rule asked for the version of this decision, directly or through other rollouts.
const fn is_forced(decision: &Decision) -> bool {
    match decision.reason {
        Reason::Follow | Reason::Rule | Reason::Inherited => !decision.judged,
        _ => false,
    }
}

impl StrategyBehaviour for Follow {
    fn shares(&self, inputs: &ShareInputs<'_>) -> Shares {
        let Some(leader) = &self.leader else {
            return Shares::new();
        };
        let shares = inputs.leader.into_iter().flatten();
        shares
            .filter_map(|(version, share)| Some((leader.translate(*version)?, *share)))
            .collect()
    }

    fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        // The leader may not match the request.
        answers.push((inputs.stable, Reason::Follow));
        let here = self.leader.iter().flat_map(|leader| &leader.versions);
        answers.extend(here.flatten().map(|version| (*version, Reason::Follow)));
        // Upstream it may have chosen any version.
        if inputs.inherits {
            let all = (0..).map(VersionId).take(inputs.versions);
            answers.extend(all.map(|version| (version, Reason::Follow)));
        }
    }

    fn leader(&self) -> Option<RolloutId> {
        Some(self.leader.as_ref()?.id)
    }

    fn sticky_refusal(&self) -> Option<&'static str> {
        Some("has no effect with follow: make the followed rollout sticky")
    }
}
