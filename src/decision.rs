//! The vocabulary of decisions: rollouts and versions by number, reasons, decisions.
//!
//! A leaf: depends on no other module.

/// Index of a rollout in its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RolloutId(pub u16);

/// Index of a version in its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(pub u16);

/// A variant of the service.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// The value of the route header; `None` if the rollout only tags.
    pub target: Option<Box<str>>,
    /// Its member of the assignment up to the reason, `checkout=v2;reason=`.
    pub member: Box<str>,
}

/// The version with a name.
pub fn find_version(versions: &[Version], name: &[u8]) -> Option<VersionId> {
    let mut all = (0..).map(VersionId).zip(versions);
    let found = all.find(|(_, version)| version.name.as_bytes() == name);
    found.map(|(id, _)| id)
}

/// Why a version was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The rollout has `enabled: false`.
    Disabled,
    /// A trusted upstream proxy decided.
    Inherited,
    /// A rule matched.
    Rule,
    /// The decision needed an identity and the request has none.
    NoIdentity,
    /// The user is kept out of A/B tests.
    Holdout,
    /// The user is outside the test's range of its layer.
    Excluded,
    /// The sticky cookie names it.
    Sticky,
    /// The user is outside the traffic of the A/B test.
    NotEnrolled,
    /// By the user's position: a canary or the stable share beside it, or an arm of a test.
    Split,
    /// The active version of a blue/green pair.
    Active,
    /// The followed rollout has the version of this name.
    Follow,
    /// The guardrail rolled the version back.
    RolledBack,
    /// Something failed on the request path.
    Error,
}

impl Reason {
    /// All reasons, in the order of their numbers.
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

    /// The reason with a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether a strategy chose the version, so that the response says something about it: not
    /// a rule, and not a fallback to stable.
    pub const fn is_chosen(self) -> bool {
        matches!(
            self,
            Self::Split | Self::Sticky | Self::Active | Self::Follow
        )
    }

    /// The name in the assignment and in labels.
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

/// The decision of one rollout.
#[repr(align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rollout.
    pub rollout: RolloutId,
    /// The version that serves the request.
    pub version: VersionId,
    /// Why.
    pub reason: Reason,
    /// Whether the response counts for the guardrail: decisions that it could roll back, and
    /// those of stable that they are compared with. Not if a rule forces a version for testers.
    pub judged: bool,
    /// The reason of the proxy that decided first, if this decision is inherited.
    pub upstream: Option<Reason>,
}

/// The decision of a rollout, if it has one. `decisions` are in the order of the rollouts.
pub fn find_decision(decisions: &[Decision], rollout: RolloutId) -> Option<&Decision> {
    let place = decisions.binary_search_by_key(&rollout, |decision| decision.rollout);
    decisions.get(place.ok()?)
}
