//! The compiled configuration: plain data, everything worked out that can be.
//!
//! [`crate::config`] makes it, [`crate::decide`] and [`crate::output`] read it.

use crate::bucket::{Gate, Share, Split};
use crate::identity::Identification;
use crate::matching::{Condition, Scope};
use crate::request::{HeaderId, Names};

/// The headers that divvy writes unless the configuration names others. They are
/// stripped from requests in any case: whoever reads them trusts them.
pub const DEFAULT_HEADERS: [(&str, Role); 3] = [
    ("x-divvy-route", Role::Route),
    ("x-divvy-assignment", Role::Assignment),
    // Mirroring is not there yet, but routes for it may be.
    ("x-divvy-mirror", Role::Strip),
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
    /// The request headers that are divvy's alone: replaced or removed on every request.
    pub owned: Vec<OwnedHeader>,
    /// The response header that tells the client its assignment.
    pub response_header: Option<Box<str>>,
    /// All that requests are asked for.
    pub names: Names,
    /// In the order of the configuration.
    pub rollouts: Vec<Rollout>,
}

impl Default for Policy {
    /// No rollouts: strips its headers and decides nothing.
    fn default() -> Self {
        let mut names = Names::default();
        let owned = DEFAULT_HEADERS
            .iter()
            .map(|(name, role)| OwnedHeader {
                name: (*name).into(),
                id: names.header(name),
                role: *role,
            })
            .collect();
        Self {
            fingerprint: 0,
            version: "".into(),
            identification: Identification::default(),
            owned,
            response_header: None,
            names,
            rollouts: Vec::new(),
        }
    }
}

impl Policy {
    /// The rollout that a decision is about.
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.get(usize::from(id.0))
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
    /// What goes into it.
    pub role: Role,
}

/// What goes into a header of divvy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The target that Envoy routes by.
    Route,
    /// What was decided, for the service.
    Assignment,
    /// Nothing: it is only kept from coming in.
    Strip,
}

/// The number of a rollout in its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RolloutId(pub u16);

/// The number of a version in its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(pub u16);

/// One decision about one service.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its name, a key in the assignment.
    pub name: Box<str>,
    /// `false`: everyone gets stable.
    pub enabled: bool,
    /// Empty: every request.
    pub scopes: Vec<Scope>,
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
}

impl Rollout {
    /// A version by its number.
    pub fn version(&self, id: VersionId) -> Option<&Version> {
        self.versions.get(usize::from(id.0))
    }

    /// The strategy's share of each version now. Stable has the rest, whether as an arm or
    /// for those who are not let in; versions that are not listed have none.
    pub fn shares(&self) -> Vec<(VersionId, Share)> {
        if !self.enabled {
            return vec![(self.stable, Share::ALL)];
        }
        let mut shares: Vec<_> = match &self.strategy {
            Strategy::Canary { version, gate } => vec![(*version, gate.share())],
            Strategy::AbTest { traffic, split } => split
                .shares()
                .filter(|(version, _)| *version != self.stable)
                .map(|(version, share)| (version, share.of(traffic.share())))
                .collect(),
            Strategy::BlueGreen { active } if *active == self.stable => Vec::new(),
            Strategy::BlueGreen { active } => vec![(*active, Share::ALL)],
        };
        let others = shares
            .iter()
            .fold(Share::NONE, |sum, (_, share)| sum.plus(*share));
        shares.push((self.stable, others.rest()));
        shares
    }
}

/// A named variant of the service.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// What the route header says for it; `None` where the rollout only tags.
    pub target: Option<Box<str>>,
    /// Its member of the assignment without the reason, `checkout=v2`: an RFC 9651
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

/// How a rollout chooses a version.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// A share of the users gets the new version, the rest stable.
    Canary {
        /// The new version.
        version: VersionId,
        /// Who gets it.
        gate: Gate,
    },
    /// Those who are let in are split between the arms.
    AbTest {
        /// Who is let in.
        traffic: Gate,
        /// Between what.
        split: Split<VersionId>,
    },
    /// Everyone gets the active version.
    BlueGreen {
        /// Which that is.
        active: VersionId,
    },
}

impl Strategy {
    /// Whether it cannot choose without knowing who the user is.
    pub fn needs_identity(&self) -> bool {
        match self {
            Self::Canary { gate, .. } => gate.foregone().is_none(),
            Self::AbTest { traffic, split } => match traffic.foregone() {
                Some(false) => false,
                Some(true) => split.foregone().is_none(),
                None => true,
            },
            Self::BlueGreen { .. } => false,
        }
    }
}
