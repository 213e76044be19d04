//! A borrowed view of a request: bytes, and only those that the configuration asks for.

pub mod cookie;
pub mod host;
pub mod pairs;
pub mod query;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use pairs::{Malformed, Pairs};

/// A header that the policy may read or write, numbered when the configuration is
/// compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderId(u32);

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

/// The names of all headers that a policy asks for; every other is skipped unread.
#[derive(Clone, Debug)]
pub struct HeaderNames {
    ids: BTreeMap<Box<[u8]>, HeaderId>,
    /// Bit n: some name has n bytes (63: 63 or more). Most headers are told apart by
    /// their length alone.
    lengths: u64,
}

impl Default for HeaderNames {
    fn default() -> Self {
        let mut names = Self {
            ids: BTreeMap::new(),
            lengths: 0,
        };
        for name in HeaderId::KNOWN {
            names.intern(name);
        }
        names
    }
}

impl HeaderNames {
    /// The number of this name (lower case), a new one if need be.
    pub fn intern(&mut self, name: &str) -> HeaderId {
        // A configuration of 1 MiB has no room for u32::MAX names.
        let next = HeaderId(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
        self.lengths |= Self::length_bit(name.len());
        *self.ids.entry(name.as_bytes().into()).or_insert(next)
    }

    /// The number of this name, if anything asks for it.
    pub fn find(&self, name: &[u8]) -> Option<HeaderId> {
        if self.lengths & Self::length_bit(name.len()) == 0 {
            return None;
        }
        self.ids.get(name).copied()
    }

    const fn length_bit(length: usize) -> u64 {
        if length < 63 { 1 << length } else { 1 << 63 }
    }
}

/// What a decision can look at.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// What stands before `?`, undecoded; `None` for a CONNECT without path.
    pub path: Option<&'a [u8]>,
    /// What stands behind `?`.
    pub query: Option<&'a [u8]>,
    /// The method, as sent.
    pub method: Option<&'a [u8]>,
    /// The host: lower case, without port or final dot.
    pub host: Option<Cow<'a, [u8]>>,
    lines: Vec<(HeaderId, &'a [u8])>,
}

impl<'a> Request<'a> {
    /// The view of a header map in the form in which the host hands it over.
    ///
    /// # Errors
    /// When the bytes are not such a map.
    pub fn from_block(names: &HeaderNames, block: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::default();
        for pair in Pairs::new(block)? {
            let (name, value) = pair?;
            request.read(names, name, value);
        }
        Ok(request)
    }

    /// The view of a list of headers, pseudo-headers among them; names in lower case.
    pub fn from_headers(
        names: &HeaderNames,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut request = Self::default();
        for (name, value) in headers {
            request.read(names, name, value);
        }
        request
    }

    fn read(&mut self, names: &HeaderNames, name: &[u8], value: &'a [u8]) {
        match names.find(name) {
            None => {}
            Some(HeaderId::PATH) => match memchr::memchr(b'?', value) {
                Some(mark) => {
                    self.path = value.get(..mark);
                    self.query = value.get(mark.saturating_add(1)..);
                }
                None => self.path = Some(value),
            },
            Some(HeaderId::METHOD) => self.method = Some(value),
            Some(HeaderId::AUTHORITY) => self.host = Some(host::normalized(value)),
            Some(id) => self.lines.push((id, value)),
        }
    }

    /// The values of all lines of a header, in their order.
    pub fn lines(&self, id: HeaderId) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter(move |(line, _)| *line == id)
            .map(|(_, value)| *value)
    }

    /// Whether the header is there at all.
    pub fn has(&self, id: HeaderId) -> bool {
        self.lines(id).next().is_some()
    }

    /// The value of a header that came exactly once.
    pub fn single(&self, id: HeaderId) -> Option<&'a [u8]> {
        let mut lines = self.lines(id);
        let first = lines.next()?;
        lines.next().is_none().then_some(first)
    }

    /// The first cookie of this name.
    pub fn cookie(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.lines(HeaderId::COOKIE)
            .find_map(|line| cookie::find(line, name))
    }

    /// The first query value of this key, percent-decoded.
    pub fn query_value(&self, key: &[u8]) -> Option<Cow<'a, [u8]>> {
        query::find(self.query?, key)
    }

    /// Whether this is a gRPC call by its content type. Plain HTTP can carry a
    /// `grpc-status` too, so the status alone says nothing.
    pub fn is_grpc(&self) -> bool {
        self.lines(HeaderId::CONTENT_TYPE)
            .any(|value| value.starts_with(b"application/grpc"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        list.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))
    }

    #[test]
    fn only_headers_that_were_asked_for_are_kept() {
        let mut names = HeaderNames::default();
        let user = names.intern("x-user");
        let list = [("x-user", "42"), ("x-uber", "no"), ("x-other", "no")];
        let request = Request::from_headers(&names, headers(&list));
        assert_eq!(request.single(user), Some(&b"42"[..]));
        assert_eq!(request.lines.len(), 1);
    }

    #[test]
    fn a_header_that_comes_twice_has_two_lines_and_no_single_value() {
        let mut names = HeaderNames::default();
        let user = names.intern("x-user");
        let list = [("x-user", "1"), ("x-user", "2")];
        let request = Request::from_headers(&names, headers(&list));
        assert_eq!(request.lines(user).count(), 2);
        assert_eq!(request.single(user), None);
    }

    #[test]
    fn the_path_ends_at_the_first_question_mark() {
        let names = HeaderNames::default();
        for (target, path, query) in [
            ("/a/b", "/a/b", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("*", "*", None),
        ] {
            let list = [(":path", target)];
            let request = Request::from_headers(&names, headers(&list));
            assert_eq!(request.path, Some(path.as_bytes()));
            assert_eq!(request.query, query.map(str::as_bytes));
        }
    }

    #[test]
    fn a_grpc_call_is_told_by_its_content_type() {
        let names = HeaderNames::default();
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/json", false),
        ] {
            let list = [("content-type", value)];
            assert_eq!(
                Request::from_headers(&names, headers(&list)).is_grpc(),
                grpc
            );
        }
    }
}
