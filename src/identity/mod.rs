//! The identity of a visitor: where it is looked for, and what was found.
//!
//! Must not depend on conditions, policies or decisions; only on [`crate::request`].

mod visitor;

use std::borrow::Cow;

pub use visitor::{MintRule, Visitor};

use crate::request::{ClaimId, CookieId, HeaderId, QueryId, Request};

/// The longest identity, in bytes; a longer one is unusable.
pub const MAX_BYTES: usize = 256;

/// What stands between the parts of a `concat`: no header, cookie or claim has it.
const SEPARATOR: u8 = 0x1f;

/// Where an identity can stand.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A header; unusable when it comes twice, for which of them is the user?
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// A claim of a verified token.
    Claim(ClaimId),
    /// The client's address, of IPv6 the /64.
    SourceIp,
    /// Several of the above together; unusable when one of them is.
    Concat(Vec<Self>),
    /// Drawn for each request: it tells requests apart, but names nobody.
    Random,
}

/// An identity that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// What is hashed.
    pub bytes: Cow<'a, [u8]>,
    /// Where it is from.
    pub origin: Origin,
}

/// Where an identity is from, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A value that the client or its token gave: a header, cookie, query parameter or
    /// claim.
    Given,
    /// Made from an address, or from several values.
    Made,
    /// A draw.
    Random,
    /// Made up for a visitor who is nobody yet, and given as a cookie.
    Minted,
}

/// How the policy finds out who the user is.
#[derive(Clone, Debug, Default)]
pub struct Identification {
    /// The first that yields a usable value wins.
    pub sources: Vec<IdentitySource>,
    /// Values that name nobody, trimmed.
    pub ignored: Vec<Box<[u8]>>,
}

impl Identification {
    /// The identity of the user who sent this request, if there is one to be had.
    pub fn find<'a>(&self, request: &'a Request<'_>) -> Option<Identity<'a>> {
        self.sources.iter().find_map(|source| {
            let bytes = match source {
                IdentitySource::Concat(parts) => self.joined(parts, request)?,
                source => self.usable(source, request)?,
            };
            let origin = match source {
                IdentitySource::Random => Origin::Random,
                IdentitySource::SourceIp | IdentitySource::Concat(_) => Origin::Made,
                _ => Origin::Given,
            };
            Some(Identity { bytes, origin })
        })
    }

    fn joined<'a>(
        &self,
        parts: &[IdentitySource],
        request: &'a Request<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let mut joined = Vec::new();
        for (nth, part) in parts.iter().enumerate() {
            if nth > 0 {
                joined.push(SEPARATOR);
            }
            joined.extend_from_slice(&self.usable(part, request)?);
        }
        (joined.len() <= MAX_BYTES).then_some(Cow::Owned(joined))
    }

    /// The trimmed value of one source, if it can be somebody.
    fn usable<'a>(
        &self,
        source: &IdentitySource,
        request: &'a Request<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let value = match source {
            IdentitySource::Header(id) => request.single(*id)?,
            IdentitySource::Cookie(id) => request.cookie(*id)?,
            IdentitySource::Query(id) => request.query_value(*id)?,
            IdentitySource::Claim(id) => request.claim(*id).next()?,
            IdentitySource::SourceIp => {
                let net = request.source()?.identity().into_bytes();
                return (!self.is_ignored(&net)).then_some(Cow::Owned(net));
            }
            IdentitySource::Random => request.random()?,
            // The configuration has none within another.
            IdentitySource::Concat(_) => return None,
        };
        let value = value.trim_ascii();
        let usable = value.len() <= MAX_BYTES && !self.is_ignored(value);
        usable.then_some(Cow::Borrowed(value))
    }

    fn is_ignored(&self, value: &[u8]) -> bool {
        self.ignored
            .iter()
            .any(|ignored| ignored.eq_ignore_ascii_case(value))
    }
}
