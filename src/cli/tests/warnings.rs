//! The warnings of `divvy check`.

use crate::common::{divvy_with, json_with};
use serde_json::{Value, json};

fn rollout(name: &str, more: &Value) -> Value {
    let mut rollout = json!({
        "name": name,
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
        "strategy": {"canary": {"version": "v2", "weight": 5}},
    });
    let fields = more.as_object().unwrap().clone();
    rollout.as_object_mut().unwrap().extend(fields);
    rollout
}

fn config(rollouts: &[Value]) -> Value {
    json!({"identity": [{"header": "x-user-id"}], "holdout": {"name": "h", "percent": 2}, "rollouts": rollouts})
}

/// `path: message` of each warning; nothing may be an error.
fn warnings(text: &str, more: &[&str]) -> Vec<String> {
    let report = json_with(text, &[&["check", "-"], more].concat());
    assert_eq!(report["errors"], 0, "{report:#}");
    let findings = report["findings"].as_array().unwrap().iter();
    let shown = |part: &Value| part.as_str().unwrap().to_owned();
    findings
        .map(|one| format!("{}: {}", shown(&one["path"]), shown(&one["message"])))
        .collect()
}

/// Asserts one warning that starts with this text, or none if it is empty.
fn assert_warned(config: &Value, more: &[&str], expected: &str) {
    let found = warnings(&config.to_string(), more);
    let fits = match (found.as_slice(), expected) {
        ([], "") => true,
        ([one], expected) => !expected.is_empty() && one.starts_with(expected),
        _ => false,
    };
    assert!(fits, "{config}\n{found:#?}\nexpected {expected:?}");
}

#[test]
fn a_rule_that_can_never_decide_causes_a_warning() {
    let exact = |name: &str, value: &str| json!({name: "s", "exact": value});
    let x = exact("cookie", "x");
    let method = |method: &str| json!({"method": true, "exact": method});
    for (rules, expected) in [
        // Each rule: its condition, and a percentage where it has one.
        (json!([[x], [exact("cookie", "y")]]), ""),
        (
            json!([[x], [x]]),
            "rules[1].when: never decides: the earlier rule r0",
        ),
        (json!([[x, 50], [x]]), ""),
        (json!([[x, 100], [x]]), "rules[1].when: never decides"),
        (json!([[x, 0]]), "rules[0].percent: is 0"),
        (
            json!([[{"cookie": "s", "in": ["x", "y"]}], [x]]),
            "rules[1].when: never decides",
        ),
        (json!([[x], [{"cookie": "s", "in": ["x", "y"]}]]), ""),
        (
            json!([[{"cookie": "s", "present": true}], [{"cookie": "s", "prefix": "a"}]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"cookie": "s", "present": true}], [{"cookie": "s", "present": false}]]),
            "",
        ),
        (
            json!([[{"header": "A", "exact": "x"}], [{"header": "a", "exact": "x"}]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"any": [x, exact("query", "q")]}], [x]]),
            "rules[1].when: never decides",
        ),
        (json!([[{"all": [x, exact("query", "q")]}], [x]]), ""),
        (
            json!([[{"cookie": "s", "regex": "ab.*"}], [{"cookie": "s", "prefix": "abc"}]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"not": {"not": x}}], [x]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"not": x}], [{"not": {"cookie": "s", "in": ["x", "y"]}}]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"not": {"cookie": "s", "in": ["x", "y"]}}], [{"not": x}]]),
            "",
        ),
        (
            json!([[x], [{"all": [exact("query", "q"), x]}]]),
            "rules[1].when: never decides",
        ),
        (
            json!([[{"all": [x, exact("cookie", "y")]}]]),
            "rules[0].when: never holds: no value fulfils both",
        ),
        (
            json!([[{"all": [x, {"cookie": "s", "present": false}]}]]),
            "rules[0].when: never holds: a value cannot be both",
        ),
        (
            json!([[{"all": [x, {"not": x}]}]]),
            "rules[0].when: never holds: a condition and its",
        ),
        // A header may have several lines, one for each value.
        (
            json!([[{"all": [exact("header", "x"), exact("header", "y")]}]]),
            "",
        ),
        (json!([[method("GET")]]), ""),
        (
            json!([[method("PUT")]]),
            "rules[0].when: never holds: match does not list the method",
        ),
    ] {
        let rules: Value = rules
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(nth, rule)| {
                let mut written = json!({"name": format!("r{nth}"), "when": rule[0], "use": "v2"});
                if let Some(percent) = rule.get(1) {
                    written["percent"] = percent.clone();
                }
                written
            })
            .collect();
        let more = json!({"match": [{"methods": ["GET", "POST"]}], "rules": rules});
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("rollouts[0].{expected}")
        };
        assert_warned(&config(&[rollout("a", &more)]), &[], &expected);
    }
}

