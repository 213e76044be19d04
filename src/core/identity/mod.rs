//! The identity of a visitor: where it is looked for, and what was found.
//!
//! Must not depend on conditions, policies or decisions; only on [`crate::request`]
//! and [`crate::signature`].

mod minted;
mod visitor;

use std::borrow::Cow;

pub use minted::{MintedIdentities, SignedIdentities};
pub use visitor::{MintRule, Visitor};

use crate::request::{ClaimId, CookieId, HeaderId, QueryId, Request};

/// Maximum length of an identity in bytes; a longer value is ignored.
pub const MAX_BYTES: usize = 256;

/// The separator between the parts of a `concat`: no header, cookie or claim contains it.
const SEPARATOR: u8 = 0x1f;

/// A source of an identity.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A header; ignored if it occurs more than once.
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// A claim of a verified token.
    Claim(ClaimId),
    /// The client's address; of an IPv6 address its /64 network.
    SourceIp,
    /// Several sources joined; ignored if one of them has no usable value.
    Concat(Vec<Self>),
    /// A random value for each request.
    Random,
}

/// An identity that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The bytes that are hashed.
    pub bytes: Cow<'a, [u8]>,
    /// The kind of its source.
    pub origin: Origin,
}

/// The kind of source that an identity came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A value of the request: a header, cookie, query parameter or claim.
    Given,
    /// Derived from an address or from several values.
    Made,
    /// Random for each request.
    Random,
    /// Random, and set as a cookie for a visitor without an identity.
    Minted,
}

/// Values that are not identities, such as `null`; trimmed, and compared without regard to case.
#[derive(Clone, Debug, Default)]
pub struct IgnoredValues {
    values: Vec<Box<[u8]>>,
    /// Bit n: one of them has n bytes. Most identities are excluded by it.
    lengths: u64,
}

impl IgnoredValues {
    /// No values.
    pub const NONE: Self = Self {
        values: Vec::new(),
        lengths: 0,
    };

    /// These values.
    pub fn new(values: Vec<Box<[u8]>>) -> Self {
        let lengths = values.iter().fold(0, |all, value| all | length_bit(value));
        Self { values, lengths }
    }

    /// Whether this value is one of them.
    pub fn contains(&self, value: &[u8]) -> bool {
        let may_be = self.lengths & length_bit(value) != 0;
        may_be
            && self
                .iter()
                .any(|ignored| ignored.eq_ignore_ascii_case(value))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(|value| &**value)
    }
}

/// The bit of a length; all lengths from 63 on share one.
fn length_bit(value: &[u8]) -> u64 {
    1 << value.len().min(63)
}

/// Where an identity is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Identification<'p> {
    /// In order; the first with a usable value is taken.
    pub sources: &'p [IdentitySource],
    /// Values that are not identities.
    pub ignored: &'p IgnoredValues,
    /// The cookie of minted identities, if they are signed.
    pub signed: Option<&'p MintedIdentities>,
}

impl Identification<'_> {
    /// No sources, for a request that is not sent for a user, such as a CORS preflight.
    pub const NONE: Self = Self {
        sources: &[],
        ignored: &IgnoredValues::NONE,
        signed: None,
    };

    /// The identity of a request; `None` if no source has a usable value.
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

    /// The trimmed value of one source; `None` if it is too long or ignored.
    fn usable<'a>(
        &self,
        source: &IdentitySource,
        request: &'a Request<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let value = match source {
            IdentitySource::Header(id) => request.single(*id)?,
            IdentitySource::Cookie(id) => match self.signed.filter(|signed| signed.cookie == *id) {
                Some(signed) => signed.carried(request)?.bytes,
                None => request.cookie(*id)?,
            },
            IdentitySource::Query(id) => request.query_value(*id)?,
            IdentitySource::Claim(id) => request.claim(*id).next()?,
            IdentitySource::SourceIp => {
                let net = request.source()?.identity().into_bytes();
                return (!self.ignored.contains(&net)).then_some(Cow::Owned(net));
            }
            IdentitySource::Random => request.random()?,
            // A configuration cannot nest them.
            IdentitySource::Concat(_) => return None,
        };
        let value = value.trim_ascii();
        let usable = value.len() <= MAX_BYTES && !self.ignored.contains(value);
        usable.then_some(Cow::Borrowed(value))
    }
}

#[cfg(test)]
mod tests {
    use super::IgnoredValues;

    #[test]
    fn ignored_values_are_found_in_any_case_and_length() {
        let long = [b'x'; 200];
        let values: [&[u8]; 4] = [b"", b"Null", &long[..63], &long];
        let ignored = IgnoredValues::new(values.map(Into::into).to_vec());
        for value in values {
            assert!(ignored.contains(&value.to_ascii_uppercase()), "{value:?}");
        }
        for value in [&b"nul"[..], b"nulL2", b"42", &long[..62], &long[..64]] {
            assert!(!ignored.contains(value), "{value:?}");
        }
        assert!(!IgnoredValues::NONE.contains(b""));
    }
}
