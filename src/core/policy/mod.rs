//! The compiled configuration: plain data, with everything computed that does not depend on a
//! request.
//!
//! Must not depend on `config`, which makes it, or on `decide` and `output`, which read it.

mod features;
mod rollout;
pub mod scope;
mod shared;
mod unit;

use crate::assignment::{Inheritance, is_gateway};
use crate::cookies::{MintedCookie, Sticky};
use crate::decision::Decision;
pub use crate::decision::{RolloutId, Version, VersionId};
use crate::identity::{
    Identification, IdentitySource, IgnoredValues, MintRule, MintedIdentities, Visitor,
};
use crate::overrides::Overrides;
use crate::request::{Environment, HeaderId, Names, Request};
use crate::signature::KeyPurpose;
pub use crate::strategy::Shares;
pub use features::Features;
pub use rollout::{Expose, Metrics, Mirror, Rollout, Rule, RuleVersions};
use scope::ScopeIndex;
pub use shared::{EntryForm, OwnEntry};
pub use unit::UnitHash;

/// The default names of headers. They are stripped from requests in any case, because their readers
/// trust them. All but the unit are written if the configuration names none.
pub const DEFAULT_HEADERS: [(&str, HeaderRole); 4] = [
    ("x-divvy-route", HeaderRole::Route),
    ("x-divvy-assignment", HeaderRole::Assignment),
    ("x-divvy-mirror", HeaderRole::Mirror),
    ("x-divvy-unit", HeaderRole::Unit),
];

/// A compiled configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Hash of the configuration, 32 bits, independent of key order and white space.
    pub fingerprint: u32,
    /// The configuration's own `version`, for logs.
    pub version: Box<str>,
    /// The sources of the identity, for rollouts without sources of their own.
    pub identity: Vec<IdentitySource>,
    /// Values that are not identities.
    pub ignored_identities: IgnoredValues,
    /// How visitors get an identity.
    pub mint: Option<MintedCookie>,
    /// Where overrides are read; `None`: nowhere.
    pub overrides: Option<Overrides>,
    /// Where decisions of upstream proxies are read, and whose are inherited; `None`: none.
    pub inheritance: Option<Inheritance>,
    /// Request headers that only divvy writes, by number: set or removed on every request.
    pub reserved_headers: Vec<ReservedHeader>,
    /// The reserved headers that requests get, with what they carry.
    pub written_headers: Vec<(HeaderRole, HeaderId)>,
    /// The reserved header of the identity, if clients may send it as well.
    pub identity_input: Option<HeaderId>,
    /// How identities become units; `None` if no header receives them.
    pub unit: Option<UnitHash>,
    /// The entries that only divvy writes, in request headers of others; those of a header together.
    pub own_entries: Vec<OwnEntry>,
    /// The response header that carries the assignment.
    pub response_header: Option<Box<str>>,
    /// Response headers that only divvy writes: set or removed on every response.
    pub response_headers: Vec<Box<str>>,
    /// The names of all headers, cookies, parameters and claims that are read.
    pub names: Names,
    /// In the order of the configuration.
    pub rollouts: Vec<Rollout>,
    /// Finds the rollouts that match a request.
    pub scopes: ScopeIndex,
    /// The rare features that the configuration uses.
    pub features: Features,
}

impl Default for Policy {
    /// No rollouts: strips the default headers and decides nothing.
    fn default() -> Self {
        let mut names = Names::default();
        let reserved_headers = DEFAULT_HEADERS.map(|(name, _)| ReservedHeader {
            name: name.into(),
            id: names.header(name),
            is_input: false,
        });
        Self {
            fingerprint: 0,
            version: "".into(),
            identity: Vec::new(),
            ignored_identities: IgnoredValues::default(),
            mint: None,
            overrides: None,
            inheritance: None,
            reserved_headers: reserved_headers.into(),
            written_headers: Vec::new(),
            identity_input: None,
            unit: None,
            own_entries: Vec::new(),
            response_header: None,
            response_headers: Vec::new(),
            names,
            rollouts: Vec::new(),
            scopes: ScopeIndex::default(),
            features: Features::default(),
        }
    }
}

impl Policy {
    /// The sender of a request, by the sources at the top of the configuration.
    pub fn visitor<'a, 'r>(&'a self, request: &'a Request<'r>) -> Visitor<'a, 'r> {
        let mint = self.mint.as_ref().map(|mint| mint as &dyn MintRule);
        self.visitor_by(&self.identity, mint, request)
    }

    /// The sender of a request, by the sources of a rollout that has some of its own. No identity
    /// is minted for it.
    pub fn own_visitor<'a, 'r>(
        &'a self,
        rollout: &'a Rollout,
        request: &'a Request<'r>,
    ) -> Option<Visitor<'a, 'r>> {
        let sources = rollout.identity.as_ref()?;
        Some(self.visitor_by(sources, None, request))
    }

    fn visitor_by<'a, 'r>(
        &'a self,
        sources: &'a [IdentitySource],
        mint: Option<&'a dyn MintRule>,
        request: &'a Request<'r>,
    ) -> Visitor<'a, 'r> {
        if request.is_preflight() {
            return Visitor::new(request, Identification::NONE, None);
        }
        let identification = Identification {
            sources,
            ignored: &self.ignored_identities,
            signed: self.signed_identities(),
        };
        Visitor::new(request, identification, mint)
    }

