//! Why a condition holds or not, part by part. What holds, the core says.

use divvy::condition::{Condition, EvaluationContext, Source};
use serde::Serialize;
use serde_json::Value;

/// A condition, whether it holds, and its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    /// In words.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// What it looks at has this value; several for several lines. Absent where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// Of what it consists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

/// What becomes of a condition that was written as `raw`.
pub fn truth(
    condition: &Condition,
    raw: &Value,
    context: &EvaluationContext<'_, '_, '_>,
) -> ConditionReport {
    let list = |key: &str, parts: &[Condition]| {
        let written = raw.get(key).and_then(Value::as_array);
        let written = written.map_or(&[][..], Vec::as_slice).iter();
        parts
            .iter()
            .zip(written)
            .map(|(part, raw)| truth(part, raw, context))
            .collect()
    };
    let (text, found, parts) = match condition {
        Condition::All(parts) => ("all of".to_owned(), Vec::new(), list("all", parts)),
        Condition::Any(parts) => ("any of".to_owned(), Vec::new(), list("any", parts)),
        Condition::Not(inner) => {
            let inner = truth(inner, raw.get("not").unwrap_or(&Value::Null), context);
            ("not".to_owned(), Vec::new(), vec![inner])
        }
        Condition::Leaf(source, _) => (words(raw), values(source, context), Vec::new()),
        Condition::Assigned(_) => (words(raw), Vec::new(), Vec::new()),
    };
    ConditionReport {
        text,
        holds: condition.holds(context),
        found,
        parts,
    }
}

/// What a source has in this request.
fn values(source: &Source, context: &EvaluationContext<'_, '_, '_>) -> Vec<String> {
    let request = context.request;
    let one: Option<&[u8]> = match source {
        Source::Header(id) => return shown(request.lines(*id)),
        Source::Label(id) => return shown(request.label(*id)),
        Source::Claim(id) => return shown(request.claim(*id)),
        Source::Cookie(id) => request.cookie(*id),
        Source::Query(id) => request.query_value(*id),
        Source::Path => request.path(),
        Source::Method => request.method,
        Source::Host => request.host(),
        Source::SourceIp => request.source().map(|address| address.text.as_bytes()),
        Source::Identity => context.visitor.carried_identity(),
    };
    shown(one.into_iter())
}

fn shown<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<String> {
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// A leaf as it was written, without the braces: `header x-canary exact "true"`.
pub fn words(raw: &Value) -> String {
    let Some(map) = raw.as_object() else {
        return raw.to_string();
    };
    let first = |key: &str| {
        let sources = [
            "header", "cookie", "query", "label", "jwtClaim", "path", "method", "host", "sourceIp",
            "identity", "assigned",
        ];
        !sources.contains(&key)
    };
    let mut members: Vec<_> = map.iter().collect();
    members.sort_by_key(|(key, _)| first(key));
    let word = |(nth, (key, value)): (usize, (&String, &Value))| match value {
        Value::Bool(true) => key.clone(),
        Value::String(name) if nth == 0 => format!("{key} {name}"),
        value => format!("{key} {value}"),
    };
    let words: Vec<_> = members.into_iter().enumerate().map(word).collect();
    words.join(" ")
}
