//! Units in the output of `divvy explain`, with and without keys.

use crate::common::{divvy_with, file, json, json_with, text};
use serde_json::{Value, json};

#[test]
fn the_unit_is_that_of_proxies_with_the_same_keys() {
    let mut config = json!({
        "identity": [{"header": "x-user-id"}],
        "headers": {"route": "x-divvy-route", "unit": "x-divvy-unit"},
        "rollouts": [{
            "name": "checkout", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1", "target": "{version}",
            "strategy": {"canary": {"version": "v2", "weight": 50}},
        }],
    });
    let keys = file("keys", "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8");
    let keys = ["--keys-file", keys.to_str().unwrap()];
    let user = ["explain", "-", "-r", "/", "-H", "x-user-id: 42"];
    let unit = |config: &Value, more: &[&str]| {
        let report = json_with(&config.to_string(), &[&user[..], more].concat());
        let header = report["request"]["set"].as_array().unwrap().iter();
        let header = header.filter(|pair| pair[0] == "x-divvy-unit");
        let header = header.map(|pair| pair[1].clone()).next();
        let identity = &report["identity"];
        assert_eq!(identity.get("unit"), header.as_ref(), "{report:#}");
        (header, identity.get("unitNeedsKeys").is_some())
    };
    let keyed = (Some(json!("d7a8e2ab14dc2038")), false);
    assert_eq!(unit(&config, &[]), (Some(json!("4062ccb68a58f0ae")), false));
    assert_eq!(unit(&config, &keys), keyed);
    config["rollouts"][0]["sticky"] = json!({"cookie": "got", "signed": true});
    assert_eq!(unit(&config, &[]), (None, true));
    assert_eq!(unit(&config, &keys), keyed);
    let shown = text(&divvy_with(&config.to_string(), &user));
    assert!(
        shown.contains("header x-user-id, in logs digits that need the keys\n"),
        "{shown}"
    );
}

/// What `diff` says of the units, for plugins that pass these environments to their VM.
fn notes(sides: [(&Value, Option<Value>); 2]) -> Vec<String> {
    let files = sides.map(|(config, environment)| {
        let plugin = environment.map(|variables| {
            let configuration = json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string(),
            });
            let vm = json!({
                "code": {"local": {"filename": "divvy.wasm"}}, "environment_variables": variables,
            });
            json!({
                "name": "divvy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {"name": "divvy", "vm_config": vm, "configuration": configuration},
                },
            })
        });
        file(".json", &plugin.unwrap_or_else(|| config.clone()).to_string())
    });
    let [old, new] = [0, 1].map(|nth: usize| files[nth].to_str().unwrap());
    let report = json(&["diff", "--users", "10", old, new]);
    let rollouts = report["rollouts"].as_array().unwrap().iter();
    let lists = rollouts.map(|rollout| &rollout["notes"]);
    let notes = std::iter::once(&report["notes"]).chain(lists);
    let notes = notes.flat_map(|list| list.as_array().unwrap());
    let notes = notes.map(|note| note.as_str().unwrap().to_owned());
    notes
        .filter(|note| note.starts_with("headers.unit: "))
        .collect()
}

#[test]
fn diff_says_when_every_user_gets_another_unit() {
    const OTHER: &str = "every user gets another unit, and a running test counts its users twice";
    let plain = json!({
        "identity": [{"header": "x-user-id"}],
        "headers": {"route": "x-divvy-route", "unit": "x-divvy-unit"},
        "rollouts": [{
            "name": "checkout", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"canary": {"version": "v2", "weight": 50}},
        }],
    });
    let with = |pointer: &str, value: Value| {
        let mut config = plain.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[field] = value;
        config
    };
    let overrides = with("/overrides", json!({"cookie": "ov"}));
    let sticky = with(
        "/rollouts/0/sticky",
        json!({"cookie": "got", "signed": true}),
    );
    let unsigned = with("/rollouts/0/sticky", json!({"cookie": "got"}));
    let minted = json!([{"header": "x-user-id"}, {"cookie": "id", "mint": {"signed": true}}]);
    let minted = with("/identity", minted);
    let renamed = with("/headers/unit", json!("x-unit"));
    let without = with("/headers", json!({"route": "x-divvy-route"}));
    let own = with("/rollouts/0/identity", json!([{"header": "x-device"}]));
    let host = || Some(json!({"host_env_keys": ["DIVVY_KEYS"]}));
    let written = || Some(json!({"key_values": {"DIVVY_KEYS": "2027a:…"}}));
    let none = || Some(json!({}));
    let made = format!("headers.unit: is now made by a key: {OTHER}");
    let no_longer = format!("headers.unit: is no longer made by a key: {OTHER}");
    let perhaps =
        format!("headers.unit: is now made by a key: if the proxies had no keys before, {OTHER}");
    let lost = format!(
        "headers.unit: keys are no longer needed: if the proxies lose them with this change, {OTHER}"
    );
    let name = "headers.unit: is now in x-unit, no longer in x-divvy-unit: access logs and applications \
                have to read it there";
    let identity = "headers.unit: a user with another identity has another unit, so logs before and \
                    after the change cannot be joined";
    for (old, new, expected) in [
        ((&plain, None), (&plain, None), vec![]),
        ((&plain, None), (&unsigned, None), vec![]),
        ((&plain, None), (&overrides, None), vec![&*perhaps]),
        ((&plain, None), (&sticky, None), vec![&*perhaps]),
        ((&plain, None), (&minted, None), vec![&*perhaps, identity]),
        ((&overrides, None), (&plain, None), vec![&*lost]),
        ((&overrides, None), (&sticky, None), vec![]),
        ((&plain, none()), (&plain, host()), vec![&*made]),
        ((&plain, none()), (&plain, written()), vec![&*made]),
        ((&plain, none()), (&sticky, host()), vec![&*made]),
        ((&plain, host()), (&plain, none()), vec![&*no_longer]),
        ((&plain, host()), (&plain, written()), vec![]),
        ((&plain, host()), (&sticky, host()), vec![]),
        ((&plain, none()), (&plain, none()), vec![]),
        // A file with only the configuration does not say whether there are keys.
        ((&plain, none()), (&plain, None), vec![]),
        ((&plain, None), (&plain, host()), vec![&*perhaps]),
        ((&plain, None), (&renamed, None), vec![name]),
        ((&plain, none()), (&renamed, host()), vec![name, &*made]),
        ((&plain, None), (&own, None), vec![identity]),
        // Only one of them has units.
        ((&without, none()), (&plain, host()), vec![]),
        ((&plain, host()), (&without, none()), vec![]),
    ] {
        assert_eq!(
            notes([old.clone(), new.clone()]),
            expected,
            "{old:?}\n{new:?}"
        );
    }
}
