//! The names that a configuration asks for: headers, cookies, query parameters, labels and
//! claims, each with a number.
//!
//! The configuration's compiler assigns the numbers. A request is then read once, whatever the
//! number of rollouts, and other names are skipped.

use super::byte_map::ByteMap;
use super::claim::Claim;

/// A header that is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderId(u32);

/// A cookie that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieId(pub(super) u32);

/// A query parameter that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryId(pub(super) u32);

/// A key in a header of labels that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelId(pub(super) u32);

/// A claim that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId(pub(super) u32);

impl HeaderId {
    /// `cookie`
    pub const COOKIE: Self = Self(0);
    /// `origin`
    pub const ORIGIN: Self = Self(1);
    /// `access-control-request-method`: with it, an OPTIONS request is a CORS preflight.
    pub const ACCESS_CONTROL_REQUEST_METHOD: Self = Self(2);

    /// The names that every configuration asks for. No configuration can name the last three.
    const KNOWN: [&'static str; 6] = [
        "cookie",
        "origin",
        "access-control-request-method",
        ":path",
        ":method",
        ":authority",
    ];

    /// Its index among divvy's own headers, whose numbers come next.
    pub fn own_index(self) -> Option<usize> {
        self.index().checked_sub(Self::KNOWN.len())
    }

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The names that a configuration asks for.
#[derive(Clone, Debug)]
pub struct Names {
    headers: ByteMap<u32>,
    pub(super) cookies: ByteMap<u32>,
    pub(super) queries: ByteMap<u32>,
    /// By header: the label keys that are asked for; `None` for other headers.
    labels: Vec<Option<ByteMap<u32>>>,
    /// Number of labels of all headers.
    label_count: u32,
    pub(super) claims: Vec<Claim>,
}

impl Default for Names {
    fn default() -> Self {
        let mut headers = ByteMap::default();
        for name in HeaderId::KNOWN {
            headers.number(name.as_bytes());
        }
        Self {
            headers,
            cookies: ByteMap::default(),
            queries: ByteMap::default(),
            labels: Vec::new(),
            label_count: 0,
            claims: Vec::new(),
        }
    }
}

impl Names {
    /// The number of this header (lower case); new headers get the next one.
    pub fn header(&mut self, name: &str) -> HeaderId {
        HeaderId(self.headers.number(name.as_bytes()))
    }

    /// The number of this cookie; new cookies get the next one.
    pub fn cookie(&mut self, name: &str) -> CookieId {
        CookieId(self.cookies.number(name.as_bytes()))
    }

    /// The number of this query parameter; new ones get the next one.
    pub fn query(&mut self, key: &str) -> QueryId {
        QueryId(self.queries.number(key.as_bytes()))
    }

    /// The number of this key in a label header; new keys get the next one.
    pub fn label(&mut self, header: HeaderId, key: &str) -> LabelId {
        let place = header.index();
        if self.labels.len() <= place {
            self.labels.resize(place.saturating_add(1), None);
        }
        let Some(keys) = self.labels.get_mut(place) else {
            return LabelId(u32::MAX);
        };
        let count = &mut self.label_count;
        let keys = keys.get_or_insert_default();
        LabelId(*keys.get_or_insert_with(key.as_bytes(), || {
            let next = *count;
            *count = count.saturating_add(1);
            next
        }))
    }

    /// The label keys that are asked for in this header; `None` for other headers.
    pub(super) fn labels(&self, header: HeaderId) -> Option<&ByteMap<u32>> {
        self.labels.get(header.index())?.as_ref()
    }

    /// The number of this claim; a new claim gets the next one, `None` if there are `most`.
    pub fn claim(&mut self, claim: Claim, most: usize) -> Option<ClaimId> {
        let known = self.claims.iter().position(|other| *other == claim);
        let number = match known {
            Some(number) => number,
            None if self.claims.len() >= most => return None,
            None => {
                self.claims.push(claim);
                self.claims.len().saturating_sub(1)
            }
        };
        u32::try_from(number).ok().map(ClaimId)
    }

    /// Whether a header with a name of this length and last byte may be asked for.
    pub(super) fn may_ask(&self, length: usize, last: u8) -> bool {
        self.headers.may_contain(length, last)
    }

    /// The number of this header; `None` if it is not asked for.
    pub fn find_header(&self, name: &[u8]) -> Option<HeaderId> {
        self.headers.get(name).copied().map(HeaderId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        let id = names.header("x-user");
        assert_eq!(names.header("x-user"), id);
        assert_ne!(names.header("x-uber"), id);
        assert_eq!(names.find_header(b"x-user"), Some(id));
        assert_eq!(names.find_header(b"x"), None);
        assert_eq!(names.find_header(b"cookie"), Some(HeaderId::COOKIE));
    }
}
