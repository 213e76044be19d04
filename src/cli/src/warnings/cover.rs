//! Whether one condition holds for all requests for which another one holds.

use divvy::condition::Operator;
use divvy::condition::operator::COMBINATIONS;
use serde_json::Value;

use super::paths::operator_covers;
use crate::raw::list;

/// The source of a leaf: its fields without the operator.
pub(super) fn source(leaf: &Value) -> Option<Value> {
    let mut source = leaf.as_object()?.clone();
    let combines = COMBINATIONS.iter().any(|key| source.contains_key(*key));
    if combines || source.contains_key("assigned") {
        return None;
    }
    for key in Operator::names().chain(["ignoreCase"]) {
        source.remove(key);
    }
    if let Some(Value::String(name)) = source.get_mut("header") {
        name.make_ascii_lowercase();
    }
    Some(Value::Object(source))
}

/// The operator of a leaf: its fields without the source.
fn operator(leaf: &Value) -> Value {
    let fields = leaf.as_object().cloned().unwrap_or_default();
    let known: Vec<_> = Operator::names().chain(["ignoreCase"]).collect();
    let fields = fields.into_iter();
    Value::Object(fields.filter(|(key, _)| known.contains(&&**key)).collect())
}

/// A condition without a `not` of a `not`.
fn positive(mut when: &Value) -> &Value {
    while let Some(inner) = when.get("not").and_then(|not| not.get("not")) {
        when = inner;
    }
    when
}

/// Whether `wider` certainly holds for all requests for which `narrow` holds.
pub(super) fn covers(wider: &Value, narrow: &Value) -> bool {
    let (wider, narrow) = (positive(wider), positive(narrow));
    if wider == narrow || always(wider) {
        return true;
    }
    if let (Some(wider), Some(narrow)) = (wider.get("not"), narrow.get("not")) {
        return covers(narrow, wider);
    }
    // `wider` covers one part of an `all`, or has a part that covers everything.
    if list(narrow, "all").iter().any(|part| covers(wider, part))
        || list(wider, "any").iter().any(|part| covers(part, narrow))
    {
        return true;
    }
    let (any, all) = (list(narrow, "any"), list(wider, "all"));
    if (!any.is_empty() && any.iter().all(|part| covers(wider, part)))
        || (!all.is_empty() && all.iter().all(|part| covers(part, narrow)))
    {
        return true;
    }
    let (Some(one), Some(other)) = (source(wider), source(narrow)) else {
        return false;
    };
    if one != other {
        return false;
    }
    let absent = narrow.get("present") == Some(&Value::Bool(false));
    if wider.get("present") == Some(&Value::Bool(true)) {
        return !absent;
    }
    let is_path = one.get("path").is_some();
    operator_covers(&operator(wider), &operator(narrow), is_path)
}

/// Whether a condition holds for every request.
pub(super) fn always(when: &Value) -> bool {
    if let Some(all) = when.get("all").and_then(Value::as_array) {
        return all.iter().all(always);
    }
    if let Some(any) = when.get("any").and_then(Value::as_array) {
        return any.iter().any(always);
    }
    let is = |key: &str| when.get(key).is_some();
    let is_text = |key: &str, text: &str| when.get(key).and_then(Value::as_str) == Some(text);
    let is_sent = is("path") || is("method") || is("host");
    let is_present = when.get("present") == Some(&Value::Bool(true));
    (is_sent && (is_present || is_text("regex", ".*")))
        || (is("path") && (is_text("prefix", "/") || is_text("regex", "/.*")))
}
