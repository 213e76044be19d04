//! Units in the output of `divvy explain`, with and without keys.

use crate::common::{divvy_with, file, json_with, text};
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
