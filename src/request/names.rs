//! What a policy asks requests for: headers, cookies and query parameters by number.
//!
//! Numbers are given out while the configuration is compiled. A request is then read once,
//! however many rollouts look at it, and whatever nobody asks for is skipped.

use std::collections::BTreeMap;

/// A header that is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderId(u32);

/// A cookie that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieId(pub(super) u32);

/// A query parameter that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryId(pub(super) u32);

impl HeaderId {
    /// `:path`
    pub const PATH: Self = Self(0);
    /// `:method`
    pub const METHOD: Self = Self(1);
    /// `:authority`
    pub const AUTHORITY: Self = Self(2);
    /// `content-type`: whether a request is gRPC.
    pub const CONTENT_TYPE: Self = Self(3);
    /// `cookie`
    pub const COOKIE: Self = Self(4);

    const KNOWN: [&'static str; 5] = [":path", ":method", ":authority", "content-type", "cookie"];
}

/// Everything that a policy asks for.
#[derive(Clone, Debug)]
pub struct Names {
    headers: Index,
    pub(super) cookies: Index,
    pub(super) queries: Index,
}

impl Default for Names {
    fn default() -> Self {
        let mut headers = Index::default();
        for name in HeaderId::KNOWN {
            headers.number(name);
        }
        Self {
            headers,
            cookies: Index::default(),
            queries: Index::default(),
        }
    }
}

impl Names {
    /// The number of this header (lower case), a new one if need be.
    pub fn header(&mut self, name: &str) -> HeaderId {
        HeaderId(self.headers.number(name))
    }

    /// The number of this cookie, a new one if need be.
    pub fn cookie(&mut self, name: &str) -> CookieId {
        CookieId(self.cookies.number(name))
    }

    /// The number of this query parameter, a new one if need be.
    pub fn query(&mut self, key: &str) -> QueryId {
        QueryId(self.queries.number(key))
    }

    /// The number of this header, if anything asks for it.
    pub fn find_header(&self, name: &[u8]) -> Option<HeaderId> {
        self.headers.find(name).map(HeaderId)
    }
}

/// Names and their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    numbers: BTreeMap<Box<[u8]>, u32>,
    /// Bit n: some name has n bytes (63: 63 or more). Most names are told apart by their
    /// length alone.
    lengths: u64,
}

impl Index {
    fn number(&mut self, name: &str) -> u32 {
        // A configuration of 1 MiB has no room for u32::MAX names.
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.lengths |= length_bit(name.len());
        *self.numbers.entry(name.as_bytes().into()).or_insert(next)
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        self.numbers.get(name).copied()
    }

    /// The first value of each name, by number.
    pub(super) fn first_of_each<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Vec<Option<&'a [u8]>> {
        let mut values = vec![None; self.numbers.len()];
        for (name, value) in pairs {
            let number = self
                .find(name)
                .and_then(|number| usize::try_from(number).ok());
            if let Some(place @ None) = number.and_then(|number| values.get_mut(number)) {
                *place = Some(value);
            }
        }
        values
    }
}

const fn length_bit(length: usize) -> u64 {
    if length < 63 { 1 << length } else { 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_names_of_any_length_are_found() {
        let mut names = Names::default();
        let lengths = [1, 2, 31, 62, 63, 64, 65, 200];
        let ids = lengths.map(|length| names.header(&"n".repeat(length)));
        for (length, id) in lengths.into_iter().zip(ids) {
            assert_eq!(names.header(&"n".repeat(length)), id);
            assert_eq!(names.find_header("n".repeat(length).as_bytes()), Some(id));
        }
        assert_eq!(names.find_header(b"nnn"), None);
        assert_eq!(names.find_header(b"x"), None);
        assert_eq!(names.find_header(b":path"), Some(HeaderId::PATH));
        assert_eq!(names.find_header(b"cookie"), Some(HeaderId::COOKIE));
    }
}
