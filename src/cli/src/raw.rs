//! Access to the fields of a configuration as JSON. Must not depend on other modules.

use serde_json::Value;

/// The elements of a list in a configuration; empty if the field is missing.
pub fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    let list = value.get(field).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The text of a field; empty if it is missing.
pub fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The salt of a rollout, which is its name by default.
pub fn salt(rollout: &Value) -> &str {
    match text(rollout, "salt") {
        "" => text(rollout, "name"),
        salt => salt,
    }
}
