//! `regex` against regex-lite, which the filter used before: a line with the pattern, then a value.
#![no_main]

use divvy::condition::regex::Regex;
use divvy_fuzz::text;
use libfuzzer_sys::fuzz_target;
use regex_lite::RegexBuilder;

fuzz_target!(|bytes: &[u8]| {
    let (pattern, value) = text::first_line(bytes);
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(value)) else {
        return;
    };
    for ignore_case in [false, true] {
        let reference = |pattern: &str| {
            RegexBuilder::new(pattern)
                .case_insensitive(ignore_case)
                .size_limit(64 << 10)
                .build()
        };
        let ours = Regex::new(pattern, ignore_case);
        let theirs = reference(pattern).and_then(|_| {
            // A comment at the end, with `(?x)`, ends with the line.
            let whole = |end| reference(&format!(r"\A(?:{pattern}{end})\z"));
            whole("").or_else(|_| whole("\n"))
        });
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let expected = value.len() <= 1_024 && theirs.is_match(text);
                // First with an empty cache, then with its states.
                for _ in 0..2 {
                    assert_eq!(ours.matches(value), expected, "{pattern:?} {text:?}");
                }
            }
            (Err(error), Ok(_)) => assert!(is_stricter(&error), "{pattern:?}: {error}"),
            (Ok(_) | Err(_), Err(_)) => {}
        }
    }
});

/// Whether regex-lite accepts what the parser refuses with this error: a repetition of flags,
/// as in `a(?i)*`, and deeper nesting than 250, as it counts neither flags nor concatenations.
fn is_stricter(error: &str) -> bool {
    error.contains("repetition operator missing expression") || error.contains("nested")
}
