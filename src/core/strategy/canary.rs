//! A canary: a share of the users gets the new version, the others get stable.

use super::choice::{
    AnswerInputs, Choice, Inputs, NeededIdentity, ShareInputs, Shares, StrategyBehaviour,
};
use super::trace::{Trace, TraceStep, by_hash, percent};
use crate::bucket::{Share, UserLine};
use crate::decision::{Decision, Reason, RolloutId, VersionId};
use crate::guardrail::{self, Arm, Plan};
use crate::request::Environment;

/// A canary.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The new version.
    pub version: VersionId,
    /// The line of the users' positions; those below the share get the new version.
    pub line: UserLine,
    /// The share.
    pub weight: Weight,
}

/// The share of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A constant.
    Fixed(Share),
    /// The share that the ramp of the rollout's [`Plan`] has reached.
    Ramp,
}

impl Canary {
    pub(super) fn choose(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<Choice, Reason> {
        let share = match self.weight {
            Weight::Fixed(share) => share,
            Weight::Ramp => {
                let request = inputs.context.request;
                let (plan, now) = (inputs.plan, request.now());
                ramp_share(inputs.rollout, plan, now, request.environment()).ok_or(Reason::Error)?
            }
        };
        let cookie = inputs.remembered(trace);
        if cookie.version() == Some(self.version) && share > Share::NONE {
            return Ok(Choice::held(self.version, &cookie));
        }
        // A sticky canary of 100 % remembers positions as well, so that its users keep it
        // when the share shrinks.
        let depends = share.constant().is_none() || (cookie.is_sticky && share > Share::NONE);
        let position = match cookie.position() {
            None if depends => inputs
                .any_identity(trace)
                .map(|identity| self.line.position(identity)),
            known => known,
        };
        let admitted = match share.constant() {
            Some(admitted) => admitted,
            None => share.admits(position.ok_or(Reason::NoIdentity)?),
        };
        trace.step(|| {
            let by_ramp = match self.weight {
                Weight::Fixed(_) => "",
                Weight::Ramp => " by its ramp",
            };
            let name = inputs.name(self.version);
            let by_hash = by_hash(self.line.system());
            let text = format!("canary {name} has {}{by_ramp}{by_hash}", percent(share));
            TraceStep::new("strategy", text).at(position).below(share)
        });
        let version = if admitted {
            self.version
        } else {
            inputs.stable
        };
        let reason = cookie.reason(share.constant().is_none());
        let choice = Choice::new(version, reason);
        Ok(choice.remembering(&cookie, Some(version), position))
    }
}

/// The share that the ramp of a rollout has reached at `now`, in milliseconds since 1970.
/// `None` without a ramp or a clock.
pub fn ramp_share(
    rollout: RolloutId,
    plan: Option<&Plan>,
    now: Option<u64>,
    environment: &dyn Environment,
) -> Option<Share> {
    let (plan, now) = (plan?, now?);
    let state = environment.guardrail_state(rollout);
    Some(guardrail::weight(plan, state.as_deref(), Arm::RAMPED, now))
}

impl StrategyBehaviour for Canary {
    fn needed_identity(&self) -> Option<NeededIdentity> {
        let depends = match self.weight {
            Weight::Fixed(share) => share.constant().is_none(),
            Weight::Ramp => true,
        };
        depends.then_some(NeededIdentity::Any)
    }

    fn shares(&self, inputs: &ShareInputs<'_>) -> Shares {
        let share = match self.weight {
            Weight::Fixed(share) => share,
            Weight::Ramp => inputs.ramp.unwrap_or(Share::NONE),
        };
        vec![(self.version, self.line.admitted(share))]
    }

    fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        let (some_stay, some_go) = match self.weight {
            Weight::Fixed(share) => (share < Share::ALL, share > Share::NONE),
            Weight::Ramp => (true, true),
        };
        if some_stay {
            answers.push((inputs.stable, Reason::Split));
            // By the position in the cookie.
            if inputs.is_sticky && some_go {
                answers.push((inputs.stable, Reason::Sticky));
            }
        }
        if some_go {
            answers.push((self.version, Reason::Split));
            if inputs.is_sticky {
                answers.push((self.version, Reason::Sticky));
            }
        }
    }

    fn ramped_version(&self) -> Option<VersionId> {
        (self.weight == Weight::Ramp).then_some(self.version)
    }

    fn is_enrolled(&self, decision: &Decision, stable: VersionId) -> bool {
        decision.version != stable
    }

    fn compares_with_all(&self) -> bool {
        true
    }
}