#[test]
fn one_salt_in_two_experiments_causes_a_warning_unless_they_share_no_users() {
    let test = |from: u32, layer: bool| {
        let mut test =
            json!({"split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]});
        if layer {
            test["layer"] = json!({"name": "page", "from": from, "to": from + 50});
        }
        json!({"salt": "s", "strategy": {"abTest": test}})
    };
    let shared = "rollouts[1].salt: \"s\" is also the salt of a";
    let canary = json!({"salt": "s"});
    let off = json!({"salt": "s", "enabled": false});
    let full = json!({"salt": "s", "strategy": {"canary": {"version": "v2", "weight": 100}}});
    for (one, other, expected) in [
        (json!({}), json!({}), ""),
        (canary.clone(), canary.clone(), shared),
        (canary.clone(), json!({"salt": "other"}), ""),
        (canary.clone(), off, ""),
        (canary.clone(), full, ""),
        (test(0, false), canary, shared),
        (test(0, true), test(50, true), ""),
        (test(0, true), test(0, false), shared),
    ] {
        assert_warned(
            &config(&[rollout("a", &one), rollout("b", &other)]),
            &[],
            expected,
        );
    }
    let named = rollout("b", &json!({"salt": "c"}));
    assert_warned(
        &config(&[named, rollout("c", &json!({}))]),
        &[],
        "rollouts[1].name: \"c\" is also the salt",
    );
}

#[test]
fn a_salt_beside_the_hash_of_another_system_causes_a_warning_unless_something_else_reads_it() {
    let expected = "rollouts[0].salt: has no effect: hash assigns the users, and no rule with percent or \
                    split, no mirror and no sticky cookie reads the salt";
    let of = |more: Value| {
        let hash = json!({"flagd": {"flag": "shop"}});
        let mut fields = json!({"salt": "s", "hash": hash});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config(&[rollout("shop", &fields)]).to_string()
    };
    let is_warned = |text: &str| {
        warnings(text, &[])
            .iter()
            .any(|line| line.contains(expected))
    };
    assert!(is_warned(&of(json!({}))));
    let when = json!({"header": "x", "present": true});
    for reader in [
        json!({"sticky": {"cookie": "c", "maxAge": "1h"}}),
        json!({"rules": [{"name": "r", "when": when, "percent": 5, "use": "v2"}]}),
        json!({"mirror": {"version": "v2", "percent": 5}, "target": "{version}"}),
    ] {
        assert!(!is_warned(&of(reader.clone())), "{reader}");
    }
}

#[test]
fn a_guardrail_that_never_judges_causes_a_warning() {
    let errors = |min: u32| json!({"guardrail": {"minRequests": min, "errors": {"max": 1}}});
    let green =
        json!({"strategy": {"blueGreen": {"active": "v1"}}, "guardrail": {"errors": {"max": 1}}});
    let never =
        "rollouts[0].guardrail.minRequests: the guardrail never judges: it needs 100 requests";
    let late = "rollouts[0].strategy.canary.ramp.every: the step of 1 % lasts longer than 1m";
    let stable = "rollouts[0].strategy.blueGreen.active: is stable";
    let ramp = json!({
        "guardrail": {"minRequests": 100, "errors": {"max": 1}},
        "strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z",
            "ramp": {"from": 1, "by": 1, "to": 50, "every": "1m"}}},
    });
    for (more, rps, expected) in [
        // 5 a second, of which 5 % are 0.25, make 75 in the 300 seconds that 30 stretch to.
        (errors(75), "5", ""),
        (errors(100), "5", never),
        (errors(100), "50", ""),
        // The last step has enough requests for a verdict, the first ones take longer.
        (ramp, "5", late),
        (green, "5", stable),
    ] {
        assert_warned(&config(&[rollout("a", &more)]), &["--rps", rps], expected);
    }
    assert_warned(&config(&[rollout("a", &errors(100))]), &[], "");
}

