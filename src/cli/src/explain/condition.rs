//! A condition as the configuration writes it, with the results that the core recorded.

use divvy::condition::operator::SOURCES;
use divvy::decide::trace::ConditionTrace;
use serde::Serialize;
use serde_json::Value;

use crate::raw::list;

/// A condition with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    /// The condition, such as `header x-canary exact "true"`.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// Values of its source, one for each line; empty if the source is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// Parts of `all`, `any` and `not`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

impl ConditionReport {
    pub(super) fn new(trace: ConditionTrace, raw: &Value) -> Self {
        let (text, parts): (_, Vec<&Value>) = if let Some(inner) = raw.get("not") {
            ("not".to_owned(), vec![inner])
        } else if raw.get("all").is_some() {
            ("all of".to_owned(), list(raw, "all").iter().collect())
        } else if raw.get("any").is_some() {
            ("any of".to_owned(), list(raw, "any").iter().collect())
        } else {
            (leaf(raw), Vec::new())
        };
        let found = trace.values.iter();
        let found = found.map(|value| String::from_utf8_lossy(value).into_owned());
        let parts = trace.parts.into_iter().zip(parts);
        Self {
            text,
            holds: trace.holds,
            found: found.collect(),
            parts: parts.map(|(part, raw)| Self::new(part, raw)).collect(),
        }
    }
}

/// A leaf without braces, its source first: `header x-canary exact "true"`.
fn leaf(raw: &Value) -> String {
    let Some(fields) = raw.as_object() else {
        return raw.to_string();
    };
    let is_source = |name: &str| SOURCES.contains(&name);
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| !is_source(name));
    let word = |(name, value): &(&String, &Value)| match value {
        Value::Bool(true) => (*name).clone(),
        Value::String(text) if is_source(name) => format!("{name} {text}"),
        value => format!("{name} {value}"),
    };
    fields.iter().map(word).collect::<Vec<_>>().join(" ")
}
