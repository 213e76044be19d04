//! Matchers: compiled operators with their operands.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::cidr::Networks;
use super::range::Range;
use super::regex::Regex;
use super::semver::VersionRequirement;
use crate::request::byte_map::ByteMap;

/// A compiled operator, which values pass or not. Values are bytes.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// The whole value.
    Exact(Box<[u8]>),
    /// The beginning of the value.
    Prefix(Box<[u8]>),
    /// The beginning of a path, in whole segments: `/shop` is not a prefix of `/shopping`.
    PathPrefix(Box<[u8]>),
    /// The end of the value.
    Suffix(Box<[u8]>),
    /// Any part of the value.
    Contains(Box<Finder<'static>>),
    /// One of these whole values.
    In(ByteMap<()>),
    /// `true`: the source has a value. `false`: it has none.
    Present(bool),
    /// A regular expression that the whole value matches.
    Regex(Box<Regex>),
    /// A range of versions.
    Semver(Box<VersionRequirement>),
    /// A range of numbers.
    Range(Range),
    /// Networks of addresses.
    Cidr(Networks),
    /// One of the above with its text in lower case; values are lower-cased before they are
    /// compared.
    IgnoreCase(Box<Self>),
}

impl Matcher {
    /// Whether one of the values passes. Without values: whether a missing source passes.
    pub fn accepts_one_of<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        match self {
            Self::Present(present) => values.next().is_some() == *present,
            test => values.any(|value| test.accepts(value)),
        }
    }

    /// As [`Self::accepts_one_of`], for values whose number the client chooses: a regular
    /// expression sees only the first [`Regex::MAX_BYTES`] of them.
    pub fn accepts_one_sent<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> bool {
        if !matches!(self, Self::Regex(_)) {
            return self.accepts_one_of(values);
        }
        let mut left = Regex::MAX_BYTES;
        self.accepts_one_of(values.take_while(|value| {
            let enough = left > 0;
            left = left.saturating_sub(value.len().saturating_add(16));
            enough
        }))
    }

    /// Whether a missing source passes.
    pub const fn accepts_none(&self) -> bool {
        matches!(self, Self::Present(false))
    }

    /// Whether this value passes.
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
            Self::Regex(pattern) => pattern.matches(value),
            Self::Semver(requirement) => requirement.accepts(value),
            Self::Range(range) => range.accepts(value),
            Self::Cidr(networks) => networks.contain(value),
            Self::IgnoreCase(test) => test.accepts(&lower(value)),
        }
    }
}

/// The value with ASCII letters in lower case; copied only if one is in upper case.
fn lower(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    fn one_of(values: &[&str]) -> Matcher {
        Matcher::In(values.iter().map(|value| value.as_bytes()).collect())
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
            let test = Matcher::PathPrefix(bytes(prefix));
            assert_eq!(test.accepts(path.as_bytes()), holds, "{prefix} {path}");
        }
    }

    #[test]
    fn every_operator_tells_values_apart() {
        let contains = |needle: &str| Matcher::Contains(Box::new(Finder::new(needle).into_owned()));
        let any_case = |test: Matcher| Matcher::IgnoreCase(Box::new(test));
        for (test, yes, no) in [
            (Matcher::Exact(bytes("ab")), "ab", "abc"),
            (Matcher::Exact(bytes("")), "", "a"),
            (Matcher::Prefix(bytes("ab")), "abc", "cab"),
            (Matcher::Suffix(bytes("ab")), "cab", "abc"),
            (contains("b"), "abc", "ac"),
            (one_of(&["a", "b"]), "b", "c"),
            (any_case(Matcher::Exact(bytes("ab"))), "aB", "aBc"),
            (any_case(contains("mobile")), "x MOBILE y", "x MOBIL y"),
            (any_case(one_of(&["a"])), "A", "B"),
        ] {
            assert!(test.accepts(yes.as_bytes()), "{test:?}");
            assert!(!test.accepts(no.as_bytes()), "{test:?}");
            assert!(!test.accepts_one_of([].into_iter()), "{test:?}");
        }
    }

    #[test]
    fn presence_is_about_whether_there_are_values() {
        let values: [&[u8]; 2] = [b"", b"x"];
        for (present, some, none) in [(true, true, false), (false, false, true)] {
            let test = Matcher::Present(present);
            assert_eq!(test.accepts_one_of(values.into_iter()), some);
            assert_eq!(test.accepts_one_of([].into_iter()), none);
        }
    }

    #[test]
    fn one_value_of_several_is_enough() {
        let values: [&[u8]; 2] = [b"a", b"b"];
        assert!(Matcher::Exact(bytes("b")).accepts_one_of(values.into_iter()));
        assert!(!Matcher::Exact(bytes("c")).accepts_one_of(values.into_iter()));
    }
}
