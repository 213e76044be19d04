//! Conditions of divvy from the matches of other systems. Must not depend on the sources.

use crate::manifest::{ManifestNode, list, object};
use crate::source::tree::SourceNode;

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextTest {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// The whole value.
    Regex(String),
    Present,
}

impl TextTest {
    /// The test of a regular expression that matches the whole value, without the expression where a text says the
    /// same: divvy compares longer values by texts than by expressions.
    pub fn regex(pattern: &str) -> Self {
        let whole = pattern.strip_prefix('^').unwrap_or(pattern);
        let whole = match whole.strip_suffix('$') {
            Some(rest) if !rest.ends_with('\\') => rest,
            _ => whole,
        };
        let (open_start, inner) = match whole.strip_prefix(".*") {
            Some(inner) => (true, inner),
            None => (false, whole),
        };
        let (open_end, inner) = match inner.strip_suffix(".*") {
            Some(inner) if !inner.ends_with('\\') => (true, inner),
            _ => (false, inner),
        };
        let literal = unescaped(inner);
        match (literal, open_start, open_end) {
            (Some(text), _, _) if text.is_empty() && (open_start || open_end) => Self::Present,
            (Some(text), true, true) => Self::Contains(text),
            (Some(text), true, false) => Self::Suffix(text),
            (Some(text), false, true) => Self::Prefix(text),
            (Some(text), false, false) => Self::Exact(text),
            (None, _, _) => Self::Regex(pattern.to_owned()),
        }
    }

    /// Whether the empty text passes.
    pub fn accepts_empty(&self) -> bool {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => {
                text.is_empty()
            }
            Self::Regex(pattern) => {
                let mut parser = regex_syntax::ParserBuilder::new();
                let parsed = parser.unicode(false).utf8(false).build().parse(pattern);
                parsed.is_ok_and(|parsed| parsed.properties().minimum_len() == Some(0))
            }
            Self::Present => true,
        }
    }

    /// The entries of a condition about a source, such as `{header: x, exact: a}`.
    pub fn about(&self, source: &str, name: ManifestNode) -> ManifestNode {
        let (operator, operand) = self.operator();
        object([(source, name), (operator, operand)])
    }

    /// Name and operand of the operator.
    pub fn operator(&self) -> (&'static str, ManifestNode) {
        match self {
            // An operand that would match every value is refused.
            Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) if text.is_empty() => {
                ("present", true.into())
            }
            Self::Exact(text) => ("exact", (&**text).into()),
            Self::Prefix(text) => ("prefix", (&**text).into()),
            Self::Suffix(text) => ("suffix", (&**text).into()),
            Self::Contains(text) => ("contains", (&**text).into()),
            Self::Regex(text) => ("regex", (&**text).into()),
            Self::Present => ("present", true.into()),
        }
    }

    /// The operator on a path; `None` for every path. A prefix here is one of characters: `/shop` is also one of
    /// `/shopping`.
    pub fn on_path(&self) -> Option<ManifestNode> {
        let (operator, operand) = match self {
            Self::Prefix(text) if text.is_empty() || text == "/" => return None,
            Self::Regex(text) if text == ".*" || text == "/.*" => return None,
            Self::Present => return None,
            Self::Prefix(text) if !text.ends_with('/') => {
                ("regex", format!("{}.*", escaped(text)).into())
            }
            other => other.operator(),
        };
        Some(object([(operator, operand)]))
    }
}

/// The text that a regular expression without special characters matches.
fn unescaped(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => text.push(escaped),
                _ => return None,
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            other => text.push(other),
        }
    }
    Some(text)
}

/// A regular expression that matches this text.
pub fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// A condition about a request header. Cookies, host, path and method have sources of their own.
pub fn header(name: &str, test: &TextTest) -> ManifestNode {
    let lower = name.to_ascii_lowercase();
    match (&*lower, test) {
        (":authority" | "host", test) => test.about("host", true.into()),
        (":method", test) => test.about("method", true.into()),
        (":path", test) => test.about("path", true.into()),
        ("cookie", TextTest::Regex(pattern)) => match cookie_of(pattern) {
            Some((cookie, value)) => {
                TextTest::Exact(value).about("cookie", ManifestNode::from(cookie))
            }
            None => test.about("header", "cookie".into()),
        },
        (lower, test) => test.about("header", lower.into()),
    }
}

/// Why a condition about a header is not exact, if it is not.
pub fn approximation(name: &str, test: &TextTest) -> Option<&'static str> {
    let TextTest::Regex(pattern) = test else {
        return None;
    };
    let is_of_cookie = name.eq_ignore_ascii_case("cookie") && cookie_of(pattern).is_some();
    let allows_space = pattern.contains(' ') || pattern.contains(r"\s");
    (is_of_cookie && !allows_space).then_some(
        "the expression finds no cookie behind a space, as browsers send the second one: the condition finds all",
    )
}

