//! `regex`: regular expressions that the whole value matches.

use regex_lite::{Regex, RegexBuilder};

/// The longest value that is looked at, in bytes: matching takes time in proportion to the
/// lengths of pattern and value.
const MAX_VALUE: usize = 1_024;
/// The most memory that a compiled pattern may take, in bytes.
const MAX_SIZE: usize = 64 << 10;

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// How many lines of a repeated header are looked at.
    pub const MAX_LINES: usize = 8;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        // By itself first: `a)|(b` is no pattern, though it would be one in parentheses.
        build(pattern, ignore_case)?;
        build(&format!(r"\A(?:{pattern})\z"), ignore_case).map(Self)
    }

    /// Whether it matches the whole of a value.
    pub fn matches(&self, value: &[u8]) -> bool {
        value.len() <= MAX_VALUE
            && std::str::from_utf8(value).is_ok_and(|value| self.0.is_match(value))
    }
}

fn build(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|error| format!("{pattern:?} is no regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value_or_nothing() {
        for (pattern, value, matches) in [
            ("ab+", "abb", true),
            ("ab+", "xabb", false),
            ("ab+", "abbx", false),
            ("ab+", "ab\n", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("a|ab", "ab", true),
            ("", "", true),
            ("", "x", false),
            ("(?i)ab", "AB", true),
            ("[0-9]{3}", "123", true),
            (r"\d+", "１２", false),
        ] {
            let compiled = Pattern::new(pattern, false).unwrap();
            assert_eq!(
                compiled.matches(value.as_bytes()),
                matches,
                "{pattern} {value:?}"
            );
        }
        assert!(Pattern::new("ab", true).unwrap().matches(b"Ab"));
    }

    #[test]
    fn values_that_are_long_or_no_utf8_are_not_matched() {
        let any = Pattern::new("(?s).*", false).unwrap();
        assert!(any.matches("x".repeat(MAX_VALUE).as_bytes()));
        assert!(!any.matches("x".repeat(MAX_VALUE + 1).as_bytes()));
        assert!(!any.matches(b"\xff"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_a_one_is_an_error() {
        for pattern in ["(", "a)|(b", "[z-a]", "*", r"\p{L}", "(?:a{100}){100}"] {
            assert!(Pattern::new(pattern, false).is_err(), "{pattern}");
        }
    }
}
