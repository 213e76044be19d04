//! Builds configurations for the tests of all packages.

use serde_json::{Map, Value, json};

/// A rollout for every request whose target is its version. The first version is stable.
#[must_use]
pub fn rollout(name: &str, versions: &[&str], strategy: &Value) -> Value {
    let named: Vec<_> = versions.iter().map(|name| json!({"name": name})).collect();
    json!({
        "name": name,
        "target": "{version}",
        "versions": named,
        "stable": versions.first(),
        "strategy": strategy,
    })
}

/// An object with these fields added or replaced.
#[must_use]
pub fn with(mut object: Value, fields: &Value) -> Value {
    if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
        object.extend(Map::clone(fields));
    }
    object
}

/// The strategy that gives all users this version.
#[must_use]
pub fn blue_green(version: &str) -> Value {
    json!({"blueGreen": {"active": version}})
}

/// The strategy that gives v2 to this percentage of the users.
#[must_use]
pub fn canary(weight: f64) -> Value {
    json!({"canary": {"version": "v2", "weight": weight}})
}
