//! How a rollout chooses.

use crate::bucket::{Gate, Key, Share, Span, Split};
use crate::decision::{RolloutId, VersionId};

/// How a rollout chooses a version.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// A share of the users gets the new version, the rest stable.
    Canary {
        /// The new version.
        version: VersionId,
        /// Where users stand who may get it.
        line: Key,
        /// How many of them do.
        weight: Weight,
    },
    /// Those who are let in are split between the arms.
    AbTest(AbTest),
    /// Everyone gets the active version.
    BlueGreen {
        /// Which that is.
        active: VersionId,
    },
    /// Everyone gets the version that an earlier rollout has chosen: one here or, if that
    /// decided nothing, one of a trusted proxy upstream.
    Follow {
        /// The rollout's name.
        leader: Box<str>,
        /// Which rollout here that is and, by its versions, the one of the same name in this.
        here: Option<(RolloutId, Vec<Option<VersionId>>)>,
    },
}

/// How many users a canary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As many as the configuration says.
    Fixed(Share),
    /// As many as the clock says, by the rollout's [`Plan`].
    Clock,
}

/// A test between several versions.
#[derive(Clone, Debug)]
pub struct AbTest {
    /// Who is kept out of it, like out of all tests that obey the holdout.
    pub holdout: Option<Gate>,
    /// The range of its layer that it takes place in.
    pub layer: Option<Span>,
    /// Who is let in of those.
    pub traffic: Gate,
    /// Between what they are split.
    pub split: Split<VersionId>,
}

impl AbTest {
    /// How many of all users take part.
    pub fn share(&self) -> Share {
        let holdout = self.holdout.as_ref().map_or(Share::NONE, Gate::share);
        let layer = self.layer.as_ref().map_or(Share::ALL, Span::share);
        self.traffic.share().of(layer).of(holdout.rest())
    }

    /// Whether it cannot choose without knowing who the user is.
    pub fn needs_identity(&self) -> bool {
        let holdout = self.holdout.as_ref().and_then(Gate::foregone);
        if self.holdout.is_some() && holdout != Some(false) {
            return holdout.is_none();
        }
        if self.layer.as_ref().is_some_and(|layer| !layer.is_whole()) {
            return true;
        }
        match self.traffic.foregone() {
            Some(false) => false,
            Some(true) => self.split.foregone().is_none(),
            None => true,
        }
    }
}

impl Strategy {
    /// Whether it cannot choose without knowing who the user is.
    pub fn needs_identity(&self) -> bool {
        match self {
            Self::Canary { weight, .. } => match weight {
                Weight::Fixed(share) => share.foregone().is_none(),
                Weight::Clock => true,
            },
            Self::AbTest(test) => test.needs_identity(),
            Self::BlueGreen { .. } | Self::Follow { .. } => false,
        }
    }
}
