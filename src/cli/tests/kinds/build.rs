//! Configurations and the files around them, for the examples of warnings.

use serde_json::{Value, json};

pub fn rollout(more: &Value) -> Value {
    let mut rollout = json!({
        "name": "a", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "strategy": {"canary": {"version": "v2", "weight": 5}},
    });
    rollout
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rollout
}

pub fn config(more: &Value) -> Value {
    json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout(more)]})
}

/// A configuration whose identity is in one header, in and out.
pub fn identity_header() -> Value {
    let mut config = config(&json!({}));
    config["headers"] = json!({"identity": "x-user-id"});
    config
}

/// A configuration with units, these identity sources, and these other headers.
pub fn with_unit(identity: Value, others: &[&str]) -> Value {
    let weighted =
        json!({"weighted": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]});
    let mut config = config(&json!({"strategy": weighted}));
    config["identity"] = identity;
    config["headers"] = json!({"unit": "x-unit"});
    for role in others {
        config["headers"][role] = json!(format!("x-{role}"));
    }
    config
}

/// A configuration with these rules and nothing else.
pub fn ruled(rules: &[Value]) -> Value {
    let rules = rules.iter().enumerate().map(|(nth, rule)| {
        let mut rule = rule.clone();
        rule["name"] = json!(format!("r{nth}"));
        rule["use"] = json!("v2");
        rule
    });
    config(&json!({"rules": rules.collect::<Vec<_>>()}))
}

pub fn when(condition: Value) -> Value {
    json!({"when": condition})
}

pub fn plugin(config: &Value, more: &Value) -> Value {
    let mut plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "divvy", "namespace": "shop"},
        "spec": {"url": "u", "pluginConfig": config},
    });
    plugin["spec"]
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    plugin
}

pub fn service(http: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"}, "spec": {"hosts": ["a"], "http": http}})
}

/// An EnvoyFilter that removes these headers early.
pub fn strip(names: &[&str]) -> Value {
    let removes: Vec<_> = names.iter().map(|name| json!({"remove": name})).collect();
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "s", "namespace": "shop"},
        "spec": {"configPatches": [{"patch": {"value": {"typed_config": {
            "common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"},
            "early_header_mutation_extensions": [{"typed_config": {"mutations": removes}}]}}}}]}})
}

/// A bootstrap in which a value was replaced, or removed with null.
pub fn changed(mut bootstrap: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = bootstrap.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) if value.is_null() => {
            list.remove(field.parse().unwrap());
        }
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        parent if value.is_null() => {
            parent.as_object_mut().unwrap().remove(field);
        }
        parent => parent[field] = value,
    }
    bootstrap
}

pub const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
