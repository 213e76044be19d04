//! What every strategy reads and answers. Must not depend on a particular strategy.

use super::trace::{self, Trace, TraceStep};
use crate::bucket::{Arms, Key, Position, Share};
use crate::condition::EvaluationContext;
use crate::cookies::{Memory, RecalledMemory, Sticky};
use crate::decision::{Decision, Reason, RolloutId, Version, VersionId, find_version};
use crate::guardrail::Plan;

/// What a strategy reads to choose a version for one request.
#[derive(Clone, Copy)]
pub struct Inputs<'i, 'a, 'r> {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its versions.
    pub versions: &'i [Version],
    /// Its stable version.
    pub stable: VersionId,
    /// Its cookie, if it is sticky.
    pub sticky: Option<&'i Sticky>,
    /// Its ramp and guardrail.
    pub plan: Option<&'i Plan>,
    /// The request, its identity, earlier and upstream decisions.
    pub context: &'i EvaluationContext<'i, 'a, 'r>,
}

impl<'i> Inputs<'i, '_, '_> {
    fn version_names(&self) -> impl Iterator<Item = &'i str> + Clone {
        self.versions.iter().map(|version| &*version.name)
    }

    /// The name of a version.
    pub(super) fn name(&self, version: VersionId) -> &'i str {
        let version = self.versions.get(usize::from(version.0));
        version.map_or("", |version| &version.name)
    }

    /// The version with a name.
    pub(super) fn find(&self, name: &str) -> Option<VersionId> {
        find_version(self.versions, name.as_bytes())
    }

    /// The identity, which may be random.
    pub(super) fn any_identity(&self, trace: &mut impl Trace) -> Option<&'i [u8]> {
        let identity = self.context.visitor.any_identity();
        trace.step(|| TraceStep::identity(identity));
        identity
    }

    /// The identity, if the next request of the same user has the same one.
    pub(super) fn lasting_identity(&self, trace: &mut impl Trace) -> Option<&'i [u8]> {
        let identity = self.context.visitor.lasting_identity();
        trace.step(|| TraceStep::identity(identity));
        identity
    }

    /// The version that the arms give the user; `None`: not enrolled. `remembered`: the position
    /// that a cookie holds.
    ///
    /// # Errors
    /// The version depends on an identity, and there is none.
    pub(super) fn arm(
        &self,
        split: &Arms<VersionId>,
        needed: NeededIdentity,
        remembered: Option<Position>,
        trace: &mut impl Trace,
    ) -> Result<Option<VersionId>, Reason> {
        if let Some(version) = split.constant() {
            trace.step(|| {
                let name = self.name(version);
                TraceStep::new("strategy", format!("split: {name} is the only arm"))
            });
            return Ok(Some(version));
        }
        let identity = match needed {
            NeededIdentity::Any => self.any_identity(trace),
            NeededIdentity::Lasting => self.lasting_identity(trace),
        };
        let identity = identity.ok_or(Reason::NoIdentity)?;
        trace.step(|| {
            let text = match split {
                Arms::Own(split) => trace::scores(split, identity, self.versions),
                Arms::Sdk(arms) => trace::parts(arms, identity, remembered, self.versions),
            };
            TraceStep::new("strategy", text)
        });
        Ok(split.pick(identity, remembered))
    }

    /// Reads the sticky cookies.
    pub(super) fn remembered(&self, trace: &mut impl Trace) -> Remembered {
        let Some(sticky) = self.sticky else {
            return Remembered::default();
        };
        let valid = sticky.recall(self.context.request, self.version_names());
        let valid: Vec<_> = valid.collect();
        let memory = valid.first().map(|first| first.memory);
        trace.step(|| {
            let cookie = &sticky.set.name;
            let text = match memory.map(|memory| memory.version) {
                None => format!("no cookie {cookie} of this revision"),
                Some(None) => format!("cookie {cookie} remembers a user outside the test"),
                Some(Some(version)) => format!("cookie {cookie} remembers {}", self.name(version)),
            };
            TraceStep::new("sticky", text).at(memory.map(|memory| memory.position))
        });
        Remembered {
            is_sticky: true,
            memory,
            valid,
        }
    }
}

/// What the cookies of a rollout remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// Whether the rollout is sticky.
    pub is_sticky: bool,
    /// The first valid cookie, which counts.
    memory: Option<Memory>,
    /// All valid ones. Nothing is written that one of them says: a browser sends each that it
    /// has, so it would be written with every response.
    valid: Vec<RecalledMemory>,
}

impl Remembered {
    pub(super) fn position(&self) -> Option<Position> {
        self.memory.map(|memory| memory.position)
    }

    pub(super) fn version(&self) -> Option<VersionId> {
        self.memory?.version
    }

