//! The compiled configuration: plain data, everything worked out that can be.
//!
//! [`crate::config`] makes it, [`crate::decide`] and [`crate::output`] read it.

mod rare;
mod strategy;

use crate::assignment::Inheritance;
use crate::bucket::{Gate, Share};
use crate::condition::Condition;
use crate::cookies::{MintedCookie, Sticky};
use crate::decision::Decision;
pub use crate::decision::{RolloutId, VersionId};
use crate::environment::Environment;
use crate::guardrail::{self, Arm, Plan, Standing};
use crate::identity::{Identification, MintRule, Visitor};
use crate::request::{HeaderId, Names, Request};
use crate::scope::ScopeIndex;
pub use rare::Rare;
pub use strategy::{AbTest, Strategy, Weight};

/// The headers that divvy writes unless the configuration names others. They are
/// stripped from requests in any case: whoever reads them trusts them.
pub const DEFAULT_HEADERS: [(&str, Role); 3] = [
    ("x-divvy-route", Role::Route),
    ("x-divvy-assignment", Role::Assignment),
    ("x-divvy-mirror", Role::Mirror),
];

/// All that divvy does with a request, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    /// 32 bits that tell configurations apart, whatever the order of their keys and the
    /// white space between them.
    pub fingerprint: u32,
    /// The configuration's own `version`, for logs.
    pub version: Box<str>,
    /// Who the user is.
    pub identification: Identification,
    /// How visitors get an identity.
    pub mint: Option<MintedCookie>,
    /// Where decisions of upstream proxies are read, and whose are inherited; `None`: none.
    pub inheritance: Option<Inheritance>,
    /// The request headers that are divvy's alone, by their numbers: replaced or removed on
    /// every request.
    pub owned: Vec<OwnedHeader>,
    /// Those that every request is given, as far as there is something to say.
    pub written: Vec<(Role, HeaderId)>,
    /// The response header that tells the client its assignment.
    pub response_header: Option<Box<str>>,
    /// All that requests are asked for.
    pub names: Names,
    /// In the order of the configuration.
    pub rollouts: Vec<Rollout>,
    /// Which of them look at a request.
    pub scopes: ScopeIndex,
    /// What there is to look for beyond that.
    pub rare: Rare,
}

impl Default for Policy {
    /// No rollouts: strips its headers and decides nothing.
    fn default() -> Self {
        let mut names = Names::default();
        let owned = DEFAULT_HEADERS.map(|(name, _)| OwnedHeader {
            name: name.into(),
            id: names.header(name),
        });
        Self {
            fingerprint: 0,
            version: "".into(),
            identification: Identification::default(),
            mint: None,
            inheritance: None,
            owned: owned.into(),
            written: Vec::new(),
            response_header: None,
            names,
            rollouts: Vec::new(),
            scopes: ScopeIndex::default(),
            rare: Rare::default(),
        }
    }
}

impl Policy {
    /// The sender of a request.
    pub fn visitor<'a, 'r>(&'a self, request: &'a Request<'r>) -> Visitor<'a, 'r> {
        let mint = self.mint.as_ref().map(|mint| mint as &dyn MintRule);
        Visitor::new(request, &self.identification, mint)
    }

    /// The rollout that a decision is about.
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.get(usize::from(id.0))
    }

    /// A header of divvy's own by its number.
    pub fn owned(&self, id: HeaderId) -> Option<&OwnedHeader> {
        self.owned.get(id.own_index()?)
    }

    /// The decision that owns the route: that of the first rollout with targets, whatever it
    /// decided. The others only tag.
    pub fn owner<'d>(&self, decisions: &'d [Decision]) -> Option<&'d Decision> {
        decisions.iter().find(|decision| {
            let rollout = self.rollout(decision.rollout);
            rollout.is_some_and(|rollout| rollout.routes)
        })
    }

    /// The shares of all rollouts' versions at the moment, in their order.
    pub fn shares(&self, environment: &dyn Environment) -> Vec<Shares> {
        let mut all: Vec<Shares> = Vec::with_capacity(self.rollouts.len());
        for (id, rollout) in self.numbered() {
            // Leaders stand earlier in the list.
            let shares = rollout.shares(id, environment, |leader| all.get(usize::from(leader.0)));
            all.push(shares);
        }
        all
    }

    /// The rollouts whose shares change by themselves: those with a plan, and those that
    /// follow them.
    pub fn moving(&self) -> Vec<RolloutId> {
        let mut moving: Vec<RolloutId> = Vec::new();
        for (id, rollout) in self.numbered() {
            let leads = match &rollout.strategy {
                Strategy::Follow {
                    here: Some((leader, _)),
                    ..
                } => moving.binary_search(leader).is_ok(),
                _ => false,
            };
            if rollout.plan.is_some() || leads {
                moving.push(id);
            }
        }
        moving
    }

    /// All rollouts with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (RolloutId, &Rollout)> {
        (0..).map(RolloutId).zip(&self.rollouts)
    }
}

/// A request header that only divvy writes.
#[derive(Clone, Debug)]
pub struct OwnedHeader {
    /// Its name, lower case.
    pub name: Box<str>,
    /// Its number.
    pub id: HeaderId,
}

/// What goes into a header of divvy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The target that Envoy routes by.
    Route,
    /// What was decided, for the service.
    Assignment,
    /// The target that Envoy sends a copy to.
    Mirror,
    /// Who the user is, where a decision needed it.
    Identity,
}

