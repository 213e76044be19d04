//! A compiled rollout.

use crate::bucket::{Gate, Share, Split};
use crate::condition::Condition;
use crate::cookies::Sticky;
use crate::decision::{RolloutId, Version, VersionId, find_version};
use crate::guardrail::{self, Arm, Plan, Standing};
use crate::identity::IdentitySource;
use crate::request::{Environment, HeaderId};
use crate::strategy::{ShareInputs, Shares, Strategy, ramp_share};
use crate::unreachable::outage_key;

/// One decision about one service.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its name, a key in the assignment.
    pub name: Box<str>,
    /// Its revision.
    pub revision: Box<str>,
    /// `false`: every user gets stable.
    pub enabled: bool,
    /// Whether stable serves the users of a version that Envoy cannot reach.
    pub watches_reach: bool,
    /// What is counted.
    pub metrics: Metrics,
    /// Its versions.
    pub versions: Vec<Version>,
    /// The version that every doubt falls back to.
    pub stable: VersionId,
    /// Its own sources of the identity, in place of those at the top.
    pub identity: Option<Vec<IdentitySource>>,
    /// In order; the first match wins.
    pub rules: Vec<Rule>,
    /// How it chooses if no rule matches.
    pub strategy: Strategy,
    /// Whether its versions have targets, so that it can own the route of a request.
    pub routes: bool,
    /// The cookie of a sticky rollout.
    pub sticky: Option<Sticky>,
    /// The users whose requests are mirrored, and where to.
    pub mirror: Option<Mirror>,
    /// Headers of this rollout alone.
    pub expose: Option<Expose>,
    /// Its guardrail and ramp.
    pub plan: Option<Plan>,
    /// By version: its arm in the plan.
    pub arms: Vec<Option<Arm>>,
}

/// What is counted for a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metrics {
    /// Nothing.
    Off,
    /// Requests.
    Requests,
    /// Requests, responses and durations.
    Responses,
}

/// Copies of requests to a version that does not serve them.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The version that gets the copies.
    pub version: VersionId,
    /// The users whose requests are copied.
    pub gate: Gate,
    /// The methods that are copied; empty: all.
    pub methods: Vec<Box<[u8]>>,
    /// The header `upgrade`, which excludes a request.
    pub upgrade: HeaderId,
}

/// Headers of one rollout.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The header of the version's name.
    pub group: Option<HeaderId>,
    /// The header of [`Expose::attempt`].
    pub id: Option<HeaderId>,
    /// `<rollout>@<revision>`
    pub attempt: Box<str>,
    /// The label of the version's name, as [`OwnEntry::name`](super::OwnEntry::name).
    pub label: Option<Box<str>>,
    /// Whether the response gets them as well.
    pub response: bool,
}

/// A condition that forces a version, or splits the users who match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Box<str>,
    /// The requests that match.
    pub when: Condition,
    /// What they get.
    pub versions: RuleVersions,
    /// The share of the matching users that gets it; the others go on to the next rule.
    pub percent: Option<Gate>,
}

/// What the users of a rule get.
#[derive(Clone, Debug)]
pub enum RuleVersions {
    /// All of them this version.
    Use(VersionId),
    /// Each of them one of several versions.
    Split(Split<VersionId>),
}

impl Rule {
    /// The version of a user, whose `identity` is asked only if a hash needs it. `None`: the rule
    /// does not apply to the user, or a hash needs an identity and there is none.
    pub fn choose<'i>(&self, identity: impl Fn() -> Option<&'i [u8]>) -> Option<VersionId> {
        if let Some(gate) = &self.percent {
            let admitted = match gate.constant() {
                Some(admitted) => admitted,
                None => gate.admits(identity()?),
            };
            if !admitted {
                return None;
            }
        }
        match &self.versions {
            RuleVersions::Use(version) => Some(*version),
            RuleVersions::Split(split) => match split.constant() {
                Some(version) => Some(version),
                None => split.pick(identity()?),
            },
        }
    }

    /// Whether it selects users by a hash, so that the guardrail judges their responses. Otherwise
    /// a person asks for the version on purpose.
    pub const fn is_judged(&self) -> bool {
        self.percent.is_some() || matches!(self.versions, RuleVersions::Split(_))
    }

    /// Whether its version depends on the identity.
    pub fn needs_identity(&self) -> bool {
        let percent = self.percent.as_ref();
        percent.is_some_and(|gate| gate.constant().is_none())
            || match &self.versions {
                RuleVersions::Use(_) => false,
                RuleVersions::Split(split) => split.constant().is_none(),
            }
    }

    /// The versions that it can choose.
    pub fn possible(&self) -> Vec<VersionId> {
        match &self.versions {
            RuleVersions::Use(version) => vec![*version],
            RuleVersions::Split(split) => split.shares().map(|(version, _)| version).collect(),
        }
    }
}