    /// The reason of a choice by position, where `depends`: whether it depends on the position.
    /// The client can write that of a cookie.
    pub(super) const fn reason(&self, depends: bool) -> Reason {
        if depends && self.memory.is_some() {
            Reason::Sticky
        } else {
            Reason::Split
        }
    }

    /// What has to be written so that a cookie says this: nothing if one does. A cookie that is only
    /// signed again keeps its age.
    fn missing(&self, memory: Memory) -> Option<Memory> {
        let mut minute = None;
        for known in &self.valid {
            let said = known.memory;
            if (said.version, said.position) == (memory.version, memory.position) {
                if known.is_current {
                    return None;
                }
                minute = minute.or(said.minute);
            }
        }
        Some(Memory { minute, ..memory })
    }
}

/// The version that a strategy chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The version.
    pub version: VersionId,
    /// Why.
    pub reason: Reason,
    /// What the client's cookie has to remember, unless it does already.
    pub memory: Option<Memory>,
    /// Whether the response counts for the guardrail.
    pub judged: bool,
}

impl Choice {
    pub(super) const fn new(version: VersionId, reason: Reason) -> Self {
        Self {
            version,
            reason,
            memory: None,
            judged: true,
        }
    }

    /// The same choice, to be remembered in the cookie of a sticky rollout; `version` is `None`
    /// for a user outside an A/B test. Without a position nothing depended on the user.
    pub(super) fn remembering(
        self,
        before: &Remembered,
        version: Option<VersionId>,
        position: Option<Position>,
    ) -> Self {
        let memory = position.map(|position| Memory {
            version,
            position,
            minute: None,
        });
        let memory = memory.filter(|_| before.is_sticky);
        Self {
            memory: memory.and_then(|memory| before.missing(memory)),
            ..self
        }
    }

    /// The version that the first valid cookie holds.
    pub(super) fn held(version: VersionId, by: &Remembered) -> Self {
        Self {
            memory: by.memory.and_then(|memory| by.missing(memory)),
            ..Self::new(version, Reason::Sticky)
        }
    }
}

/// The identity that a strategy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeededIdentity {
    /// Any, also a random one.
    Any,
    /// One that the next request of the same user has as well.
    Lasting,
}

/// The shares of some versions of all users.
pub type Shares = Vec<(VersionId, Share)>;

/// What the shares of a strategy depend on beside the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ShareInputs<'s> {
    /// The share that a ramp has reached.
    pub ramp: Option<Share>,
    /// The shares of the followed rollout.
    pub leader: Option<&'s Shares>,
}

/// What the possible answers of a strategy depend on beside the configuration.
#[derive(Clone, Copy, Debug)]
pub struct AnswerInputs {
    /// The stable version.
    pub stable: VersionId,
    /// Number of versions.
    pub versions: usize,
    /// Whether the rollout is sticky.
    pub is_sticky: bool,
    /// Whether upstream decisions are inherited.
    pub inherits: bool,
}

/// What other modules ask a strategy beside its choice. The defaults are those of a strategy
/// that serves every user the same version.
pub trait StrategyBehaviour {
    /// The identity without which it cannot choose.
    fn needed_identity(&self) -> Option<NeededIdentity> {
        None
    }

    /// The shares of its versions in force; the rest is stable's. Rollbacks are not considered.
    fn shares(&self, inputs: &ShareInputs<'_>) -> Shares;

    /// Appends every answer that [`super::Strategy::choose`] can give.
    fn add_answers(&self, inputs: &AnswerInputs, answers: &mut Vec<(VersionId, Reason)>);

    /// The version whose share grows by a ramp.
    fn ramped_version(&self) -> Option<VersionId> {
        None
    }

    /// The version that serves every user, if the strategy names one, and its field below
    /// `strategy`.
    fn sole_version(&self) -> Option<(VersionId, &'static str)> {
        None
    }

    /// The key of its layer; the salt is the layer's name.
    fn layer(&self) -> Option<&Key> {
        None
    }

    /// The key of the holdout that it obeys; the salt is the holdout's name.
    fn holdout(&self) -> Option<&Key> {
        None
    }

    /// The earlier rollout that it follows.
    fn leader(&self) -> Option<RolloutId> {
        None
    }

    /// Why it cannot be sticky.
    fn sticky_refusal(&self) -> Option<&'static str> {
        None
    }

    /// Whether a decision puts the user into the experiment.
    fn is_enrolled(&self, decision: &Decision, _stable: VersionId) -> bool {
        decision.reason == Reason::Split
    }

    /// Whether the users outside the experiment are its control group.
    fn compares_with_all(&self) -> bool {
        false
    }
}
