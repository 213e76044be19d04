//! Why a condition holds or not, part by part, as the core recorded it.

use divvy::trace::ConditionTrace;
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

/// The report of a recorded condition that was written as `raw`.
pub fn truth(trace: ConditionTrace, raw: &Value) -> ConditionReport {
    let list = |key: &str| raw.get(key).and_then(Value::as_array);
    let (text, written): (_, Vec<&Value>) = match (list("all"), list("any"), raw.get("not")) {
        (Some(parts), ..) => ("all of".to_owned(), parts.iter().collect()),
        (_, Some(parts), _) => ("any of".to_owned(), parts.iter().collect()),
        (_, _, Some(inner)) => ("not".to_owned(), vec![inner]),
        _ => (words(raw), Vec::new()),
    };
    let found = trace.values.iter();
    ConditionReport {
        text,
        holds: trace.holds,
        found: found
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect(),
        parts: trace
            .parts
            .into_iter()
            .zip(written)
            .map(|(part, raw)| truth(part, raw))
            .collect(),
    }
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