/// Name and value of the cookie that an expression over the whole header looks for, such as
/// `^(.*?;)?(user=jason)(;.*)?$`.
fn cookie_of(pattern: &str) -> Option<(String, String)> {
    let inner = pattern.strip_prefix('^').unwrap_or(pattern);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let starts = [
        r"(.*?;)?",
        r"(.*;)?",
        r"(.*?;\s*)?",
        r"(.*;\s*)?",
        r"(.*; )?",
        r"(.*?; )?",
        r"(^|.*; )",
        r"(.*;|)",
    ];
    let ends = [r"(;.*)?", r"(;|;.*)?", r"(;.*|)", r"(;.*|$)", r"(;\s*.*)?"];
    let inner = starts.iter().find_map(|start| inner.strip_prefix(start))?;
    let inner = ends.iter().find_map(|end| inner.strip_suffix(end))?;
    let inner = [r"\s*", r"\s?", "( )?", " ?"]
        .iter()
        .find_map(|space| inner.strip_prefix(space))
        .unwrap_or(inner);
    let inner = match inner.strip_prefix('(') {
        Some(rest) => rest.strip_suffix(')')?,
        None => inner,
    };
    let (name, value) = inner.split_once('=')?;
    let (name, value) = (unescaped(name)?, unescaped(value)?);
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
    };
    (is_token(&name) && is_token(&value)).then_some((name, value))
}

/// The opposite of a condition.
pub fn not(condition: ManifestNode) -> ManifestNode {
    object([("not", condition)])
}

/// The condition of Istio's `withoutHeaders`. Istio compares a missing header as an empty one, unless every value
/// matches.
pub fn without_header(name: &str, given: &SourceNode, test: &TextTest) -> ManifestNode {
    let opposite = not(header(name, test));
    let regex = given.get("regex").and_then(SourceNode::text);
    let is_absence = given.entries().is_empty() || regex == Some("*");
    if is_absence || !test.accepts_empty() {
        return opposite;
    }
    object([("all", list([header(name, &TextTest::Present), opposite]))])
}

/// A condition that holds if all of these hold; `None` without any.
pub fn all(conditions: Vec<ManifestNode>) -> Option<ManifestNode> {
    combined("all", conditions)
}

/// A condition that holds if one of these holds; `None` without any.
pub fn any(conditions: Vec<ManifestNode>) -> Option<ManifestNode> {
    combined("any", conditions)
}

fn combined(word: &str, mut conditions: Vec<ManifestNode>) -> Option<ManifestNode> {
    match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(object([(word, list(conditions))])),
    }
}

/// Why divvy refuses a condition, if it does.
pub fn refusal(condition: &ManifestNode) -> Option<String> {
    let rule = format!(
        "{{\"name\": \"a\", \"use\": \"a\", \"when\": {}}}",
        crate::manifest::json::inline(condition)
    );
    let configuration = format!(
        "{{\"identity\": [{{\"random\": true}}], \"rollouts\": [{{\"name\": \"a\", \"versions\": [{{\"name\": \"a\"}}], \
         \"stable\": \"a\", \"rules\": [{rule}], \"strategy\": {{\"blueGreen\": {{\"active\": \"a\"}}}}}}]}}"
    );
    let errors = divvy::config::parse(configuration.as_bytes()).err()?;
    let first = errors.iter().next()?;
    Some(first.message.clone())
}

/// The test of an Istio `StringMatch` or of a header match of Flagger and Argo; `Err` with the operator if there is
/// another.
pub fn string_match(node: &SourceNode) -> Result<TextTest, String> {
    let mut entries = node.entries().iter();
    let Some(entry) = entries.next() else {
        return Ok(TextTest::Present);
    };
    let text = entry.value.text().unwrap_or_default();
    match &*entry.key {
        "exact" => Ok(TextTest::Exact(text.to_owned())),
        "prefix" => Ok(TextTest::Prefix(text.to_owned())),
        "suffix" => Ok(TextTest::Suffix(text.to_owned())),
        // Istio's word for every value.
        "regex" if text == "*" => Ok(TextTest::Present),
        "regex" => Ok(TextTest::regex(text)),
        other => Err(format!("{other} is not exact, prefix or regex")),
    }
}

#[cfg(test)]
mod tests {
    use super::TextTest;

    #[test]
    fn the_empty_text_passes_some_tests() {
        for (pattern, expected) in [
            (".*", true),
            ("(out)?", true),
            ("a*|b", true),
            ("^$", true),
            ("out", false),
            ("a+", false),
            (r"\w{1,3}", false),
            ("(", false),
        ] {
            assert_eq!(
                TextTest::regex(pattern).accepts_empty(),
                expected,
                "{pattern}"
            );
        }
        assert!(!TextTest::Prefix("a".to_owned()).accepts_empty());
    }
}
