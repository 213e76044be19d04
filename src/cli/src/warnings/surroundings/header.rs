//! The condition of a route on a header. Must not depend on files.

use divvy::condition::regex::Regex;

use crate::source::tree::SourceNode;

/// A condition on a header.
#[derive(Clone, Debug)]
pub struct HeaderTest {
    /// Name of the header in lower case.
    pub name: String,
    /// The condition on its value.
    pub value: ValueTest,
    /// Whether the condition must not hold.
    pub inverted: bool,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// The header is present.
    Present,
    /// The whole value.
    Exact(String),
    /// The beginning of the value.
    Prefix(String),
    /// The end of the value.
    Suffix(String),
    /// A part of the value.
    Contains(String),
    /// An expression that the whole value matches.
    Regex(String),
    /// Another one, of which is unknown what it accepts.
    Unknown,
}

impl HeaderTest {
    /// Whether it holds for a request with this value of the header, or without the header for `None`.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let holds = value.is_some_and(|value| match &self.value {
            ValueTest::Present | ValueTest::Unknown => true,
            ValueTest::Exact(whole) => value == whole,
            ValueTest::Prefix(prefix) => value.starts_with(&**prefix),
            ValueTest::Suffix(suffix) => value.ends_with(&**suffix),
            ValueTest::Contains(part) => value.contains(&**part),
            // An expression that divvy does not compile may accept everything.
            ValueTest::Regex(pattern) => {
                Regex::new(pattern, false).map_or(true, |pattern| pattern.matches(value.as_bytes()))
            }
        });
        holds != self.inverted
    }

    /// An entry of `headers` in a route of Envoy.
    pub fn of_envoy(node: &SourceNode) -> Option<Self> {
        let text = |path: &[&str]| Some(node.at(path)?.text()?.to_owned());
        let name = text(&["name"])?.to_ascii_lowercase();
        let mut inverted = text(&["invert_match"]).as_deref() == Some("true");
        let value = if let Some(present) = text(&["present_match"]) {
            inverted ^= present == "false";
            ValueTest::Present
        } else if let Some(whole) = text(&["string_match", "exact"]).or(text(&["exact_match"])) {
            ValueTest::Exact(whole)
        } else if let Some(prefix) = text(&["string_match", "prefix"]).or(text(&["prefix_match"])) {
            ValueTest::Prefix(prefix)
        } else if let Some(suffix) = text(&["string_match", "suffix"]).or(text(&["suffix_match"])) {
            ValueTest::Suffix(suffix)
        } else if let Some(part) = text(&["string_match", "contains"]).or(text(&["contains_match"]))
        {
            ValueTest::Contains(part)
        } else if let Some(pattern) =
            text(&["string_match", "safe_regex", "regex"]).or(text(&["safe_regex_match", "regex"]))
        {
            ValueTest::Regex(pattern)
        } else if node.entries().len() == 1 {
            ValueTest::Present
        } else {
            ValueTest::Unknown
        };
        Some(Self {
            name,
            value,
            inverted,
        })
    }

    /// A header of a VirtualService: `{exact: v2}`, or `{}` for a header that is present.
    pub fn of_istio(name: &str, node: &SourceNode, inverted: bool) -> Self {
        let text = |key: &str| Some(node.get(key)?.text()?.to_owned());
        let value = if let Some(whole) = text("exact") {
            ValueTest::Exact(whole)
        } else if let Some(prefix) = text("prefix") {
            ValueTest::Prefix(prefix)
        } else if let Some(pattern) = text("regex") {
            ValueTest::Regex(pattern)
        } else if node.entries().is_empty() {
            ValueTest::Present
        } else {
            ValueTest::Unknown
        };
        Self {
            name: name.to_ascii_lowercase(),
            value,
            inverted,
        }
    }

    /// A header of the Gateway API.
    pub fn of_gateway_api(node: &SourceNode) -> Option<Self> {
        let text = |key: &str| Some(node.get(key)?.text()?.to_owned());
        let value = text("value").unwrap_or_default();
        Some(Self {
            name: text("name")?.to_ascii_lowercase(),
            value: match text("type").as_deref() {
                None | Some("Exact") => ValueTest::Exact(value),
                Some("RegularExpression") => ValueTest::Regex(value),
                Some(_) => ValueTest::Unknown,
            },
            inverted: false,
        })
    }
}
