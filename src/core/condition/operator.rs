//! The table of the operators and sources of a condition, by their names in a configuration.
//!
//! The configuration, its checks, the JSON Schema and the command line read it. Every operator
//! applies to every source; a source's [`ValueKind`] says how its values are normalized.

use Operator::{Cidr, Contains, Exact, In, Prefix, Present, Range, Regex, Semver, Suffix};

/// An operator, which a condition has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The whole value.
    Exact,
    /// The beginning of the value; of a path, whole segments.
    Prefix,
    /// The end of the value.
    Suffix,
    /// Any part of the value.
    Contains,
    /// One of several whole values.
    In,
    /// Whether the source has a value.
    Present,
    /// A regular expression for the whole value.
    Regex,
    /// A range of versions.
    Semver,
    /// A range of numbers.
    Range,
    /// Networks of addresses.
    Cidr,
}

impl Operator {
    /// All operators.
    pub const ALL: [Self; 10] = [
        Exact, Prefix, Suffix, Contains, In, Present, Regex, Semver, Range, Cidr,
    ];

    /// The field of the condition that has its operand.
    pub const fn name(self) -> &'static str {
        match self {
            Exact => "exact",
            Prefix => "prefix",
            Suffix => "suffix",
            Contains => "contains",
            In => "in",
            Present => "present",
            Regex => "regex",
            Semver => "semver",
            Range => "range",
            Cidr => "cidr",
        }
    }

    /// Whether it compares text, so that `ignoreCase` has an effect.
    pub const fn compares_text(self) -> bool {
        match self {
            Exact | Prefix | Suffix | Contains | In | Regex => true,
            Present | Semver | Range | Cidr => false,
        }
    }

    /// The names of all operators.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }
}

/// The fields of a condition that name a source or an earlier decision: one of them, unless the
/// condition combines others.
pub const SOURCES: [&str; 12] = [
    "header", "cookie", "query", "label", "jwtClaim", "path", "method", "host", "sourceIp", "peer",
    "identity", "assigned",
];
/// The fields of a condition that combines others.
pub const COMBINATIONS: [&str; 3] = ["all", "any", "not"];

/// The kind of a source's values, which operands are checked and normalized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text as it is.
    Text,
    /// A path without query.
    Path,
    /// A host in lower case, without port and final dot.
    Host,
    /// A method, which is case-sensitive.
    Method,
    /// An IP address in its canonical form.
    Address,
}
