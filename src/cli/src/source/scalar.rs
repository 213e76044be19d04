//! The type of a scalar: which plain texts are numbers, flags or null. Must not depend on trees.
//!
//! Kubernetes reads YAML with go.yaml.in/yaml/v2, whose rules are those of YAML 1.1 without numbers to base 60.

use super::tree::YamlVersion;

/// The JSON of a plain scalar.
pub(super) fn json(text: &str, version: YamlVersion) -> String {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return "null".to_owned(),
        "true" | "True" | "TRUE" => return "true".to_owned(),
        "false" | "False" | "FALSE" => return "false".to_owned(),
        _ => {}
    }
    if version == YamlVersion::V11 {
        if is_one_of(text, ["y", "yes", "on"]) {
            return "true".to_owned();
        }
        if is_one_of(text, ["n", "no", "off"]) {
            return "false".to_owned();
        }
    }
    let number = match version {
        YamlVersion::V11 => kubernetes_number(text),
        YamlVersion::V12 => number(text),
    };
    number.unwrap_or_else(|| quoted(text))
}

/// The text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    // A string always serializes.
    serde_json::to_string(text).unwrap_or_default()
}

/// The key of an object: Kubernetes turns numbers and flags into text.
pub(super) fn key(text: &str, version: YamlVersion) -> String {
    match version {
        YamlVersion::V12 => text.to_owned(),
        YamlVersion::V11 => {
            let json = json(text, version);
            let is_text = json.starts_with('"') || json == "null";
            if is_text { text.to_owned() } else { json }
        }
    }
}

/// Whether the text is one of the words in a spelling of YAML 1.1: `no`, `No` or `NO`.
fn is_one_of<const N: usize>(text: &str, words: [&str; N]) -> bool {
    words.iter().any(|word| {
        let mut title = (*word).to_owned();
        title[..1].make_ascii_uppercase();
        text == *word || text == title || text == word.to_ascii_uppercase()
    })
}

fn begins_like_a_number(text: &str) -> bool {
    text.starts_with(['-', '+', '.']) || text.starts_with(|c: char| c.is_ascii_digit())
}

/// A number of YAML 1.2.
fn number(text: &str) -> Option<String> {
    if !begins_like_a_number(text) {
        return None;
    }
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(text.to_owned());
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            let value = u64::from_str_radix(digits, radix).ok()?;
            return Some(format!("{sign}{value}"));
        }
    }
    decimal(text)
}

/// A number as Kubernetes reads it: `010` is 8, `1_000` is 1000, `0b11` is 3.
fn kubernetes_number(text: &str) -> Option<String> {
    if !begins_like_a_number(text) {
        return None;
    }
    if text.starts_with('.') {
        return decimal(text);
    }
    let text = text.replace('_', "");
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let lower = digits.to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    let whole = match radix {
        Some((rest, radix)) if !rest.is_empty() => u64::from_str_radix(rest, radix),
        _ => digits.parse(),
    };
    match whole {
        // Neither parser may have accepted a second sign.
        Ok(value) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(format!("{sign}{value}"))
        }
        _ => decimal(&text),
    }
}

/// A number to base 10, with or without exponent.
fn decimal(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+');
    let value: f64 = text.chars().all(allowed).then(|| text.parse().ok())??;
    value.is_finite().then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_type_of_the_yaml_version() {
        for (text, modern, kubernetes) in [
            ("no", "\"no\"", "false"),
            ("On", "\"On\"", "true"),
            ("oN", "\"oN\"", "\"oN\""),
            ("y", "\"y\"", "true"),
            ("true", "true", "true"),
            ("~", "null", "null"),
            ("5", "5", "5"),
            ("-5", "-5", "-5"),
            ("+5", "5", "5"),
            ("5.50", "5.50", "5.5"),
            (".5", "0.5", "0.5"),
            ("1e2", "1e2", "100"),
            ("0x10", "16", "16"),
            ("0o10", "8", "8"),
            ("010", "10", "8"),
            ("-010", "-10", "-8"),
            ("08", "8", "8"),
            ("0", "0", "0"),
            ("0b11", "\"0b11\"", "3"),
            ("1_000", "\"1_000\"", "1000"),
            ("1:30", "\"1:30\"", "\"1:30\""),
            ("--5", "\"--5\"", "\"--5\""),
            ("30s", "\"30s\"", "\"30s\""),
            ("-", "\"-\"", "\"-\""),
            (".inf", "\".inf\"", "\".inf\""),
            ("2026-12-01", "\"2026-12-01\"", "\"2026-12-01\""),
        ] {
            assert_eq!(json(text, YamlVersion::V12), modern, "{text}");
            assert_eq!(json(text, YamlVersion::V11), kubernetes, "{text}");
        }
        assert_eq!(key("010", YamlVersion::V11), "8");
        assert_eq!(key("on", YamlVersion::V11), "true");
        assert_eq!(key("on", YamlVersion::V12), "on");
    }
}
