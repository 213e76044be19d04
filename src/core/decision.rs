//! The vocabulary of decisions: rollouts and versions by number, reasons, decisions.
//!
//! A leaf: depends on no other module.

use smallvec::SmallVec;

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

/// Generates [`Reason`] and its properties from one table.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident $name:literal $is_chosen:literal)*) => {
        /// Why a version was chosen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$reason),*];

            /// The name in the assignment and in labels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// Whether a strategy chose the version, so that the response says something about
            /// it: not a rule, and not a fallback to stable.
            pub const fn is_chosen(self) -> bool {
                match self {
                    $(Self::$reason => $is_chosen,)*
                }
            }
        }
    };
}

// The reason, its name, and whether a strategy chose the version.
reasons! {
    /// The rollout has `enabled: false`.
    Disabled "disabled" false
    /// A signed override asks for the version.
    Override "override" false
    /// A trusted upstream proxy decided.
    Inherited "inherited" false
    /// A rule matched.
    Rule "rule" false
    /// The decision needed an identity and the request has none.
    NoIdentity "no_identity" false
    /// The user is kept out of A/B tests.
    Holdout "holdout" false
    /// The user is outside the test's range of its layer.
    Excluded "excluded" false
    /// The sticky cookie names it.
    Sticky "sticky" true
    /// The user is outside the traffic of the A/B test.
    NotEnrolled "not_enrolled" false
    /// By the user's position: a canary or the stable share beside it, or an arm of a test.
    Split "split" true
    /// The active version of a blue/green pair.
    Active "active" true
    /// The followed rollout has the version of this name.
    Follow "follow" true
    /// The guardrail rolled the version back.
    RolledBack "rolled_back" false
    /// Envoy could not send requests to the version.
    Unreachable "unreachable" false
    /// Something failed on the request path.
    Error "error" false
}

impl Reason {
    /// The reason with a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
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

/// The decisions about one request, in the order of the rollouts. Most requests match one or two.
pub type Decisions = SmallVec<[Decision; 2]>;

/// The decision of a rollout, if it has one. `decisions` are in the order of the rollouts.
pub fn find_decision(decisions: &[Decision], rollout: RolloutId) -> Option<&Decision> {
    let place = decisions.binary_search_by_key(&rollout, |decision| decision.rollout);
    decisions.get(place.ok()?)
}
