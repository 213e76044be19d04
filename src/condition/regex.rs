//! `regex`: regular expressions that the whole value matches.

use regex_lite::RegexBuilder;

/// The longest value that is looked at, in bytes: matching takes time in proportion to the
/// lengths of pattern and value.
const MAX_VALUE: usize = 1_024;
/// The most groups: matching takes memory for each of them in each state.
const MAX_GROUPS: usize = 16;
/// The most memory that a compiled pattern may take, in bytes.
pub const MAX_SIZE: usize = 64 << 10;

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Regex(regex_lite::Regex);

impl Regex {
    /// How many bytes of several values, of a repeated header or a list, are looked at: for
    /// each value its own and a few more.
    pub const MAX_BYTES: usize = 4 * MAX_VALUE;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        // By itself first: `a)|(b` is no pattern, though it would be one in parentheses.
        build(pattern, ignore_case)?;
        let whole = build(&format!(r"\A(?:{pattern})\z"), ignore_case).or_else(|_| {
            // It ends with a comment, `(?x)`, which has swallowed the parenthesis.
            build(&format!("\\A(?:{pattern}\n)\\z"), ignore_case)
        })?;
        if whole.captures_len() > MAX_GROUPS.saturating_add(1) {
            return Err(format!(
                "{pattern:?} has more than {MAX_GROUPS} groups: write (?:…) for those that only hold \
                 together"
            ));
        }
        Ok(Self(whole))
    }

    /// Whether it matches the whole of a value.
    pub fn matches(&self, value: &[u8]) -> bool {
        value.len() <= MAX_VALUE
            // A regex keeps the memory that a match took, and there may be 200 of them: the
            // copy, which shares the pattern, gives it back.
            && std::str::from_utf8(value).is_ok_and(|value| self.0.clone().is_match(value))
    }
}

fn build(pattern: &str, ignore_case: bool) -> Result<regex_lite::Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|error| format!("{pattern:?} is not a regular expression: {error}"))
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
            ("(?x) a  # one", "a", true),
            ("(?x) a  # one", "a\n", false),
        ] {
            let compiled = Regex::new(pattern, false).unwrap();
            assert_eq!(
                compiled.matches(value.as_bytes()),
                matches,
                "{pattern} {value:?}"
            );
        }
        assert!(Regex::new("ab", true).unwrap().matches(b"Ab"));
    }

    #[test]
    fn values_that_are_long_or_no_utf8_are_not_matched() {
        let any = Regex::new("(?s).*", false).unwrap();
        assert!(any.matches("x".repeat(MAX_VALUE).as_bytes()));
        assert!(!any.matches("x".repeat(MAX_VALUE + 1).as_bytes()));
        assert!(!any.matches(b"\xff"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_a_one_is_an_error() {
        for pattern in [
            "(",
            "a)|(b",
            "[z-a]",
            "*",
            r"\p{L}",
            "(?:a{100}){100}",
            &"(a)".repeat(17),
        ] {
            assert!(Regex::new(pattern, false).is_err(), "{pattern}");
        }
    }
}