    /// The cookie of minted identities, if they are signed.
    pub fn signed_identities(&self) -> Option<&MintedIdentities> {
        let identities = &self.mint.as_ref()?.identities;
        identities.signed.is_some().then_some(identities)
    }

    /// The purposes for which the configuration needs keys.
    pub fn signed_purposes(&self) -> Vec<KeyPurpose> {
        let sticky = |rollout: &Rollout| rollout.sticky.as_ref().is_some_and(Sticky::is_signed);
        let mut purposes = Vec::new();
        if self.rollouts.iter().any(sticky) {
            purposes.push(KeyPurpose::Sticky);
        }
        if self.signed_identities().is_some() {
            purposes.push(KeyPurpose::Mint);
        }
        if self.overrides.is_some() {
            purposes.push(KeyPurpose::Override);
        }
        purposes
    }

    /// A rollout by its number.
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.get(usize::from(id.0))
    }

    /// A reserved header by its number.
    pub fn reserved_header(&self, id: HeaderId) -> Option<&ReservedHeader> {
        self.reserved_headers.get(id.own_index()?)
    }

    /// The reserved headers of a request that an earlier divvy filter of the chain wrote.
    pub fn written_before(&self, request: &Request<'_>) -> Vec<HeaderId> {
        let mut written = Vec::new();
        for id in request.header_ids() {
            if let Some(header) = self.reserved_header(id)
                && !written.contains(&id)
                && request.environment().is_written_before(&header.name)
            {
                written.push(id);
            }
        }
        written
    }

    /// The one of these headers that has this role.
    pub fn has_role(&self, headers: &[HeaderId], role: HeaderRole) -> Option<HeaderId> {
        let with_role = |id: &HeaderId| self.written_headers.contains(&(role, *id));
        headers.iter().copied().find(with_role)
    }

    /// The header and member of `baggage` that an earlier divvy filter of the chain wrote.
    pub fn baggage_before(&self, request: &Request<'_>) -> Option<(HeaderId, &str)> {
        let mut entries = self.own_entries.iter();
        let entry = entries.find(|entry| entry.form == EntryForm::Baggage)?;
        let arrived = request.lines(entry.header).next().is_some();
        let written = arrived && request.environment().is_written_before(&entry.name);
        written.then_some((entry.header, entry.key()))
    }

    /// Ends the trust in the workload on a gateway, whose outbound listeners get requests of clients.
    /// Whether this changed anything.
    pub fn set_node(&mut self, node_id: &[u8]) -> bool {
        let Some(inheritance) = &mut self.inheritance else {
            return false;
        };
        let ends = inheritance.trust.workload && is_gateway(node_id);
        if ends {
            inheritance.trust.workload = false;
            if inheritance.trust.principals.is_empty() {
                self.inheritance = None;
            }
        }
        ends
    }

    /// The decision that owns the route: that of the first rollout with targets, whatever it
    /// decided. The others only tag.
    pub fn route_owner<'d>(&self, decisions: &'d [Decision]) -> Option<&'d Decision> {
        decisions.iter().find(|decision| {
            let rollout = self.rollout(decision.rollout);
            rollout.is_some_and(|rollout| rollout.routes)
        })
    }

    /// The version that these decisions route the request to, if outages of it are looked for.
    #[inline(never)]
    pub fn watched_route(&self, decisions: &[Decision]) -> Option<(RolloutId, VersionId)> {
        let owner = self.route_owner(decisions)?;
        let rollout = self.rollout(owner.rollout)?;
        let watched = rollout.watches(owner.version);
        watched.then_some((owner.rollout, owner.version))
    }

    /// The shares of all rollouts' versions in force, in the order of the rollouts.
    pub fn shares(&self, environment: &dyn Environment) -> Vec<Shares> {
        let mut all: Vec<Shares> = Vec::with_capacity(self.rollouts.len());
        for (id, rollout) in self.numbered() {
            // A leader is earlier in the list.
            let leader = rollout.strategy.behaviour().leader();
            let leader = leader.and_then(|leader| all.get(usize::from(leader.0)));
            let shares = rollout.shares(id, environment, leader);
            all.push(shares);
        }
        all
    }

    /// The rollouts whose shares can change without a new configuration: those with a plan or with
    /// versions that can be unreachable, and those that follow them.
    pub fn moving(&self) -> Vec<RolloutId> {
        let mut moving: Vec<RolloutId> = Vec::new();
        for (id, rollout) in self.numbered() {
            let leader = rollout.strategy.behaviour().leader();
            let follows = leader.is_some_and(|leader| moving.binary_search(&leader).is_ok());
            if rollout.plan.is_some() || rollout.watches_reach || follows {
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
pub struct ReservedHeader {
    /// Its name in lower case.
    pub name: Box<str>,
    /// Its number.
    pub id: HeaderId,
    /// Whether clients may send it as well: the identity, if it is also read from there.
    pub is_input: bool,
}

/// What a header of divvy carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRole {
    /// The target that Envoy routes by.
    Route,
    /// The decisions, for the service.
    Assignment,
    /// The target that gets a copy of the request.
    Mirror,
    /// The identity, if a decision needed it.
    Identity,
    /// Digits that stand for the identity, for logs.
    Unit,
}
