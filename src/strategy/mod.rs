//! How a rollout chooses a version. One file per strategy holds its data, choice, shares,
//! needed identity, possible answers and the steps that `divvy explain` prints.
//!
//! Must not depend on `policy` or `decide`, which use it; no other module matches on
//! [`Strategy`]. A new strategy is a file here, a variant below, and its shape and compilation
//! in `config`.

mod ab_test;
mod blue_green;
mod canary;
mod choice;
mod follow;
pub mod trace;

pub use ab_test::AbTest;
pub use blue_green::BlueGreen;
pub use canary::{Canary, Weight, ramp_share};
use choice::StrategyBehaviour;
pub use choice::{AnswerInputs, Choice, Inputs, NeededIdentity, ShareInputs, Shares};
pub use follow::{Follow, Leader};

use crate::bucket::Key;
use crate::decision::{Decision, Reason, RolloutId, VersionId};
use trace::Trace;

/// How a rollout chooses a version.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// A share of the users gets a new version.
    Canary(Canary),
    /// Admitted users are split between arms.
    AbTest(AbTest),
    /// Every user gets the active version.
    BlueGreen(BlueGreen),
    /// Every user gets the version of another rollout.
    Follow(Follow),
}

impl Strategy {
    /// The version for a request.
    ///
    /// # Errors
    /// The reason why the strategy cannot choose; stable serves then.
    pub fn choose(
        &self,
        inputs: &Inputs<'_, '_, '_>,
        trace: &mut impl Trace,
    ) -> Result<Choice, Reason> {
        match self {
            Self::Canary(canary) => canary.choose(inputs, trace),
            Self::AbTest(test) => test.choose(inputs, trace),
            Self::BlueGreen(pair) => Ok(pair.choose(inputs, trace)),
            Self::Follow(follow) => Ok(follow.choose(inputs, trace)),
        }
    }

    fn behaviour(&self) -> &dyn StrategyBehaviour {
        match self {
            Self::Canary(canary) => canary,
            Self::AbTest(test) => test,
            Self::BlueGreen(pair) => pair,
            Self::Follow(follow) => follow,
        }
    }

    /// The identity without which it cannot choose.
    pub fn needed_identity(&self) -> Option<NeededIdentity> {
        self.behaviour().needed_identity()
    }

    /// The shares of its versions in force; the rest is stable's. Rollbacks are not considered.
    pub fn shares(&self, inputs: &ShareInputs<'_>) -> Shares {
        self.behaviour().shares(inputs)
    }

    /// Appends every answer that [`Strategy::choose`] can give.
    pub fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        self.behaviour().add_answers(inputs, answers);
    }

    /// The version whose share grows by a ramp.
    pub fn ramped_version(&self) -> Option<VersionId> {
        self.behaviour().ramped_version()
    }

    /// The version that serves every user, if the strategy names one, and its field below
    /// `strategy`.
    pub fn sole_version(&self) -> Option<(VersionId, &'static str)> {
        self.behaviour().sole_version()
    }

    /// The key of its layer; the salt is the layer's name.
    pub fn layer(&self) -> Option<&Key> {
        self.behaviour().layer()
    }

    /// The key of the holdout that it obeys; the salt is the holdout's name.
    pub fn holdout(&self) -> Option<&Key> {
        self.behaviour().holdout()
    }

    /// The earlier rollout that it follows.
    pub fn leader(&self) -> Option<RolloutId> {
        self.behaviour().leader()
    }

    /// Why a rollout with this strategy cannot be sticky.
    pub fn sticky_refusal(&self) -> Option<&'static str> {
        self.behaviour().sticky_refusal()
    }

    /// Whether a decision puts the user into the experiment.
    pub fn is_enrolled(&self, decision: &Decision, stable: VersionId) -> bool {
        self.behaviour().is_enrolled(decision, stable)
    }

    /// Whether the users outside the experiment are its control group.
    pub fn compares_with_all(&self) -> bool {
        self.behaviour().compares_with_all()
    }
}
