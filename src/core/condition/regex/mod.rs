//! `regex`: regular expressions that match a whole value.
//!
//! The engine is a lazy DFA, which takes a few instructions a byte once its states are known.
//! It gives up on values that need more states than fit in its cache; the same crate's PikeVM,
//! which needs time in proportion to the lengths of pattern and value, then decides.

mod cache;
mod syntax;

pub use syntax::MAX_STATES;

use std::fmt::Display;

use cache::CacheId;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{Compiler, Config, WhichCaptures};
use regex_automata::{Anchored, Input};

/// Maximum length of a value in bytes; a longer one never matches.
const MAX_VALUE_BYTES: usize = 1_024;
/// Maximum size of the lazy DFA's cache of one pattern, in bytes.
const MAX_CACHE_BYTES: usize = 64 << 10;
/// A DFA whose cache is full gives up if it has read fewer bytes than this for each state.
const MIN_BYTES_PER_STATE: usize = 10;

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Regex {
    /// `None` for a pattern of which not even a few states fit in a cache.
    dfa: Option<(DFA, CacheId)>,
    fallback: PikeVM,
}

impl Regex {
    /// Maximum length of all values of a repeated header or a list, in bytes, each counted with
    /// a few bytes more than its own; the values behind are ignored.
    pub const MAX_BYTES: usize = 4 * MAX_VALUE_BYTES;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with the pattern, which the message quotes.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        let expression = syntax::parse(pattern, ignore_case)?;
        let too_large = |error: &dyn Display| format!("{pattern:?} is too large: {error}");
        // Values are known to be UTF-8, and nothing asks where a group matched.
        let config = Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None);
        let nfa = Compiler::new()
            .configure(config)
            .build_from_hir(&expression)
            .map_err(|error| too_large(&error))?;
        let lazy = DFA::config()
            .cache_capacity(MAX_CACHE_BYTES)
            .minimum_cache_clear_count(Some(0))
            .minimum_bytes_per_state(Some(MIN_BYTES_PER_STATE));
        let dfa = DFA::builder().configure(lazy).build_from_nfa(nfa.clone());
        Ok(Self {
            dfa: dfa.ok().map(|dfa| (dfa, CacheId::new())),
            fallback: PikeVM::new_from_nfa(nfa).map_err(|error| too_large(&error))?,
        })
    }

    /// Whether the pattern matches the whole value. Always `false` for a value that is not
    /// UTF-8 or longer than 1,024 bytes.
    pub fn matches(&self, value: &[u8]) -> bool {
        if value.len() > MAX_VALUE_BYTES || std::str::from_utf8(value).is_err() {
            return false;
        }
        let input = Input::new(value).anchored(Anchored::Yes).earliest(true);
        let by_dfa = self.dfa.as_ref().and_then(|(dfa, id)| {
            cache::with(*id, dfa, |cache| dfa.try_search_fwd(cache, &input).ok())
        });
        match by_dfa {
            Some(found) => found.is_some(),
            None => self
                .fallback
                .is_match(&mut self.fallback.create_cache(), input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value() {
        for (pattern, value, matches) in [
            ("ab+", "abb", true),
            ("ab+", "xabb", false),
            ("ab+", "abbx", false),
            ("ab+", "ab\n", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("a|ab", "ab", true),
            ("a*?", "aa", true),
            ("", "", true),
            ("", "x", false),
            ("^ab$", "ab", true),
            ("[0-9]{3}", "123", true),
            ("(?m)a$\n^b", "a\nb", true),
            ("a$\n^b", "a\nb", false),
            ("(?x) a  # one", "a", true),
            ("(?x) a  # one", "a\n", false),
            ("(?U)a+", "aa", true),
        ] {
            check(pattern, value, matches);
        }
    }

    #[test]
    fn literals_dots_and_classes_are_code_points() {
        for (pattern, value, matches) in [
            ("ä", "ä", true),
            (".", "ä", true),
            ("..", "ä", false),
            (".", "\u{1f600}", true),
            (".", "\n", false),
            ("(?s).", "\n", true),
            ("(?R).", "\r", false),
            ("[^a]", "ä", true),
            ("[à-ü]+", "äö", true),
            (r"\x{e4}\u00e4", "ää", true),
            (r"\W", "ä", true),
            (r"\w", "ä", false),
            (r"\d+", "１２", false),
            (r"\s", "\u{a0}", false),
            (r"\s", "\u{b}", true),
            (r"[^\d]", "１", true),
            ("[[:alpha:][:^ascii:]]{2}", "aä", true),
            (r".*\bb", "ä b", true),
            // With boundaries for all of Unicode it would not match.
            (r"ä\bb", "äb", true),
        ] {
            check(pattern, value, matches);
        }
    }

    #[test]
    fn case_is_ignored_for_ascii_letters_alone() {
        for (pattern, value, matches) in [
            ("(?i)ab", "AB", true),
            ("(?i)ä", "Ä", false),
            // The Kelvin sign and the long s, which all of Unicode folds to k and s.
            ("(?i)k", "\u{212a}", false),
            ("(?i)[^s]", "\u{17f}", true),
            ("(?i)[b-d]+", "BcD", true),
            ("(?i)[^b]", "B", false),
            ("(?i)[[:lower:]]", "A", true),
            ("(?i:a)b", "Ab", true),
            ("(?i:a)b", "AB", false),
            ("(?i)a(?-i)b", "AB", false),
            ("a(?i)b|c", "C", true),
        ] {
            check(pattern, value, matches);
        }
        assert!(Regex::new("ab", true).unwrap().matches(b"Ab"));
        assert!(!Regex::new("(?-i)ab", true).unwrap().matches(b"Ab"));
    }

    fn check(pattern: &str, value: &str, matches: bool) {
        let compiled = Regex::new(pattern, false).unwrap();
        // With an empty cache, with its states, and without a DFA.
        let without = Regex {
            dfa: None,
            ..compiled.clone()
        };
        for regex in [&compiled, &compiled, &without] {
            let found = regex.matches(value.as_bytes());
            assert_eq!(found, matches, "{pattern} {value:?}");
        }
    }

    #[test]
    fn long_values_and_values_that_are_not_utf8_never_match() {
        let any = Regex::new("(?s).*", false).unwrap();
        assert!(any.matches("x".repeat(MAX_VALUE_BYTES).as_bytes()));
        assert!(!any.matches("x".repeat(MAX_VALUE_BYTES + 1).as_bytes()));
        assert!(!any.matches(b"\xff"));
    }

    #[test]
    fn a_pattern_with_more_states_than_fit_in_the_cache_matches_by_the_fallback() {
        let regex = Regex::new("(a|b)*a(a|b){40}", false).unwrap();
        let mut random = 1_u32;
        for length in (0..MAX_VALUE_BYTES).step_by(100) {
            let mut value: Vec<_> = std::iter::repeat_with(|| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if random >> 31 == 0 { b'a' } else { b'b' }
            })
            .take(length)
            .collect();
            let expected = length > 40 && value[length - 41] == b'a';
            assert_eq!(regex.matches(&value), expected, "{length}");
            value.push(b'c');
            assert!(!regex.matches(&value), "{length}");
        }
    }

    #[test]
    fn large_patterns_are_refused_or_match() {
        // The largest that are accepted, one of them without a DFA.
        for pattern in ["(?:a{80}){40}", ".{3000}", r"[^\x{81}-\x{10fffe}]{3000}"] {
            assert!(!Regex::new(pattern, false).unwrap().matches(b"a"));
        }
        for pattern in ["(?:a{100}){100}", ".{4294967295}", &"a".repeat(4_000)] {
            let error = Regex::new(pattern, false).unwrap_err();
            assert!(
                error.ends_with("is too large: it has more than 3276 states"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_an_error() {
        for (pattern, reason) in [
            ("(", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("[z-a]", "invalid character class range"),
            ("*", "repetition operator missing expression"),
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences are not supported"),
            (r"\p{L}", "Unicode character classes are not supported"),
            (r"[\pL]", "Unicode character classes are not supported"),
            ("[a[b]]", "nested character classes are not supported"),
            ("[a&&b]", "set operations"),
            (&["(".repeat(300), ")".repeat(300)].concat(), "nested"),
        ] {
            let error = Regex::new(pattern, false).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}