/// One decision about one service.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its name, a key in the assignment.
    pub name: Box<str>,
    /// `false`: everyone gets stable.
    pub enabled: bool,
    /// What is counted for it.
    pub metrics: Metrics,
    /// Its versions.
    pub versions: Vec<Version>,
    /// The version that every doubt falls back to.
    pub stable: VersionId,
    /// In order; the first that matches wins.
    pub rules: Vec<Rule>,
    /// How it chooses where no rule does.
    pub strategy: Strategy,
    /// Whether its versions have targets, so that it owns the route of a request.
    pub routes: bool,
    /// How clients remember what it said.
    pub sticky: Option<Sticky>,
    /// Whose requests are copied, and where to.
    pub mirror: Option<Mirror>,
    /// Headers of its own.
    pub expose: Option<Expose>,
    /// How its versions are watched, and how its canary grows.
    pub plan: Option<Plan>,
    /// By version: what the plan calls it.
    pub arms: Vec<Option<Arm>>,
}

/// What is counted for a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metrics {
    /// Nothing.
    Off,
    /// Requests.
    Requests,
    /// Requests, responses and how long they took.
    Responses,
}

/// Whose requests are copied to a version that does not serve them.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Which version gets them.
    pub version: VersionId,
    /// How many users.
    pub gate: Gate,
    /// With which methods; none named: with all.
    pub methods: Vec<Box<[u8]>>,
}

/// Headers that tell of one rollout alone.
#[derive(Clone, Debug)]
pub struct Expose {
    /// Where the version goes.
    pub group: Option<HeaderId>,
    /// Where [`Expose::label`] goes.
    pub id: Option<HeaderId>,
    /// `<rollout>@<revision>`
    pub label: Box<str>,
    /// Whether the client is told as well.
    pub response: bool,
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

    /// The number of the version of this name.
    pub fn version_of_name(&self, name: &str) -> Option<VersionId> {
        let mut all = (0..).map(VersionId).zip(&self.versions);
        all.find(|(_, version)| *version.name == *name)
            .map(|(id, _)| id)
    }

    /// What the guardrail calls a version; `None` where it does not watch it.
    pub fn arm(&self, version: VersionId) -> Option<Arm> {
        *self.arms.get(usize::from(version.0))?
    }

    /// The guardrail by which a version is judged, or that others are held against it.
    pub fn guarded(&self, version: VersionId) -> Option<(&Plan, Arm)> {
        let (plan, arm) = (self.plan.as_ref()?, self.arm(version)?);
        let judged = plan.is_guarded() && (arm != Arm::STABLE || plan.compares_with_stable());
        judged.then_some((plan, arm))
    }

    /// Whether the guardrail has taken a version back.
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

    /// How many users a canary has that grows by the clock; `None` where there is no clock.
    pub fn clocked(
        &self,
        id: RolloutId,
        now: Option<u64>,
        environment: &dyn Environment,
    ) -> Option<Share> {
        let Strategy::Canary { version, .. } = &self.strategy else {
            return None;
        };
        let (plan, arm) = (self.plan.as_ref()?, self.arm(*version)?);
        Some(guardrail::weight(
            plan,
            environment.guardrail_state(id).as_deref(),
            arm,
            now?,
        ))
    }

    fn shares<'s>(
        &self,
        id: RolloutId,
        environment: &dyn Environment,
        of: impl FnOnce(RolloutId) -> Option<&'s Shares>,
    ) -> Shares {
        let mut shares: Shares = match &self.strategy {
            _ if !self.enabled => Vec::new(),
            Strategy::Canary {
                version, weight, ..
            } => {
                let share = match weight {
                    Weight::Fixed(share) => *share,
                    Weight::Clock => {
                        let clocked = self.clocked(id, environment.now(), environment);
                        clocked.unwrap_or(Share::NONE)
                    }
                };
                vec![(*version, share)]
            }
            Strategy::AbTest(test) => {
                let admitted = test.share();
                let arms = test.split.shares();
                arms.map(|(arm, share)| (arm, share.of(admitted))).collect()
            }
            Strategy::BlueGreen { active } => vec![(*active, Share::ALL)],
            Strategy::Follow { here, .. } => {
                let (leader, versions) =
                    here.as_ref().map_or((None, &[][..]), |(leader, versions)| {
                        (Some(*leader), versions)
                    });
                let mine = |id: VersionId| *versions.get(usize::from(id.0))?;
                let shares = leader.and_then(of).into_iter().flatten();
                shares
                    .filter_map(|(version, share)| Some((mine(*version)?, *share)))
                    .collect()
            }
        };
        // Stable has the rest: as an arm, for those who are not let in, and for those whose
        // version was taken back.
        shares.retain(|(version, _)| {
            *version != self.stable && !self.is_rolled_back(id, *version, environment)
        });
        let others = shares
            .iter()
            .fold(Share::NONE, |sum, (_, share)| sum.plus(*share));
        shares.push((self.stable, others.rest()));
        shares
    }
}

/// How many of all users each version has; those that are not listed have none.
pub type Shares = Vec<(VersionId, Share)>;

/// A named variant of the service.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// What the route header says for it; `None` where the rollout only tags.
    pub target: Option<Box<str>>,
    /// Its member of the assignment up to the reason, `checkout=v2;reason=`: an RFC 9651
    /// dictionary member, a token where the name is one and a string otherwise.
    pub member: Box<str>,
}

/// A condition that forces a version.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Box<str>,
    /// For which requests.
    pub when: Condition,
    /// Which version.
    pub version: VersionId,
    /// For how many of those who match; the others go on to the next rule.
    pub percent: Option<Gate>,
}
