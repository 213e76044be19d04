//! `semver`: ranges of application versions, such as `>=2.3, <3`.
//!
//! A leading `v` and missing parts are allowed on both sides: `v2.3` is `2.3.0`. A comma
//! means "and", a bare version means equality. As with Cargo and npm a pre-release passes only
//! if a comparator names a pre-release of the same version: `>=2.3` does not accept `3.0.0-beta`.

use std::borrow::Cow;

use semver::{Comparator, Op, Version, VersionReq};

/// Maximum length of a version in bytes; longer ones never pass.
const MAX_BYTES: usize = 128;
/// Maximum number of comparators.
const MAX_COMPARATORS: usize = 16;

/// A list of comparators that a version must satisfy.
#[derive(Clone, Debug)]
pub struct VersionRequirement(VersionReq);

impl VersionRequirement {
    /// Reads a list of comparators.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn parse(text: &str) -> Result<Self, String> {
        let comparators: Vec<_> = text.split(',').map(comparator).collect::<Result<_, _>>()?;
        if comparators.len() > MAX_COMPARATORS {
            return Err(format!("has more than {MAX_COMPARATORS} comparators"));
        }
        Ok(Self(VersionReq { comparators }))
    }

    /// Whether the value is a version that satisfies all comparators.
    pub fn accepts(&self, value: &[u8]) -> bool {
        std::str::from_utf8(value)
            .ok()
            .and_then(version)
            .is_some_and(|version| self.0.matches(&version))
    }
}

fn comparator(text: &str) -> Result<Comparator, String> {
    let text = text.trim();
    let operators = [
        (">=", Op::GreaterEq),
        ("<=", Op::LessEq),
        (">", Op::Greater),
        ("<", Op::Less),
        ("=", Op::Exact),
    ];
    let (op, rest) = operators
        .into_iter()
        .find_map(|(sign, op)| Some((op, text.strip_prefix(sign)?)))
        .unwrap_or((Op::Exact, text));
    let version = version(rest).ok_or_else(|| {
        format!("{text:?} is not a comparator: write >=, >, <=, < or = and a version such as 2.3 or v2.3.0")
    })?;
    Ok(Comparator {
        op,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: version.pre,
    })
}

fn version(text: &str) -> Option<Version> {
    let text = text.trim();
    if text.len() > MAX_BYTES {
        return None;
    }
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    Version::parse(&with_all_parts(text)).ok()
}

/// `2.3-beta` as `2.3.0-beta`.
fn with_all_parts(text: &str) -> Cow<'_, str> {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let missing = match numbers.bytes().filter(|byte| *byte == b'.').count() {
        0 => ".0.0",
        1 => ".0",
        _ => return Cow::Borrowed(text),
    };
    Cow::Owned([numbers, missing, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_with_comparators() {
        for (requirement, version, accepted) in [
            (">=2.3.0", "2.3.0", true),
            (">=2.3.0", "2.10.0", true),
            (">=2.3.0", "2.2.9", false),
            (">=2.3", "v2.3", true),
            (">=v2.3", "2.3.0", true),
            (">2.3", "2.3.0", false),
            (">2.3", "2.3.1", true),
            ("<=2", "2.0.0", true),
            ("<=2", "2.0.1", false),
            ("<2", "1.99.99", true),
            ("2.3", "2.3.0", true),
            ("2.3", "2.3.1", false),
            ("=2.3", "V2.3.0", true),
            (">=2.3, <3", "2.9", true),
            (">=2.3, <3", "3", false),
            (" >= 2.3 , < 3 ", " 2.9 ", true),
            // Pre-releases pass only if a comparator names one.
            (">=2.3", "3.0.0-beta", false),
            (">=2.3.0-beta.2", "2.3.0-beta.10", true),
            (">=2.3.0-beta.2", "2.3.0-beta.1", false),
            (">=2.3.0-beta, <3", "2.3.0-rc.1", true),
            (">=2.3.0-beta", "2.4.0-beta", false),
            (">=2.3.0-beta", "2.4.0", true),
            ("2.3-beta", "2.3.0-beta", true),
            ("2.3", "2.3.0+build.7", true),
            // Not versions.
            (">=0", "", false),
            (">=0", "2.3.0.1", false),
            (">=0", "02.3", false),
            (">=0", "2..3", false),
            (">=0", "x", false),
            (">=0", "vv1", false),
            (">=0", "1.2.3 beta", false),
            (">=0", "99999999999999999999", false),
        ] {
            let parsed = VersionRequirement::parse(requirement).unwrap();
            assert_eq!(
                parsed.accepts(version.as_bytes()),
                accepted,
                "{requirement} {version}"
            );
        }
        let any = VersionRequirement::parse(">=0").unwrap();
        assert!(!any.accepts(b"1.0.\xff"));
        assert!(!any.accepts("1".repeat(MAX_BYTES + 1).as_bytes()));
    }

    #[test]
    fn text_that_is_not_a_list_of_comparators_is_an_error() {
        for text in [
            "", "x", ">=", "^1.2", "~1.2", "1.x", ">=1.2 <2", ">=1,", "=>1",
        ] {
            assert!(VersionRequirement::parse(text).is_err(), "{text:?}");
        }
        assert!(VersionRequirement::parse(&["1"; 17].join(",")).is_err());
    }
}
