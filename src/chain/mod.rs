//! What a proxy upstream of this one has decided, where it is trusted.
//!
//! The assignment that one proxy writes is what the next one reads: `checkout=v2;reason=split`.
//! A client can write the same, so it counts only if whoever sent the request is trusted
//! ([`Trust`]); without `trust` nobody is. A member is honoured by a rollout of its name that
//! has its version, and every other one is passed on as it came, for a proxy further down.

mod dictionary;
mod trust;

use std::cell::OnceCell;

pub use trust::{Principal, Trust};

use crate::decision::Reason;
use crate::request::{HeaderId, Request};

/// The longest assignment that is read, in bytes; a longer one is nobody's.
pub const MAX_BYTES: usize = 8_192;

/// What was decided upstream about one rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The rollout.
    pub key: Box<str>,
    /// The member as it came, key and all.
    pub text: Box<str>,
    /// The version, if it is a name.
    pub version: Option<Box<str>>,
    /// Why, there where it was decided first; `None` for a reason that is unknown here.
    pub reason: Option<Reason>,
}

/// Where decisions of other proxies stand, and whose are honoured.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The header of the assignment.
    pub header: HeaderId,
    /// Who is trusted.
    pub trust: Trust,
}

/// The decisions that came with a request, read at most once and only if somebody asks.
#[derive(Debug)]
pub struct Upstream<'a, 'r> {
    chain: Option<&'a Chain>,
    request: &'a Request<'r>,
    members: OnceCell<Vec<Member>>,
}

impl<'a, 'r> Upstream<'a, 'r> {
    /// What came with this request.
    pub const fn sent(request: &'a Request<'r>, chain: Option<&'a Chain>) -> Self {
        Self {
            chain,
            request,
            members: OnceCell::new(),
        }
    }

    /// All members, if who sent them is trusted.
    pub fn members(&self) -> &[Member] {
        let Some(chain) = self.chain else { return &[] };
        self.members.get_or_init(|| {
            let mut lines = self.request.lines(chain.header);
            let Some(first) = lines.next() else {
                return Vec::new();
            };
            // Asked only where somebody sent one: it costs a call to the proxy.
            if !chain.trust.holds(self.request.outside()) {
                return Vec::new();
            }
            // Several lines are one list.
            let mut whole = first.to_vec();
            for line in lines {
                whole.extend_from_slice(b",");
                whole.extend_from_slice(line);
            }
            if whole.len() > MAX_BYTES {
                return Vec::new();
            }
            dictionary::read(&whole).unwrap_or_default()
        })
    }

    /// What was decided about a rollout.
    pub fn about(&self, rollout: &str) -> Option<&Member> {
        let mut members = self.members().iter();
        members.find(|member| *member.key == *rollout)
    }

    /// The members that are passed on: those of rollouts that decide nothing here, and those
    /// that a rollout could not honour.
    pub fn into_passed_on(self, ours: impl Fn(&Member) -> bool) -> Vec<Member> {
        if self.members().is_empty() {
            return Vec::new();
        }
        let mut members = self.members.into_inner().unwrap_or_default();
        members.retain(|member| !ours(member));
        members
    }
}
