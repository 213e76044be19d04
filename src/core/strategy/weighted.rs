//! Weighted: every user gets one of several versions, stable among them if it is listed.
//!
//! Must not depend on other strategies. It differs from an A/B test: no user is kept out, a random
//! identity is enough, and a user whose version has no share any more gets another one.

use super::choice::{
    AnswerInputs, Choice, Inputs, NeededIdentity, ShareInputs, Shares, StrategyBehaviour,
};
use super::trace::Trace;
use crate::bucket::{Arms, UserLine};
use crate::decision::{Decision, Reason, VersionId};

/// A split of all users.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// The versions.
    pub split: Arms<VersionId>,
    /// The line of the positions in sticky cookies. No version depends on them; another strategy
    /// that replaces this one continues with them.
    pub line: UserLine,
}

impl Weighted {
    /// A sticky cookie holds its version while that has a share, also without an identity.
    pub(super) fn choose(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<Choice, Reason> {
        let cookie = inputs.remembered(trace);
        if let Some(version) = cookie.version().filter(|id| self.split.has(*id)) {
            return Ok(Choice::held(version, &cookie));
        }
        let position = match cookie.position() {
            None if cookie.is_sticky => inputs
                .any_identity(trace)
                .map(|identity| self.line.position(identity)),
            known => known,
        };
        let arm = inputs.arm(&self.split, NeededIdentity::Any, cookie.position(), trace)?;
        let Some(version) = arm else {
            let choice = Choice::new(inputs.stable, Reason::NotEnrolled);
            return Ok(choice.remembering(&cookie, None, position));
        };
        let reason = cookie.reason(self.split.depends_on_position());
        let choice = Choice::new(version, reason);
        Ok(choice.remembering(&cookie, Some(version), position))
    }
}

impl StrategyBehaviour for Weighted {
    fn needed_identity(&self) -> Option<NeededIdentity> {
        self.split
            .constant()
            .is_none()
            .then_some(NeededIdentity::Any)
    }

    fn shares(&self, _: &ShareInputs<'_>) -> Shares {
        self.split.shares()
    }

    fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        for (version, _) in self.split.shares() {
            answers.push((version, Reason::Split));
            if inputs.is_sticky {
                answers.push((version, Reason::Sticky));
            }
        }
        if self.split.leaves_some() {
            answers.push((inputs.stable, Reason::NotEnrolled));
        }
    }

    fn is_enrolled(&self, decision: &Decision, stable: VersionId) -> bool {
        decision.version != stable
    }

    fn compares_with_all(&self) -> bool {
        true
    }
}