impl Rollout {
    /// A version by its number.
    pub fn version(&self, id: VersionId) -> Option<&Version> {
        self.versions.get(usize::from(id.0))
    }

    /// The names of its versions, in their order.
    pub fn version_names(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().map(|version| &*version.name)
    }

    /// The version with a name.
    pub fn version_of_name(&self, name: &str) -> Option<VersionId> {
        find_version(&self.versions, name.as_bytes())
    }

    /// The arm of a version in the plan.
    pub fn arm(&self, version: VersionId) -> Option<Arm> {
        *self.arms.get(usize::from(version.0))?
    }

    /// The guardrail that takes samples of a version: of a guarded one, and of stable if the
    /// limits compare with it.
    pub fn guarded(&self, version: VersionId) -> Option<(&Plan, Arm)> {
        let (plan, arm) = (self.plan.as_ref()?, self.arm(version)?);
        let judged = plan.is_guarded() && (arm != Arm::STABLE || plan.compares_with_stable());
        judged.then_some((plan, arm))
    }

    /// Whether the guardrail has rolled a version back.
    pub fn is_rolled_back(
        &self,
        id: RolloutId,
        version: VersionId,
        environment: &dyn Environment,
    ) -> bool {
        let (Some(plan), Some(arm)) = (&self.plan, self.arm(version)) else {
            return false;
        };
        let state = environment.guardrail_state(id);
        guardrail::standing(plan, state.as_deref(), arm) == Standing::RolledBack
    }

    /// Whether a version is unreachable.
    pub fn is_unreachable(
        &self,
        id: RolloutId,
        version: VersionId,
        environment: &dyn Environment,
    ) -> bool {
        self.watches_reach && version != self.stable && environment.is_unreachable(id, version)
    }

    /// Whether only outages change its shares.
    pub fn moves_by_outages_alone(&self) -> bool {
        self.plan.is_none() && self.strategy.behaviour().leader().is_none()
    }

    /// Whether outages of a version are looked for.
    pub fn watches(&self, version: VersionId) -> bool {
        self.watches_reach && version != self.stable
    }

    /// Hash by which all workers know a version.
    pub fn outage_key(&self, version: VersionId) -> Option<u64> {
        let Version { name, target, .. } = self.version(version)?;
        let target = target.as_deref().unwrap_or_default();
        Some(outage_key([&self.name, &self.revision, name, target]))
    }

    /// The versions that have a standing of their own, with their arms in the guardrail.
    pub fn standings(&self) -> impl Iterator<Item = (VersionId, &Version, Option<Arm>)> {
        let guarded = self.plan.as_ref().is_some_and(Plan::is_guarded);
        let numbered = (0..).map(VersionId).zip(&self.versions);
        numbered.filter_map(move |(id, version)| {
            let arm = self.arm(id).filter(|arm| guarded && *arm != Arm::STABLE);
            let shown = self.metrics > Metrics::Off && self.watches(id);
            (arm.is_some() || shown).then_some((id, version, arm))
        })
    }

    /// The share that the ramp of a canary has reached at `now`, in milliseconds since 1970.
    /// `None` without a ramp or a clock.
    pub fn ramp_share(
        &self,
        id: RolloutId,
        now: Option<u64>,
        environment: &dyn Environment,
    ) -> Option<Share> {
        self.strategy.behaviour().ramped_version()?;
        ramp_share(id, self.plan.as_ref(), now, environment)
    }

    /// The shares of its versions in force. `leader`: those of the followed rollout.
    pub(super) fn shares(
        &self,
        id: RolloutId,
        environment: &dyn Environment,
        leader: Option<&Shares>,
    ) -> Shares {
        let mut shares = Shares::new();
        if self.enabled {
            let ramped = self.strategy.behaviour().ramped_version().is_some();
            let now = if ramped { environment.now() } else { None };
            let ramp = self.ramp_share(id, now, environment);
            shares = self
                .strategy
                .behaviour()
                .shares(&ShareInputs { ramp, leader });
        }
        // Stable has the rest: its own arm, users who are not admitted, and those of versions
        // that were rolled back or are unreachable.
        shares.retain(|(version, _)| {
            *version != self.stable
                && !self.is_rolled_back(id, *version, environment)
                && !self.is_unreachable(id, *version, environment)
        });
        let others = shares
            .iter()
            .fold(Share::NONE, |sum, (_, share)| sum.plus(*share));
        shares.push((self.stable, others.rest()));
        shares
    }
}
