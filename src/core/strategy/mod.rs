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
mod weighted;

pub use ab_test::AbTest;
pub use blue_green::BlueGreen;
pub use canary::{Canary, Weight, ramp_share};
pub use choice::{
    AnswerInputs, Choice, Inputs, NeededIdentity, ShareInputs, Shares, StrategyBehaviour,
};
pub use follow::{Follow, Leader};
pub use weighted::Weighted;

use crate::decision::Reason;
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
    /// Every user gets one of several versions, by weights.
    Weighted(Weighted),
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
            Self::Weighted(weighted) => weighted.choose(inputs, trace),
            Self::BlueGreen(pair) => Ok(pair.choose(inputs, trace)),
            Self::Follow(follow) => Ok(follow.choose(inputs, trace)),
        }
    }

    /// What can be asked of it beside its choice.
    pub fn behaviour(&self) -> &dyn StrategyBehaviour {
        match self {
            Self::Canary(canary) => canary,
            Self::AbTest(test) => test,
            Self::Weighted(weighted) => weighted,
            Self::BlueGreen(pair) => pair,
            Self::Follow(follow) => follow,
        }
    }
}
