//! Examples of warnings about signatures and keys.

use super::Example;
use super::build::*;
use divvy_cli::warnings::Kind;
use serde_json::{Value, json};

/// `DIVVY_KEYS` of the command.
pub const KEYS: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

fn sticky(fields: &Value) -> Value {
    let mut cookie = json!({"cookie": "got", "maxAge": "30d"});
    let more = fields.as_object().unwrap().clone();
    cookie.as_object_mut().unwrap().extend(more);
    config(&json!({"sticky": cookie}))
}

fn minting(mut config: Value, signed: bool) -> Value {
    config["identity"] = json!([{"cookie": "id", "mint": {"signed": signed}}]);
    config
}

fn with(mut config: Value, field: &str, value: Value) -> Value {
    config[field] = value;
    config
}

fn envoy(variables: &Value) -> Value {
    let text = sticky(&json!({"signed": true})).to_string();
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "divvy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "divvy",
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "environment_variables": variables},
            },
        },
    }]})
}

fn policy(env: &Value) -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy", "metadata": {"name": "divvy"},
        "spec": {"wasm": [{"name": "divvy", "env": env, "config": sticky(&json!({"signed": true}))}]},
    })
}

pub fn examples() -> Vec<Example> {
    let signed = sticky(&json!({"signed": true}));
    let overrides = json!({"cookie": "ov"});
    let keys = |variable: Value| json!({"vmConfig": {"env": [variable]}});
    let host = json!({"name": "DIVVY_KEYS", "valueFrom": "HOST"});
    let until = |instant: &str| sticky(&json!({"signed": true, "acceptUnsignedUntil": instant}));
    let month = std::time::SystemTime::now() + std::time::Duration::from_secs(30 * 86_400);
    let month = humantime::format_rfc3339_seconds(month).to_string();
    let with_header = config(&json!({}));
    let with_header = with(with_header, "overrides", json!({"header": "x-ov"}));
    let stripped = [
        "x-divvy-route",
        "x-divvy-assignment",
        "x-divvy-mirror",
        "x-divvy-unit",
    ];
    let test = |unit: &str| {
        let arms = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
        let mut config = config(&json!({"strategy": {"abTest": {"split": arms}}}));
        config["headers"] = json!({"assignment": "x-divvy-assignment", unit: "x-divvy-unit"});
        config
    };
    vec![
        (
            Kind::NoKeys,
            vec![plugin(&signed, &json!({}))],
            vec![plugin(&signed, &keys(host.clone()))],
        ),
        (
            Kind::NoKeys,
            vec![plugin(
                &minting(config(&json!({})), true),
                &json!({"vmConfig": {"env": [{"name": "DIVVY_STRICT", "value": "1"}]}}),
            )],
            vec![plugin(&config(&json!({})), &json!({}))],
        ),
        (
            Kind::NoKeys,
            vec![plugin(
                &with(config(&json!({})), "overrides", overrides.clone()),
                &json!({}),
            )],
            vec![plugin(
                &with(config(&json!({})), "overrides", overrides.clone()),
                &keys(host),
            )],
        ),
        (
            Kind::NoKeys,
            vec![envoy(&json!({"host_env_keys": ["DIVVY_STRICT"]}))],
            vec![envoy(
                &json!({"host_env_keys": ["DIVVY_STRICT", "DIVVY_KEYS"]}),
            )],
        ),
        (
            Kind::NoKeys,
            vec![policy(&json!({}))],
            vec![policy(&json!({"hostKeys": ["DIVVY_KEYS"]}))],
        ),
        (
            Kind::WrittenKeys,
            vec![envoy(&json!({"key_values": {"DIVVY_KEYS": KEYS}}))],
            vec![envoy(
                &json!({"host_env_keys": ["DIVVY_KEYS"], "key_values": {"OTHER": "x"}}),
            )],
        ),
        (
            Kind::WrittenKeys,
            vec![plugin(
                &config(&json!({})),
                &keys(json!({"name": "DIVVY_KEYS", "value": KEYS})),
            )],
            vec![plugin(&config(&json!({})), &json!({}))],
        ),
        (
            Kind::Unsigned,
            vec![with(sticky(&json!({})), "overrides", overrides.clone())],
            vec![with(signed.clone(), "overrides", overrides.clone())],
        ),
        (
            Kind::Unsigned,
            vec![minting(sticky(&json!({})), true)],
            vec![minting(signed.clone(), true)],
        ),
        (
            Kind::Unsigned,
            vec![minting(signed.clone(), false)],
            vec![signed],
        ),
        (
            Kind::Unsigned,
            vec![until("2100-01-01T00:00:00Z")],
            vec![until(&month)],
        ),
        (
            Kind::NoEffect,
            vec![until("2020-01-01T00:00:00Z")],
            vec![until(&month)],
        ),
        (
            Kind::NoEffect,
            vec![with(
                with_header.clone(),
                "overridesAfter",
                json!("2100-01-01T00:00:00Z"),
            )],
            vec![with(
                with_header.clone(),
                "overridesAfter",
                json!("2026-01-01T00:00:00Z"),
            )],
        ),
        (
            Kind::InputRemoved,
            vec![
                plugin(
                    &with_header,
                    &keys(json!({"name": "DIVVY_KEYS", "valueFrom": "HOST"})),
                ),
                strip(&[&stripped[..], &["x-ov"]].concat()),
            ],
            vec![
                plugin(
                    &with_header,
                    &keys(json!({"name": "DIVVY_KEYS", "valueFrom": "HOST"})),
                ),
                strip(&stripped),
            ],
        ),
        (Kind::UnitKey, vec![test("unit")], vec![test("identity")]),
    ]
}