/// A bootstrap with two clusters and everything that divvy requires, these fields in its connection manager, and a
/// configuration.
pub fn envoy(manager: &Value, config: &Value) -> Value {
    let header = "x-divvy-route";
    let removes = ["x-divvy-route", "x-divvy-assignment", "x-divvy-mirror"];
    let removes = removes.map(|name| json!({"remove": name}));
    let mut filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "early_header_mutation_extensions": [{"typed_config": {"mutations": removes}}],
        "route_config": {"virtual_hosts": [{"routes": [
            {"match": {"prefix": "/", "headers": [{"name": header, "present_match": true}]}, "route": {"cluster_header": header}},
            {"match": {"prefix": "/"}, "route": {"cluster": "v1"}},
        ]}]},
        "http_filters": [
            {"name": "divvy", "typed_config": {"config": {"name": "divvy", "vm_config": {}, "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()}}}},
            {"name": "envoy.filters.http.router"},
        ],
    });
    filter
        .as_object_mut()
        .unwrap()
        .extend(manager.as_object().unwrap().clone());
    let tags = ["rollout", "version", "reason", "class", "plugin"];
    let tags = tags.map(|tag| json!({"tag_name": format!("divvy_{tag}")}));
    json!({
        "node": {"id": "edge", "cluster": "shop"},
        "stats_config": {"stats_tags": tags},
        "static_resources": {
            "clusters": [{"name": "v1"}, {"name": "shop-v2"}],
            "listeners": [{"filter_chains": [{"filters": [{"typed_config": filter}]}]}],
        },
    })
}

#[test]
fn a_target_without_a_cluster_or_route_causes_a_warning() {
    let remote = json!({"use_remote_address": true});
    let with = |target: &str| config(&[rollout("a", &json!({"target": target}))]);
    let v2 = "rollouts[0].versions[1]: target \"v2\" has no cluster in the given files: Envoy answers 503 to the users of this version";
    assert_eq!(
        warnings(&envoy(&remote, &with("{version}")).to_string(), &[]),
        [v2]
    );
    let mut fits = with("{version}");
    fits["rollouts"][0]["versions"][1]["target"] = json!("shop-v2");
    assert_eq!(warnings(&envoy(&remote, &fits).to_string(), &[]), [""; 0]);
    fits["rollouts"][0]["versions"][1]["target"] = json!("shop-v3");
    let v3 = "rollouts[0].versions[1].target: target \"shop-v3\" has no cluster in the given files: Envoy answers 503 to the users of this version";
    assert_eq!(warnings(&envoy(&remote, &fits).to_string(), &[]), [v3]);

    let service = |value: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nspec:\n  http:\n  - match: [{{headers: {{x-divvy-route: {{exact: {value}}}}}}}]\n  - match: [{{headers: {{x-divvy-route: {{exact: v1}}}}}}]\n"
        )
    };
    let plugin = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "spec": {"pluginConfig": with("{version}")}});
    assert_eq!(
        warnings(&format!("{plugin}\n{}", service("v2")), &[]),
        [""; 0]
    );
    let v2 = "rollouts[0].versions[1]: target \"v2\" has no route in the given files: no route accepts x-divvy-route: v2, so the users of this version get the route behind";
    assert_eq!(warnings(&format!("{plugin}\n{}", service("v3")), &[]), [v2]);
}

#[test]
fn an_address_that_the_client_chooses_causes_a_warning() {
    let address = json!({"identity": [{"sourceIp": true}], "rollouts": []});
    let believed = "identity[0].sourceIp: the connection manager does not set use_remote_address";
    for (manager, warned) in [
        (json!({}), true),
        (json!({"use_remote_address": false}), true),
        (json!({"use_remote_address": true}), false),
    ] {
        let found = warnings(&envoy(&manager, &address).to_string(), &[]);
        assert_eq!(
            found.iter().any(|one| one.starts_with(believed)),
            warned,
            "{found:?}"
        );
    }
    assert_eq!(warnings(&address.to_string(), &[]), [""; 0]);
}

#[test]
fn warnings_have_exit_code_1_only_with_strict() {
    let config = config(&[
        rollout("a", &json!({"salt": "s"})),
        rollout("b", &json!({"salt": "s"})),
    ])
    .to_string();
    let output = divvy_with(&config, &["check", "-"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = crate::common::text(&output);
    assert!(shown.contains(": warning: rollouts[1].salt: "), "{shown}");
    assert!(
        shown.ends_with("1 configuration: 0 errors, 1 warning\n"),
        "{shown}"
    );
    assert_eq!(
        divvy_with(&config, &["check", "--strict", "-"])
            .status
            .code(),
        Some(1)
    );
}
