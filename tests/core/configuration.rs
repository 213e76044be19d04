//! Valid configurations, and the errors of all others.
use divvy::config::{self, digest, inert, parse};
use serde_json::{Value, json};

use crate::compile::errors_of;

/// A valid configuration.
fn valid() -> Value {
    serde_json::from_str(include_str!("../cases/valid.json")).unwrap()
}

#[test]
fn the_reference_configuration_is_accepted() {
    assert_eq!(errors_of(&valid()), Vec::<String>::new());
}

/// Each row of `tests/cases/broken.json` changes one value of the valid configuration and has the
/// first error.
#[test]
fn every_broken_configuration_has_its_error_with_its_path() {
    let rows = divvy_cases::broken();
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    let mut further = 0;
    for (config, error) in rows {
        let errors = errors_of(&config);
        assert_eq!(errors.first(), Some(&error), "{config}");
        further += usize::from(errors.len() > 1);
    }
    assert_eq!(
        further, 12,
        "rows with further errors, from names that others refer to"
    );
}

#[test]
fn all_errors_are_reported_at_once_and_one_type_error_per_element() {
    let rollout = |name: &str, stable: &str, weight: Value| {
        json!({
            "name": name, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": stable,
            "rules": [
                {"name": "a", "when": {"header": "x", "exact": 1}, "use": "v2"},
                {"name": "b", "when": {"header": "x", "exact": "1"}, "use": "v9"},
                {"name": "c"},
            ],
            "strategy": {"canary": {"version": "v3", "weight": weight}},
        })
    };
    let config = json!({
        "responseHeader": 5,
        "identity": [{"heder": "x"}, {"header": "x"}],
        "rollouts": [
            rollout("A", "v4", json!(5)),
            rollout("b", "v1", json!("5")),
            7,
            rollout("b", "v1", json!(5)),
        ],
    });
    assert_eq!(
        errors_of(&config),
        [
            "responseHeader: is a number: write a string",
            "identity[0]: unknown field `heder`, expected one of `header`, `cookie`, `query`, `jwtClaim`, `sourceIp`, `concat`, `random`, `jwtPayload`, `type`, `mint`",
            "rollouts[0].name: \"A\" is not a valid name: it must match [a-z][a-z0-9._-]{0,63}",
            "rollouts[0].stable: \"v4\" is not one of v1, v2",
            "rollouts[0].rules[0].when.exact: is a number: write a string",
            "rollouts[0].rules[1].use: \"v9\" is not one of v1, v2",
            "rollouts[0].rules[2]: missing field `when`",
            "rollouts[0].strategy.canary.version: \"v3\" is not one of v1, v2",
            "rollouts[1].strategy.canary.weight: is a string: write a number",
            "rollouts[2]: is a number: write an object",
            "rollouts[3].rules[0].when.exact: is a number: write a string",
            "rollouts[3].rules[1].use: \"v9\" is not one of v1, v2",
            "rollouts[3].rules[2]: missing field `when`",
            "rollouts[3].strategy.canary.version: \"v3\" is not one of v1, v2",
        ]
    );
}

#[test]
fn text_that_is_not_a_configuration_has_an_error_that_says_what_to_write() {
    let long = vec![b' '; config::limits::MAX_BYTES + 1];
    for (bytes, error) in [
        (
            &b"{"[..],
            "configuration: line 1, column 1: is not JSON: EOF while parsing an object",
        ),
        (
            b"rollouts:\n- name: a",
            "configuration: line 1, column 1: is not JSON: expected value; write a JSON object, not YAML",
        ),
        (b"[]", "configuration: is a list: write an object"),
        (
            b"{} {}",
            "configuration: line 1, column 4: is not JSON: trailing characters",
        ),
        (
            b"{\"version\": \"\xff\"}",
            "configuration: line 1, column 14: is not JSON: invalid unicode code point",
        ),
        (
            b"\n\x13\n\x08rollouts\x12\x07",
            "configuration: is a google.protobuf.Struct, which arrives as raw protobuf: write the configuration as JSON text in a google.protobuf.StringValue",
        ),
        (
            b"{\"version\": \"1\", \"version\": \"2\"}",
            "version: is a duplicate key",
        ),
        (
            &long,
            "configuration: has 1048577 bytes: the maximum is 1048576",
        ),
    ] {
        let errors = parse(bytes).unwrap_err();
        assert_eq!(errors.to_string(), error);
    }
    let twice = br#"{"rollouts": [{"versions": [{"name": "a", "name": "b"}]}]}"#;
    let errors = parse(twice).unwrap_err().to_string();
    assert!(
        errors.starts_with("rollouts[0].versions[0].name: is a duplicate key"),
        "{errors}"
    );
}

