//! One name, two uses in a configuration: which pairs are accepted.

use serde_json::{Value, json};

use crate::compile::errors_of;

/// A configuration that names a header, a cookie or a parameter at each place of the tables below.
fn valid() -> Value {
    let rollout = |name: &str, label: &str| {
        json!({
            "name": name, "stable": "v1", "target": "{version}",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "strategy": {"canary": {"version": "v2", "weight": 5}},
            "sticky": {"cookie": name},
            "expose": {
                "group": format!("x-{name}-group"), "id": format!("x-{name}-id"),
                "label": {"header": format!("x-{name}-label"), "key": label},
            },
        })
    };
    let mut config = json!({
        "identity": [
            {"header": "x-user-id"},
            {"query": "uid"},
            {"concat": [{"cookie": "user"}, {"sourceIp": true}]},
            {"cookie": "uid", "mint": {"maxAge": "1h"}},
        ],
        "headers": {
            "route": "x-route", "assignment": "x-assignment", "mirror": "x-mirror",
            "identity": "x-identity", "unit": "x-unit",
        },
        "responseHeader": "x-version",
        "overrides": {"header": "x-override", "cookie": "override", "query": "override"},
        "rollouts": [rollout("one", "first"), rollout("two", "second")],
    });
    config["rollouts"][1]["identity"] = json!([{"cookie": "account"}]);
    let rule = |name: &str, when: Value| json!({"name": name, "when": when, "use": "v2"});
    config["rollouts"][0]["rules"] = json!([
        rule("header", json!({"header": "x-canary", "present": true})),
        rule(
            "label",
            json!({"label": {"header": "x-labels", "key": "ring"}, "present": true})
        ),
        rule("cookie", json!({"cookie": "ring", "present": true})),
        rule("query", json!({"query": "ring", "present": true})),
    ]);
    config
}

const HEADERS: [&str; 16] = [
    "/headers/route",
    "/headers/assignment",
    "/headers/mirror",
    "/headers/identity",
    "/headers/unit",
    "/overrides/header",
    "/rollouts/0/expose/group",
    "/rollouts/0/expose/id",
    "/rollouts/0/expose/label/header",
    "/rollouts/1/expose/group",
    "/rollouts/1/expose/id",
    "/rollouts/1/expose/label/header",
    "/identity/0/header",
    "/rollouts/0/rules/0/when/header",
    "/rollouts/0/rules/1/when/label/header",
    "/responseHeader",
];
const COOKIES: [&str; 7] = [
    "/overrides/cookie",
    "/rollouts/0/sticky/cookie",
    "/rollouts/1/sticky/cookie",
    "/identity/2/concat/0/cookie",
    "/identity/3/cookie",
    "/rollouts/1/identity/0/cookie",
    "/rollouts/0/rules/2/when/cookie",
];
const PARAMETERS: [&str; 3] = [
    "/overrides/query",
    "/identity/1/query",
    "/rollouts/0/rules/3/when/query",
];

/// Whether both places may have one name. Pairs are in the order of the tables.
fn is_accepted(one: &str, other: &str) -> bool {
    // Reading does not change what arrived; divvy's own label there is under another key.
    let reads = |place: &str| place.contains("/when/") || place.starts_with("/identity");
    let is_label = |place: &str| place.ends_with("expose/label/header");
    // Rollouts share a header of `expose` if its use is the same in each.
    let field = |place: &str| {
        place
            .split_once("/expose/")
            .map(|(_, field)| field.to_owned())
    };
    let is_shared = field(one).is_some() && field(one) == field(other);
    match (one, other) {
        // The identity that counted replaces the one that arrived.
        ("/headers/identity", "/identity/0/header") => true,
        // The response header and `expose` with `response` would write one header of the response.
        (_, "/responseHeader") => !(one.ends_with("group") || one.ends_with("expose/id")),
        // Conditions see a cookie that clients send back.
        (_, "/rollouts/0/rules/2/when/cookie") => one != "/overrides/cookie",
        // A cookie has either an identity or a version.
        _ if one.ends_with("/cookie") => one.contains("identity") && other.contains("identity"),
        _ => is_shared || (reads(other) && (reads(one) || is_label(one))),
    }
}

#[test]
fn one_name_has_one_purpose() {
    assert_eq!(errors_of(&valid()), Vec::<String>::new());
    for places in [&HEADERS[..], &COOKIES, &PARAMETERS] {
        for (index, one) in places.iter().enumerate() {
            for other in &places[index + 1..] {
                let mut config = valid();
                *config.pointer_mut(one).unwrap() = json!("x-same");
                // Header names have no case, the others do.
                let same = if places == HEADERS {
                    "X-Same"
                } else {
                    "x-same"
                };
                *config.pointer_mut(other).unwrap() = json!(same);
                let errors = errors_of(&config);
                let context = format!("{one} and {other}: {errors:?}");
                assert_eq!(errors.is_empty(), is_accepted(one, other), "{context}");
                assert!(errors.len() <= 1, "{context}");
                for error in errors {
                    let at = error.split(':').next().unwrap_or_default();
                    let at = at.replace('[', "/").replace(']', "").replace('.', "/");
                    assert!([*one, *other].contains(&&*format!("/{at}")), "{context}");
                    assert!(error.contains("\"x-same\""), "{context}");
                }
            }
        }
    }
}
