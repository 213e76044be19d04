//! What was decided, and why: values that everything behind the decision reads.

use smallvec::SmallVec;

/// The number of a rollout in its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RolloutId(pub u16);

/// The number of a version in its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(pub u16);

/// Why a version was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The rollout is switched off.
    Disabled,
    /// A trusted proxy upstream has decided.
    Inherited,
    /// A rule asked for it.
    Rule,
    /// A hash was needed and the request names nobody.
    NoIdentity,
    /// The user is kept out of A/B tests.
    Holdout,
    /// The user lies outside the test's range of its layer.
    Excluded,
    /// A cookie says that the user has had it.
    Sticky,
    /// The A/B test's traffic gate kept the user out.
    NotEnrolled,
    /// By the user's position: a canary and the stable share beside it, an arm of a test.
    Split,
    /// It is the active one of a blue/green pair.
    Active,
    /// Another rollout has chosen the version of this name.
    Follow,
    /// The guardrail took the version back.
    RolledBack,
    /// Something went wrong on the request path.
    Error,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Disabled,
        Self::Inherited,
        Self::Rule,
        Self::NoIdentity,
        Self::Holdout,
        Self::Excluded,
        Self::Sticky,
        Self::NotEnrolled,
        Self::Split,
        Self::Active,
        Self::Follow,
        Self::RolledBack,
        Self::Error,
    ];

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether a strategy chose, and neither a person nor a doubt: what comes of it says how
    /// a version does.
    pub const fn is_chosen(self) -> bool {
        matches!(
            self,
            Self::Split | Self::Sticky | Self::Active | Self::Follow
        )
    }

    /// As it stands in the assignment and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Inherited => "inherited",
            Self::Rule => "rule",
            Self::NoIdentity => "no_identity",
            Self::Holdout => "holdout",
            Self::Excluded => "excluded",
            Self::Sticky => "sticky",
            Self::NotEnrolled => "not_enrolled",
            Self::Split => "split",
            Self::Active => "active",
            Self::Follow => "follow",
            Self::RolledBack => "rolled_back",
            Self::Error => "error",
        }
    }
}

/// What was decided for one rollout.
// Eight bytes that are moved as one.
#[repr(align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which rollout.
    pub rollout: RolloutId,
    /// Which version serves.
    pub version: VersionId,
    /// Why.
    pub reason: Reason,
    /// Whether what comes of it counts for the guardrail: the decisions that it could take
    /// back, and those of stable that they are compared with. Where somebody asked for a
    /// version, as a tester does, it says nothing about users.
    pub judged: bool,
    /// Where it is inherited: why, there where it was decided first.
    pub upstream: Option<Reason>,
}

/// What was decided for a request: of up to three rollouts without memory of its own.
pub type Decisions = SmallVec<[Decision; 3]>;

/// The version that was chosen for a rollout, if it has been asked by now.
pub fn version_of(decisions: &[Decision], rollout: RolloutId) -> Option<VersionId> {
    // They stand in the order of the rollouts.
    let place = decisions.binary_search_by_key(&rollout, |decision| decision.rollout);
    Some(decisions.get(place.ok()?)?.version)
}
