//! CORS preflights: not visits, because a browser sends them without the cookies and the headers of
//! the user.

use super::*;
use serde_json::json;

const PREFLIGHT: [(&str, &str); 4] = [
    (":method", "OPTIONS"),
    ("origin", "https://app.example"),
    ("access-control-request-method", "PATCH"),
    ("access-control-request-headers", "x-user-id"),
];

fn config(strategy: &Value, fields: &Value) -> Value {
    let all = json!({"mirror": {"version": "v2", "percent": 100}, "sticky": {"cookie": "s"}});
    let sticky = ["canary", "abTest"]
        .iter()
        .any(|name| strategy.get(name).is_some());
    let all = if sticky {
        all
    } else {
        json!({"mirror": all["mirror"]})
    };
    json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "rollouts": [build::with(rollout(strategy, &all), fields)],
    })
}

fn preflight(config: &Value, further: &[(&str, &str)]) -> Answer {
    ask(&policy(config), &[&PREFLIGHT, further].concat())
}

#[test]
fn a_preflight_has_a_method_and_two_headers() {
    let policy = policy(&config(&canary(100.0), &json!({})));
    let origin = ("origin", "https://app.example");
    let asks = ("access-control-request-method", "PATCH");
    for (method, headers, is_preflight) in [
        ("OPTIONS", &[origin, asks][..], true),
        ("OPTIONS", &[asks, origin], true),
        ("OPTIONS", &[origin], false),
        ("OPTIONS", &[asks], false),
        ("OPTIONS", &[], false),
        ("HEAD", &[origin, asks], false),
        ("options", &[origin, asks], false),
    ] {
        let answer = ask(&policy, &[&[(":method", method)], headers].concat());
        assert_eq!(
            answer.cookies.is_empty(),
            is_preflight,
            "{method} {headers:?}"
        );
    }
}

#[test]
fn a_preflight_is_decided_without_an_identity() {
    let test = |fields| {
        let split = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
        json!({ "abTest": build::with(json!({ "split": split }), &fields) })
    };
    let rule = |when: Value, fields: Value| {
        let rule = build::with(json!({"name": "r", "when": when, "use": "v2"}), &fields);
        json!({ "rules": [rule] })
    };
    let any = json!({"path": true, "prefix": "/"});
    let none = json!({});
    for (strategy, fields, assignment) in [
        (canary(50.0), none.clone(), "checkout=v1;reason=no_identity"),
        (
            test(json!({})),
            none.clone(),
            "checkout=v1;reason=no_identity",
        ),
        // All users get the version, so the preflight does; but it is not an exposure.
        (
            canary(100.0),
            none.clone(),
            "checkout=v2;reason=no_identity",
        ),
        (canary(0.0), none.clone(), "checkout=v1;reason=no_identity"),
        (
            test(json!({"traffic": 0})),
            none.clone(),
            "checkout=v1;reason=not_enrolled",
        ),
        (
            build::blue_green("v2"),
            none.clone(),
            "checkout=v2;reason=active",
        ),
        (
            canary(50.0),
            json!({"enabled": false}),
            "checkout=v1;reason=disabled",
        ),
        (
            canary(50.0),
            rule(any.clone(), json!({})),
            "checkout=v2;reason=rule",
        ),
        (
            canary(50.0),
            rule(any, json!({"percent": 50})),
            "checkout=v1;reason=no_identity",
        ),
        (
            canary(50.0),
            rule(json!({"identity": true, "present": true}), json!({})),
            "checkout=v1;reason=no_identity",
        ),
    ] {
        let config = config(&strategy, &fields);
        // Headers and cookies of a user, which no browser sends with it, change nothing.
        for further in [
            &[][..],
            &[("x-user-id", "42")],
            &[("cookie", "divvy_id=42")],
        ] {
            let answer = preflight(&config, &[further, &[(":path", "/a")]].concat());
            assert_eq!(answer.assignment(), assignment, "{strategy} {fields}");
            assert_eq!(answer.cookies, [""; 0], "{strategy}");
            assert_eq!((answer.mirror, answer.sent), (None, None), "{strategy}");
        }
    }
}

#[test]
fn a_sticky_cookie_that_comes_with_a_preflight_is_no_exposure() {
    let config = config(&canary(50.0), &json!({}));
    let policy = policy(&config);
    let users = (0..).map(|user: u32| ask(&policy, &[("x-user-id", &user.to_string())]));
    let mut users = users.filter(|answer| answer.route.as_deref() == Some("v2"));
    let line = format!("s={}", users.next().unwrap().cookie("s").unwrap());
    let answer = preflight(&config, &[("cookie", &line)]);
    assert_eq!(answer.assignment(), "checkout=v2;reason=no_identity");
    assert_eq!(answer.cookies, [""; 0]);
}

#[test]
fn a_preflight_is_no_sample_of_the_guardrail() {
    let guarded = json!({"guardrail": {"errors": {"max": 1}}});
    for strategy in [canary(100.0), build::blue_green("v2")] {
        let policy = policy(&config(&strategy, &guarded));
        let judged = |method: &'static str| {
            let headers = PREFLIGHT.map(|(name, value)| match name {
                ":method" => (name.as_bytes(), method.as_bytes()),
                _ => (name.as_bytes(), value.as_bytes()),
            });
            let request = Request::from_headers(&policy.names, headers);
            decide::decide(&policy, &request).decisions[0].judged
        };
        assert!(judged("PATCH"), "{strategy}");
        assert!(!judged("OPTIONS"), "{strategy}");
    }
}

#[test]
fn an_inherited_preflight_is_no_exposure() {
    let mut config = config(&canary(50.0), &json!({}));
    config["trust"] = json!({"principals": ["spiffe://a/edge"]});
    let world = World {
        peer: Some("spiffe://a/edge"),
        ..World::default()
    };
    for (sent, inherited) in [
        (
            "checkout=v2;reason=split",
            "checkout=v2;reason=inherited;upstream=no_identity",
        ),
        (
            "checkout=v2;reason=rule",
            "checkout=v2;reason=inherited;upstream=rule",
        ),
    ] {
        let headers = [&PREFLIGHT[..], &[("x-divvy-assignment", sent)]].concat();
        let answer = ask_in(&world, &policy(&config), &headers);
        assert_eq!(answer.assignment(), inherited);
    }
}
