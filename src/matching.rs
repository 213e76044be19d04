//! Which requests a rollout looks at, and whether a condition holds.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

use crate::request::{CookieId, HeaderId, QueryId, Request, host};

/// Where a condition looks.
#[derive(Clone, Debug)]
pub enum Source {
    /// A header; the condition holds if it holds for one of its lines.
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// The path without query.
    Path,
    /// The method.
    Method,
    /// The host, normalized.
    Host,
}

/// What a value is held against.
#[derive(Clone, Debug)]
pub enum Test {
    /// The whole value.
    Exact(Box<[u8]>),
    /// How it begins.
    Prefix(Box<[u8]>),
    /// How a path begins: the prefix ends at a segment, so `/shop` is no prefix of
    /// `/shopping`.
    PathPrefix(Box<[u8]>),
    /// How it ends.
    Suffix(Box<[u8]>),
    /// What stands in it somewhere.
    Contains(Box<Finder<'static>>),
    /// One of these.
    In(BTreeSet<Box<[u8]>>),
    /// That it is there (`true`) or missing (`false`).
    Present(bool),
}

impl Test {
    /// Whether a value that is there passes.
    pub fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(whole) => value == &**whole,
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::PathPrefix(prefix) => value
                .strip_prefix(&**prefix)
                .is_some_and(|rest| prefix.ends_with(b"/") || matches!(rest, [] | [b'/', ..])),
            Self::Suffix(suffix) => value.ends_with(suffix),
            Self::Contains(finder) => finder.find(value).is_some(),
            Self::In(values) => values.contains(value),
            Self::Present(present) => *present,
        }
    }

    /// Whether it passes that there is no value.
    pub const fn accepts_missing(&self) -> bool {
        matches!(self, Self::Present(false))
    }
}

/// A condition on a request.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All hold.
    All(Vec<Self>),
    /// One holds.
    Any(Vec<Self>),
    /// It does not hold; true over a missing source.
    Not(Box<Self>),
    /// What the source has passes the test.
    Leaf(Source, Test),
}

impl Condition {
    /// Whether it holds for this request.
    pub fn holds(&self, request: &Request<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(request)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(request)),
            Self::Not(inner) => !inner.holds(request),
            Self::Leaf(source, test) => leaf_holds(source, test, request),
        }
    }
}

fn leaf_holds(source: &Source, test: &Test, request: &Request<'_>) -> bool {
    let value = match source {
        // Present(false) must see that no line is there, not a line that passes.
        Source::Header(id) => {
            let mut lines = request.lines(*id).peekable();
            return if lines.peek().is_some() {
                lines.any(|line| test.accepts(line))
            } else {
                test.accepts_missing()
            };
        }
        Source::Cookie(id) => request.cookie(*id),
        Source::Query(id) => request.query_value(*id),
        Source::Path => request.path,
        Source::Method => request.method,
        Source::Host => request.host.as_deref(),
    };
    value.map_or(test.accepts_missing(), |value| test.accepts(value))
}

/// One entry of a rollout's `match`: all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Empty: any host.
    pub hosts: Vec<host::Pattern>,
    /// Absent: any path.
    pub path: Option<Test>,
    /// Empty: any method.
    pub methods: Vec<Box<[u8]>>,
}

impl Scope {
    /// Whether the request lies in it.
    pub fn contains(&self, request: &Request<'_>) -> bool {
        let host = || {
            let name = request.host.as_deref();
            self.hosts.is_empty()
                || name.is_some_and(|name| self.hosts.iter().any(|host| host.matches(name)))
        };
        let path = || {
            self.path.as_ref().is_none_or(|test| {
                request
                    .path
                    .map_or(test.accepts_missing(), |path| test.accepts(path))
            })
        };
        let method = || {
            self.methods.is_empty()
                || request
                    .method
                    .is_some_and(|method| self.methods.iter().any(|one| &**one == method))
        };
        path() && host() && method()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn a_path_prefix_ends_at_a_segment() {
        for (prefix, path, holds) in [
            ("/shop", "/shop", true),
            ("/shop", "/shop/", true),
            ("/shop", "/shop/cart", true),
            ("/shop", "/shopping", false),
            ("/shop", "/sho", false),
            ("/shop/", "/shop/cart", true),
            ("/shop/", "/shop", false),
            ("/", "/anything", true),
        ] {
            let test = Test::PathPrefix(bytes(prefix));
            assert_eq!(test.accepts(path.as_bytes()), holds, "{prefix} {path}");
        }
    }

    #[test]
    fn every_operator_tells_values_apart() {
        let contains = |needle: &str| Test::Contains(Box::new(Finder::new(needle).into_owned()));
        for (test, yes, no) in [
            (Test::Exact(bytes("ab")), "ab", "abc"),
            (Test::Exact(bytes("")), "", "a"),
            (Test::Prefix(bytes("ab")), "abc", "cab"),
            (Test::Suffix(bytes("ab")), "cab", "abc"),
            (contains("b"), "abc", "ac"),
            (Test::In([bytes("a"), bytes("b")].into()), "b", "c"),
        ] {
            assert!(test.accepts(yes.as_bytes()), "{test:?}");
            assert!(!test.accepts(no.as_bytes()), "{test:?}");
            assert!(!test.accepts_missing(), "{test:?}");
        }
        assert!(Test::Present(true).accepts(b""));
        assert!(!Test::Present(true).accepts_missing());
        assert!(!Test::Present(false).accepts(b""));
        assert!(Test::Present(false).accepts_missing());
    }
}
