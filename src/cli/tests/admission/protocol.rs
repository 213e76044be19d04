//! What the API server gets for an object.

use std::time::Instant;

use serde_json::{Value, json};

use super::lab::{Server, canary, plugin, review};
use crate::common::json_with;

/// The messages of `divvy check` about an object.
fn messages_of_check(object: &Value, severity: &str) -> Vec<String> {
    let report = json_with(&object.to_string(), &["check", "-"]);
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["severity"] == severity);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| {
            let path = match &*text(&finding["path"]) {
                "" => "configuration".to_owned(),
                path => path.to_owned(),
            };
            let message = text(&finding["message"]);
            match (&finding["suggestion"], &finding["warning"]) {
                (Value::String(hint), _) => format!("{path}: {message}; {hint}"),
                (_, Value::String(kind)) => format!("{path}: {message} [{kind}]"),
                _ => format!("{path}: {message}"),
            }
        })
        .collect()
}

/// The same configuration in each kind of object that carries one.
fn carriers(config: &Value) -> Vec<Value> {
    let metadata =
        json!({"name": "divvy", "namespace": "shop", "labels": {"divvy": "configuration"}});
    let url = "oci://registry.example.com/divvy:1";
    let envoy = json!({
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
        "vm_config": {"runtime": "envoy.wasm.runtime.v8"},
    });
    vec![
        plugin(config),
        json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension", "metadata": metadata,
            "spec": {"wasm": {"url": url, "pluginConfig": config}}}),
        json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy", "metadata": metadata,
            "spec": {"wasm": [{"name": "divvy", "code": {"image": {"url": url}}, "config": config}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"divvy.json": config.to_string()}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"plugin.yaml": envoy.to_string()}}),
        json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": metadata,
            "spec": {"configPatches": [{"applyTo": "HTTP_FILTER", "patch": {"value": {"typed_config": {"config": envoy}}}}]}}),
    ]
}

#[test]
fn every_kind_of_object_is_refused_with_the_messages_of_check() {
    let server = Server::start(&[]);
    let mut client = server.connect().unwrap();
    let mut wrong = canary(20);
    wrong["rolouts"] = json!([]);
    let mut absent = canary(500);
    absent["rollouts"][0]["strategy"]["canary"]["version"] = "v3".into();
    for config in [wrong, absent] {
        for object in carriers(&config) {
            let answer = client.review(&review(&object));
            assert_eq!(answer["allowed"], false, "{object}");
            let expected = messages_of_check(&object, "error");
            assert!(!expected.is_empty());
            assert_eq!(answer["status"]["message"], expected.join("\n"), "{object}");
            assert_eq!(answer["status"]["code"], 422);
            assert_eq!(answer["status"]["reason"], "Invalid");
        }
    }
    let message = "refused WasmPlugin istio-system/divvy: rollouts[0].strategy.canary.";
    server.line(message);
    for object in carriers(&canary(20)) {
        let answer = client.review(&review(&object));
        assert_eq!(
            answer,
            json!({"uid": answer["uid"], "allowed": true}),
            "{object}"
        );
    }
}

#[test]
fn warnings_of_check_are_warnings_of_the_answer_and_refused_with_strict() {
    let mut config = canary(20);
    config["rollouts"][0]["rules"] = json!([
        {"name": "no-user", "when": {"header": "x-ring", "exact": "a"}, "use": "v2", "percent": 0},
    ]);
    let object = plugin(&config);
    let expected = messages_of_check(&object, "warning");
    assert!(
        expected[0].ends_with(" [rule-never-decides]"),
        "{expected:?}"
    );
    let answer = Server::start(&[]).ask(&object);
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["warnings"], json!(expected));
    let answer = Server::start(&["--strict"]).ask(&object);
    assert_eq!(answer["allowed"], false);
    assert_eq!(answer["status"]["message"], expected.join("\n"));
}

#[test]
fn other_objects_and_deletions_are_admitted() {
    let server = Server::start(&[]);
    let other = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "waf"},
        "spec": {"url": "oci://registry.example.com/waf:1", "pluginConfig": {"rules": ["x"]}},
    });
    let mut ending = plugin(&canary(500));
    ending["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z".into();
    for object in [other, ending, Value::Null] {
        let answer = server.ask(&object);
        assert_eq!(answer["allowed"], true, "{object}");
        assert!(answer["warnings"].is_null(), "{object}");
    }
    let empty = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "a", "namespace": "shop", "labels": {"divvy": "configuration"}},
    });
    let answer = server.ask(&empty);
    assert_eq!(answer["allowed"], true);
    let warning =
        "the object has the label divvy: configuration and contains no divvy configuration";
    assert_eq!(answer["warnings"], json!([warning]));
}

#[test]
fn metadata_of_an_invalid_object_can_change_and_its_configuration_only_to_a_valid_one() {
    let server = Server::start(&[]);
    let mut client = server.connect().unwrap();
    for (old, new, allowed, warned) in [
        (500, 500, true, true),
        (500, 400, false, false),
        (500, 50, true, false),
        (50, 500, false, false),
    ] {
        let mut object = plugin(&canary(new));
        object["metadata"]["finalizers"] = json!([]);
        object["status"] = json!({"observedGeneration": 2});
        let mut update = review(&object);
        update["request"]["operation"] = "UPDATE".into();
        update["request"]["oldObject"] = plugin(&canary(old));
        let answer = client.review(&update);
        assert_eq!(answer["allowed"], allowed, "{old} to {new}");
        let first = answer["warnings"][0].as_str().unwrap_or_default();
        let is_old = first.starts_with("invalid, as it was before this change: rollouts[0].");
        assert_eq!(is_old, warned, "{old} to {new}: {answer}");
    }
}

#[test]
fn names_of_several_configurations_stand_before_their_messages() {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"},
        "data": {"one.json": canary(500).to_string(), "two.json": canary(20).to_string()},
    });
    let answer = Server::start(&[]).ask(&object);
    let message = answer["status"]["message"].as_str().unwrap();
    let start = "one.json: rollouts[0].strategy.canary.weight: ";
    assert!(
        message.starts_with(start) && !message.contains("two.json"),
        "{message}"
    );
}

#[test]
fn an_answer_lists_at_most_twenty_errors() {
    let rollouts: Vec<Value> = (0..30)
        .map(|number| json!({"name": format!("r{number}")}))
        .collect();
    let answer = Server::start(&[]).ask(&plugin(&json!({"rollouts": rollouts})));
    let message = answer["status"]["message"].as_str().unwrap();
    assert_eq!(message.lines().count(), 21);
    let last = message.lines().last().unwrap();
    assert!(
        last.ends_with("more errors: `divvy check` shows them all"),
        "{last}"
    );
}

#[test]
fn one_connection_carries_200_admissions_per_second() {
    const ADMISSIONS: u32 = 200;
    let server = Server::start(&[]);
    let mut client = server.connect().unwrap();
    let review = review(&plugin(&canary(20)));
    // Other tests share the processors, so the best of a few rounds counts.
    let mut rates = (0..10).map(|_| {
        let start = Instant::now();
        for _ in 0..ADMISSIONS {
            assert_eq!(client.review(&review)["allowed"], true);
        }
        f64::from(ADMISSIONS) / start.elapsed().as_secs_f64()
    });
    let rate = rates.find(|rate| *rate >= 200.0);
    let rate = rate.expect("no round reached 200 admissions per second");
    println!("{rate:.0} admissions per second on one connection");
}
