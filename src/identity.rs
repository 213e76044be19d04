//! Who the user is.

use crate::request::{CookieId, HeaderId, QueryId, Request};

/// The longest identity, in bytes; a longer one is unusable.
pub const MAX_BYTES: usize = 256;

/// Where an identity can stand.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A header; unusable when it comes twice, for which of them is the user?
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
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
    pub fn find<'a>(&self, request: &'a Request<'_>) -> Option<&'a [u8]> {
        self.sources.iter().find_map(|source| {
            let value = match source {
                IdentitySource::Header(id) => request.single(*id)?,
                IdentitySource::Cookie(id) => request.cookie(*id)?,
                IdentitySource::Query(id) => request.query_value(*id)?,
            };
            let value = value.trim_ascii();
            self.is_usable(value).then_some(value)
        })
    }

    fn is_usable(&self, value: &[u8]) -> bool {
        value.len() <= MAX_BYTES
            && !self
                .ignored
                .iter()
                .any(|ignored| ignored.eq_ignore_ascii_case(value))
    }
}
