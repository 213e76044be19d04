//! Which values an operator accepts for certain, compared with another operator. Must not depend on warnings.

use std::slice;

use divvy::condition::cidr::network;
use divvy::condition::regex::Regex;
use serde_json::Value;

/// What an operator compares.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text<'v> {
    Whole(Vec<&'v str>),
    /// A prefix; that of a path ends at a segment.
    Prefix(&'v str),
    /// The first characters, also of a path.
    Start(&'v str),
    Suffix(&'v str),
    Contains(&'v str),
    Regex(&'v str),
    Any,
}

/// Whether every path of `narrow` is one of `wide`; a prefix ends at a segment.
pub(super) fn path_covers(wide: &Value, narrow: &Value) -> bool {
    operator_covers(wide, narrow, true)
}

/// Whether every value that `narrow` accepts is one that `wide` accepts; both are objects with one operator.
pub(super) fn operator_covers(wide: &Value, narrow: &Value, is_path: bool) -> bool {
    let ignores = |leaf: &Value| leaf.get("ignoreCase") == Some(&Value::Bool(true));
    let (any_case, narrow_any_case) = (ignores(wide), ignores(narrow));
    let operand = |leaf: &Value| {
        let fields = leaf.as_object().cloned().unwrap_or_default();
        let fields = fields.into_iter().filter(|(key, _)| key != "ignoreCase");
        fields.collect::<serde_json::Map<_, _>>()
    };
    if operand(wide) == operand(narrow) && (any_case || !narrow_any_case) {
        return true;
    }
    if let (Some(wide), Some(narrow)) = (bounds(wide), bounds(narrow)) {
        return wide.0 <= narrow.0 && narrow.1 <= wide.1;
    }
    let networks = |leaf: &Value| -> Option<Vec<_>> {
        let cidr = leaf.get("cidr")?;
        let all = cidr.as_array().map_or(slice::from_ref(cidr), Vec::as_slice);
        all.iter().map(|one| network(one.as_str()?).ok()).collect()
    };
    if let (Some(wide), Some(narrow)) = (networks(wide), networks(narrow)) {
        return narrow
            .iter()
            .all(|part| wide.iter().any(|whole| whole.contains(part)));
    }
    let (Some(wide), Some(narrow)) = (compared(wide), compared(narrow)) else {
        return false;
    };
    if wide == Text::Any {
        return true;
    }
    let fold = |text: &str| match any_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    // An operator that ignores case accepts values that one with case may not.
    let has_letters = |text: &str| text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let varies = |text: &str| narrow_any_case && !any_case && has_letters(text);
    let starts = |text: &str, prefix: &str| {
        let (text, prefix) = (fold(text), fold(prefix));
        text.strip_prefix(&*prefix).is_some_and(|rest| {
            !is_path || prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
        })
    };
    match (&wide, &narrow) {
        (wide, Text::Whole(values)) => values.iter().all(|value| {
            !varies(value)
                && match wide {
                    Text::Whole(all) => all.iter().any(|one| fold(one) == fold(value)),
                    Text::Prefix(prefix) => starts(value, prefix),
                    Text::Start(start) => fold(value).starts_with(&fold(start)),
                    Text::Suffix(suffix) => fold(value).ends_with(&fold(suffix)),
                    Text::Contains(part) => fold(value).contains(&fold(part)),
                    Text::Regex(pattern) => Regex::new(pattern, any_case)
                        .is_ok_and(|pattern| pattern.matches(value.as_bytes())),
                    Text::Any => true,
                }
        }),
        (Text::Prefix(wide), Text::Prefix(narrow)) => !varies(narrow) && starts(narrow, wide),
        (Text::Start(wide), Text::Prefix(narrow) | Text::Start(narrow)) => {
            !varies(narrow) && fold(narrow).starts_with(&fold(wide))
        }
        // `/ab.*` begins with `/a` and is not below it.
        (Text::Prefix(wide), Text::Start(narrow)) => {
            let (wide, narrow_text) = (fold(wide), fold(narrow));
            let rest = narrow_text.strip_prefix(&*wide);
            !varies(narrow)
                && rest.is_some_and(|rest| !is_path || wide.ends_with('/') || rest.starts_with('/'))
        }
        (Text::Suffix(wide), Text::Suffix(narrow)) => {
            !varies(narrow) && fold(narrow).ends_with(&fold(wide))
        }
        (
            Text::Contains(wide),
            Text::Contains(narrow)
            | Text::Prefix(narrow)
            | Text::Start(narrow)
            | Text::Suffix(narrow),
        ) => !varies(narrow) && fold(narrow).contains(&fold(wide)),
        _ => false,
    }
}

fn compared(leaf: &Value) -> Option<Text<'_>> {
    let text = |key: &str| leaf.get(key)?.as_str();
    if let Some(value) = text("exact") {
        return Some(Text::Whole(vec![value]));
    }
    if let Some(values) = leaf.get("in").and_then(Value::as_array) {
        return Some(Text::Whole(
            values.iter().filter_map(Value::as_str).collect(),
        ));
    }
    if leaf.get("present") == Some(&Value::Bool(true)) {
        return Some(Text::Any);
    }
    if let Some(prefix) = text("prefix") {
        return Some(Text::Prefix(prefix));
    }
    if let Some(suffix) = text("suffix") {
        return Some(Text::Suffix(suffix));
    }
    if let Some(part) = text("contains") {
        return Some(Text::Contains(part));
    }
    text("regex").map(simple)
}

/// The bounds of a `range`, of which the second one is excluded.
fn bounds(leaf: &Value) -> Option<(f64, f64)> {
    let range = leaf.get("range")?;
    let bound = |key: &str, none: f64| match range.get(key) {
        None => Some(none),
        Some(bound) => bound.as_f64(),
    };
    Some((
        bound("min", f64::NEG_INFINITY)?,
        bound("max", f64::INFINITY)?,
    ))
}

/// An expression that is plain text between `.*`, as that text.
fn simple(pattern: &str) -> Text<'_> {
    let (open, rest) = match pattern.strip_prefix('^').unwrap_or(pattern) {
        rest if rest.starts_with(".*") => (true, &rest[2..]),
        rest => (false, rest),
    };
    let rest = rest.strip_suffix('$').unwrap_or(rest);
    let (end, rest) = match rest.strip_suffix(".*") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/ :=,;@".contains(&byte);
    // `.` does not match a line break, which no header has.
    match (open, end) {
        (true, _) | (_, true) if rest.is_empty() => Text::Any,
        _ if !rest.bytes().all(is_plain) => Text::Regex(pattern),
        (true, true) => Text::Contains(rest),
        (true, false) => Text::Suffix(rest),
        (false, true) => Text::Start(rest),
        (false, false) => Text::Whole(vec![rest]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operator_covers_another_only_if_it_accepts_all_of_its_values() {
        for (wide, narrow, is_path, covered) in [
            (
                json!({"prefix": "/a"}),
                json!({"exact": "/a/b"}),
                true,
                true,
            ),
            (
                json!({"prefix": "/a"}),
                json!({"exact": "/ab"}),
                true,
                false,
            ),
            (json!({"prefix": "/"}), json!({"prefix": "/a"}), true, true),
            (json!({"prefix": "/a"}), json!({"prefix": "/"}), true, false),
            (
                json!({"prefix": "a"}),
                json!({"in": ["ab", "ac"]}),
                false,
                true,
            ),
            (
                json!({"prefix": "a"}),
                json!({"in": ["ab", "c"]}),
                false,
                false,
            ),
            (json!({"suffix": "b"}), json!({"suffix": "ab"}), false, true),
            (
                json!({"contains": "b"}),
                json!({"prefix": "ab"}),
                false,
                true,
            ),
            (
                json!({"contains": "ab"}),
                json!({"prefix": "b"}),
                false,
                false,
            ),
            (
                json!({"regex": ".*Fire.*"}),
                json!({"contains": "Firefox"}),
                false,
                true,
            ),
            (
                json!({"regex": "a.*"}),
                json!({"exact": "abc"}),
                false,
                true,
            ),
            (
                json!({"regex": "a.?"}),
                json!({"exact": "abc"}),
                false,
                false,
            ),
            (
                json!({"regex": "ab.*"}),
                json!({"prefix": "abc"}),
                false,
                true,
            ),
            (
                json!({"regex": "/ab.*"}),
                json!({"prefix": "/a"}),
                true,
                false,
            ),
            (
                json!({"regex": "/a.*"}),
                json!({"prefix": "/ab"}),
                true,
                true,
            ),
            (
                json!({"prefix": "/a"}),
                json!({"regex": "/ab.*"}),
                true,
                false,
            ),
            (
                json!({"prefix": "/a"}),
                json!({"regex": "/a/b.*"}),
                true,
                true,
            ),
            (
                json!({"prefix": "a"}),
                json!({"regex": "ab.*"}),
                false,
                true,
            ),
            (
                json!({"regex": "A.*", "ignoreCase": true}),
                json!({"prefix": "ab"}),
                false,
                true,
            ),
            (
                json!({"regex": "a.*"}),
                json!({"prefix": "ab", "ignoreCase": true}),
                false,
                false,
            ),
            (
                json!({"range": {"min": 0, "max": 10}}),
                json!({"range": {"min": 2, "max": 10}}),
                false,
                true,
            ),
            (
                json!({"range": {"min": 1}}),
                json!({"range": {"min": 0, "max": 10}}),
                false,
                false,
            ),
            (
                json!({"range": {"min": 1}}),
                json!({"range": {"min": 1}}),
                false,
                true,
            ),
            (
                json!({"cidr": ["10.0.0.0/8", "::/0"]}),
                json!({"cidr": ["10.1.0.0/16"]}),
                false,
                true,
            ),
            (
                json!({"cidr": ["10.1.0.0/16"]}),
                json!({"cidr": ["10.0.0.0/8"]}),
                false,
                false,
            ),
            (json!({"regex": ".*"}), json!({"regex": "a+"}), false, true),
            (json!({"present": true}), json!({"exact": ""}), false, true),
            (
                json!({"present": true}),
                json!({"present": false}),
                false,
                false,
            ),
            (
                json!({"exact": "A", "ignoreCase": true}),
                json!({"exact": "a"}),
                false,
                true,
            ),
            (
                json!({"exact": "a"}),
                json!({"exact": "a", "ignoreCase": true}),
                false,
                false,
            ),
            (
                json!({"exact": "7"}),
                json!({"exact": "7", "ignoreCase": true}),
                false,
                true,
            ),
            (
                json!({"semver": ">=2"}),
                json!({"semver": ">=2"}),
                false,
                true,
            ),
            (
                json!({"semver": ">=2"}),
                json!({"exact": "3"}),
                false,
                false,
            ),
        ] {
            let found = operator_covers(&wide, &narrow, is_path);
            assert_eq!(found, covered, "{wide} {narrow}");
        }
    }
}
