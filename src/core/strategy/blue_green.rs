//! Blue/green: every user gets the active version.

use super::choice::{AnswerInputs, Choice, Inputs, ShareInputs, Shares, StrategyBehaviour};
use super::trace::{Trace, TraceStep};
use crate::bucket::Share;
use crate::decision::{Reason, VersionId};

/// A blue/green pair.
#[derive(Clone, Copy, Debug)]
pub struct BlueGreen {
    /// The active version.
    pub active: VersionId,
}

impl BlueGreen {
    pub(super) fn choose(&self, inputs: &Inputs<'_, '_, '_>, trace: &mut impl Trace) -> Choice {
        trace.step(|| {
            TraceStep::new(
                "strategy",
                format!("{} is active", inputs.name(self.active)),
            )
        });
        Choice::new(self.active, Reason::Active)
    }
}

impl StrategyBehaviour for BlueGreen {
    fn shares(&self, _: &ShareInputs<'_>) -> Shares {
        vec![(self.active, Share::ALL)]
    }

    fn add_answers(&self, _: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>) {
        answers.push((self.active, Reason::Active));
    }

    fn sole_version(&self) -> Option<(VersionId, &'static str)> {
        Some((self.active, "blueGreen.active"))
    }

    fn sticky_refusal(&self) -> Option<&'static str> {
        Some("has no effect with blueGreen: all users get the same version")
    }
}