#[test]
fn the_maximum_is_allowed_and_one_more_is_an_error() {
    let version = |n: usize| json!({"name": format!("v{n}")});
    let rule = |n: usize| json!({"name": format!("r{n}"), "when": {"header": "x", "present": true}, "use": "v0"});
    let rollout = |n: usize, versions: usize, rules: usize| {
        json!({
            "name": format!("r{n}"),
            "versions": (0..versions).map(version).collect::<Vec<_>>(),
            "stable": "v0",
            "rules": (0..rules).map(rule).collect::<Vec<_>>(),
            "strategy": {"blueGreen": {"active": "v0"}},
        })
    };
    let rollouts = |count: usize| json!({"rollouts": (0..count).map(|n| rollout(n, 1, 0)).collect::<Vec<_>>()});
    let sources = |count: usize| json!({"identity": vec![json!({"header": "x"}); count]});
    for (allowed, too_many, error) in [
        (
            rollouts(1_000),
            rollouts(1_001),
            "rollouts: has 1001 rollouts: the maximum is 1000",
        ),
        (
            json!({"rollouts": [rollout(0, 32, 0)]}),
            json!({"rollouts": [rollout(0, 33, 0)]}),
            "rollouts[0].versions: has 33 versions: the maximum is 32",
        ),
        (
            json!({"rollouts": [rollout(0, 1, 64)]}),
            json!({"rollouts": [rollout(0, 1, 65)]}),
            "rollouts[0].rules: has 65 rules: the maximum is 64",
        ),
        (
            sources(16),
            sources(17),
            "identity: has 17 sources: the maximum is 16",
        ),
    ] {
        assert_eq!(errors_of(&allowed), Vec::<String>::new());
        assert_eq!(errors_of(&too_many), [error]);
    }
}

#[test]
fn deeply_nested_json_is_one_error() {
    let nested = |levels: usize| {
        let open = "{\"not\":".repeat(levels);
        let close = "}".repeat(levels);
        format!(
            r#"{{"rollouts": [{{"name": "a", "versions": [{{"name": "v"}}], "stable": "v",
            "strategy": {{"blueGreen": {{"active": "v"}}}},
            "rules": [{{"name": "r", "use": "v", "when": {open}{{}}{close}}}]}}]}}"#
        )
    };
    for levels in [100, 1_000, 50_000] {
        let errors = parse(nested(levels).as_bytes()).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{levels}: {errors}");
    }
}

#[test]
fn no_bytes_and_an_empty_object_are_the_empty_configuration() {
    for bytes in [&b""[..], b"{}", b" { } \n", b"\n{\"rollouts\": []}"] {
        assert!(parse(bytes).unwrap().rollouts.is_empty());
    }
}

#[test]
fn the_fingerprint_depends_on_the_meaning_and_not_on_the_text() {
    let of = |text: &str| inert(text.as_bytes()).fingerprint;
    assert_eq!(
        of(r#"{"a": 1, "b": {"d": 5, "c": 1e3}}"#),
        of(r#"{"b":{"c":1000.0,"d":5.0},"a":1}"#)
    );
    assert_ne!(of(r#"{"a": 1}"#), of(r#"{"a": 2}"#));
    assert_ne!(of(r#"{"a": [1, 2]}"#), of(r#"{"a": [2, 1]}"#));
    assert_ne!(of("no JSON"), of("no JSON either"));
    let (one, other) = (r#"{"version": "5000"}"#, r#"{ "version" : "5000" }"#);
    let accepted = parse(one.as_bytes()).unwrap().fingerprint;
    assert_eq!(accepted, of(other));
    assert_ne!(digest(one.as_bytes()), digest(other.as_bytes()));
}

#[test]
fn the_headers_of_a_refused_configuration_are_removed_from_requests() {
    let owned = |text: &str| -> Vec<String> {
        let policy = inert(text.as_bytes());
        policy
            .reserved_headers
            .iter()
            .map(|header| header.name.to_string())
            .collect()
    };
    let default = [
        "x-divvy-route",
        "x-divvy-assignment",
        "x-divvy-mirror",
        "x-divvy-unit",
    ];
    assert_eq!(owned("{"), default);
    assert_eq!(owned(r#"{"headers": 7, "rollouts": 7}"#), default);
    let custom =
        r#"{"headers": {"route": "X-Where", "mirror": 5, "typo": "x-who"}, "rollouts": 7}"#;
    let all = owned(custom);
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(all.contains(&"x-where".to_owned()) && all.contains(&"x-who".to_owned()));
}

#[test]
fn adjacent_ranges_of_a_layer_are_allowed() {
    let mut config = valid();
    let split = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
    for (from, to) in [(50, 100), (50, 51)] {
        config["rollouts"][2]["strategy"] = json!({"abTest": {
            "split": split, "layer": {"name": "page", "from": from, "to": to},
        }});
        assert_eq!(errors_of(&config), Vec::<String>::new());
    }
}

#[test]
fn the_first_regular_expression_above_the_maximum_is_the_error() {
    let patterns = |count: usize| {
        let list: Value = (0..count)
            .map(|_| json!({"header": "a", "regex": "b"}))
            .collect();
        let mut config = valid();
        config["rollouts"][0]["rules"][0]["when"] = json!({"any": list});
        errors_of(&config)
    };
    assert_eq!(patterns(config::limits::MAX_REGEXES), Vec::<String>::new());
    assert_eq!(
        patterns(config::limits::MAX_REGEXES + 7),
        [
            "rollouts[0].rules[0].when.any[200].regex: is one regular expression too many: the maximum is 200"
        ]
    );
}

#[test]
fn the_expose_headers_of_a_refused_configuration_are_removed_from_requests() {
    let mut config = valid();
    config["rollouts"][0]["stable"] = json!("v9");
    let policy = inert(config.to_string().as_bytes());
    let names: Vec<_> = policy
        .reserved_headers
        .iter()
        .map(|header| &*header.name)
        .collect();
    assert_eq!(
        names,
        [
            "x-divvy-route",
            "x-divvy-assignment",
            "x-divvy-mirror",
            "x-divvy-unit",
            "x-gray-id",
            "x-abtest-group",
            "x-abtest-id",
            "x-override"
        ]
    );
}
