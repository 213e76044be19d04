//! The assignment header: an RFC 9651 dictionary with a member per decision, such as
//! `checkout=v2;reason=split, search=B;reason=rule`. Its reader, its writer, and the trust
//! that decides whether a received one counts.
//!
//! Depends on `request` and `decision`; must not depend on `policy` or on what a decision
//! does with a member.
//!
//! The assignment that one proxy writes is what the next proxy reads. A client can write the
//! same header, so it counts only if its sender is trusted ([`Trust`]); without `trust` it
//! never does. Decisions of an earlier divvy filter of the same chain are always read. A rollout inherits the member of its own name if it has that version. All
//! other members are forwarded byte for byte, for a proxy further downstream.
//!
//! The same text can also be a member of W3C [`baggage`], which applications forward by themselves.

pub mod baggage;
mod read;
mod trust;
mod write;

use std::cell::OnceCell;

pub use read::dictionary;
pub use trust::{Principal, Trust, is_gateway};
pub use write::{member_prefix, write_decision, write_member};

use crate::decision::Reason;
use crate::request::{HeaderId, Request};

/// Maximum length of a received assignment in bytes; a longer one is ignored.
pub const MAX_BYTES: usize = 8_192;

/// What an upstream proxy decided for one rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentMember {
    /// The name of the rollout.
    pub key: Box<str>,
    /// The member as received, with its key.
    pub text: Box<str>,
    /// The version, if the value is a name.
    pub version: Option<Box<str>>,
    /// The reason of the first proxy that decided; `None` if it is unknown here.
    pub reason: Option<Reason>,
}

/// Where decisions of upstream proxies are read, and whose are inherited.
#[derive(Clone, Debug)]
pub struct Inheritance {
    /// The header that has them.
    pub header: HeaderId,
    /// The member of `baggage` that has them; `None`: the whole header is the assignment.
    pub member: Option<Box<str>>,
    /// The trusted senders.
    pub trust: Trust,
}

/// An earlier divvy filter of the same chain, which decided this request too.
#[derive(Clone, Copy, Debug)]
pub struct EarlierFilter<'a> {
    /// The header in which that filter wrote its decisions.
    pub header: HeaderId,
    /// The member of `baggage` that has them; `None`: the whole header is the assignment.
    pub member: Option<&'a str>,
    /// Whether it wrote the route header, so that its decisions are final.
    pub routes: bool,
}

/// The upstream decisions of one request, read on first use.
#[derive(Debug)]
pub struct UpstreamDecisions<'a, 'r> {
    inheritance: Option<&'a Inheritance>,
    earlier: Option<EarlierFilter<'a>>,
    request: &'a Request<'r>,
    members: OnceCell<Vec<AssignmentMember>>,
}

/// The decisions in a member of `baggage`.
#[cold]
#[inline(never)]
fn read_member(request: &Request<'_>, header: HeaderId, name: &str) -> Vec<AssignmentMember> {
    let text = baggage::find(request.lines(header), name);
    dictionary(&text.unwrap_or_default()).unwrap_or_default()
}

impl<'a, 'r> UpstreamDecisions<'a, 'r> {
    /// The upstream decisions of `request`; none without `inheritance` or an earlier filter.
    pub const fn new(
        request: &'a Request<'r>,
        inheritance: Option<&'a Inheritance>,
        earlier: Option<EarlierFilter<'a>>,
    ) -> Self {
        Self {
            inheritance,
            earlier,
            request,
            members: OnceCell::new(),
        }
    }

    /// All members, if the sender is trusted.
    pub fn members(&self) -> &[AssignmentMember] {
        let (header, member, trust) = match (self.earlier, self.inheritance) {
            (Some(earlier), _) => (earlier.header, earlier.member, None),
            (None, Some(inheritance)) => {
                let member = inheritance.member.as_deref();
                (inheritance.header, member, Some(&inheritance.trust))
            }
            (None, None) => return &[],
        };
        self.members.get_or_init(|| {
            let mut lines = self.request.lines(header);
            let Some(first) = lines.next() else {
                return Vec::new();
            };
            // After the header, because it costs a host call.
            if trust.is_some_and(|trust| !trust.holds(self.request)) {
                return Vec::new();
            }
            if let Some(name) = member {
                return read_member(self.request, header, name);
            }
            // Several lines are one list.
            let mut whole = first.to_vec();
            for line in lines {
                whole.extend_from_slice(b",");
                whole.extend_from_slice(line);
            }
            if trust.is_some() && whole.len() > MAX_BYTES {
                return Vec::new();
            }
            dictionary(&whole).unwrap_or_default()
        })
    }

    /// Whether a filter of this proxy made the decisions and chose the route by them. It also judges
    /// them, and no other version can serve the request.
    pub fn is_final(&self) -> bool {
        self.earlier.is_some_and(|earlier| earlier.routes)
    }

    /// The member of a rollout.
    pub fn get(&self, rollout: &str) -> Option<&AssignmentMember> {
        let mut members = self.members().iter();
        members.find(|member| *member.key == *rollout)
    }

    /// The members to forward: all but the inherited ones.
    pub fn into_forwarded(
        self,
        is_inherited: impl Fn(&AssignmentMember) -> bool,
    ) -> Vec<AssignmentMember> {
        if self.members().is_empty() {
            return Vec::new();
        }
        let mut members = self.members.into_inner().unwrap_or_default();
        members.retain(|member| !is_inherited(member));
        members
    }
}
