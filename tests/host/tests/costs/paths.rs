//! The kinds of request that are counted.

use divvy_host_tests::fixture::{CANARY_USER, canary, configured, from_user};
use divvy_host_tests::{Exchange, Process};
use serde_json::{Value, json};

/// One kind of request under one configuration.
pub struct Case {
    pub name: &'static str,
    /// How many roots have the configuration; requests come to them in turn.
    pub listeners: usize,
    pub configuration: Value,
    pub exchange: Exchange,
}

pub fn paths() -> Vec<Case> {
    let with = |edit: fn(&mut Value)| {
        let mut configuration = canary();
        edit(&mut configuration);
        configuration
    };
    let path = |name, configuration, exchange| Case {
        name,
        listeners: 1,
        configuration,
        exchange,
    };
    let user = || from_user(CANARY_USER);
    let from_peer = || {
        let peer = ["connection", "uri_san_peer_certificate"];
        let from_peer = user().property(&peer, "spiffe://td/ns/a/sa/b");
        from_peer.header("x-divvy-assignment", "checkout=v2;reason=split")
    };
    vec![
        path("empty configuration", json!({}), user()),
        path(
            "rollouts, but none matches",
            with(|c| c["rollouts"][0]["match"] = json!([{"hosts": ["other.example.com"]}])),
            user(),
        ),
        path(
            "one canary, no assignment header",
            with(|c| {
                c["headers"] = json!({"route": "x-divvy-route"});
                c["rollouts"][0]["rules"] = json!([]);
            }),
            user(),
        ),
        path("full path", canary(), user()),
        path(
            "full path, a forged route",
            canary(),
            user().header("x-divvy-route", "v2"),
        ),
        path("full path, all three forged", canary(), {
            let forged = user().header("x-divvy-route", "v2");
            let forged = forged.header("x-divvy-assignment", "checkout=v2");
            forged.header("x-divvy-mirror", "v2")
        }),
        path(
            "blueGreen",
            with(|c| c["rollouts"][0]["strategy"] = json!({"blueGreen": {"active": "v2"}})),
            user(),
        ),
        path(
            "weighted, three versions",
            with(|c| {
                c["rollouts"][0]["strategy"] = json!({"weighted": [
                    {"version": "v1", "weight": 80}, {"version": "v2", "weight": 15},
                    {"version": "v3", "weight": 5},
                ]});
                let versions = c["rollouts"][0]["versions"].as_array_mut().unwrap();
                versions.push(json!({"name": "v3"}));
            }),
            user(),
        ),
        path("rule", canary(), user().header("x-canary", "true")),
        path(
            "rule with split",
            with(|c| {
                let rule = c["rollouts"][0]["rules"][0].as_object_mut().unwrap();
                rule.remove("use");
                let arms = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
                rule.insert("split".to_owned(), arms);
            }),
            user().header("x-canary", "true"),
        ),
        path(
            "identity of the rollout",
            with(|c| c["rollouts"][0]["identity"] = json!([{"header": "x-user-id"}])),
            user(),
        ),
        path(
            "match with a condition on a header",
            with(|c| {
                let when = json!({"header": "x-user-id", "present": true});
                c["rollouts"][0]["match"] = json!([{"when": when}]);
            }),
            user(),
        ),
        path(
            "match with a condition on the peer",
            with(|c| {
                let when = json!({"peer": true, "prefix": "spiffe://td/"});
                c["rollouts"][0]["match"] = json!([{"when": when}]);
            }),
            user().property(
                &["connection", "uri_san_peer_certificate"],
                "spiffe://td/ns/a/sa/b",
            ),
        ),
        path(
            "rule with a regular expression on 120 bytes, no match",
            with(|c| {
                c["rollouts"][0]["rules"][0]["when"] = json!({
                    "header": "user-agent", "regex": ".* Firefox/(1[0-3]|[0-9])[0-9]\\.[0-9.]+",
                });
            }),
            user().header("user-agent", USER_AGENT),
        ),
        path("no identity", canary(), Exchange::get("/checkout/cart")),
        path(
            "responseHeader",
            with(|c| c["responseHeader"] = json!("x-divvy-version")),
            user(),
        ),
        path(
            "metrics: requests",
            with(|c| c["rollouts"][0]["metrics"] = json!("requests")),
            user(),
        ),
        path(
            "metrics: off",
            with(|c| c["rollouts"][0]["metrics"] = json!("off")),
            user(),
        ),
        path(
            "metrics: requests, unreachable: false",
            with(|c| {
                c["rollouts"][0]["metrics"] = json!("requests");
                c["rollouts"][0]["unreachable"] = json!(false);
            }),
            user(),
        ),
        path(
            "metrics: off, unreachable: false",
            with(|c| {
                c["rollouts"][0]["metrics"] = json!("off");
                c["rollouts"][0]["unreachable"] = json!(false);
            }),
            user(),
        ),
        path(
            "one canary, metrics: requests, no assignment header",
            with(|c| {
                c["headers"] = json!({"route": "x-divvy-route"});
                c["rollouts"][0]["rules"] = json!([]);
                c["rollouts"][0]["metrics"] = json!("requests");
            }),
            user(),
        ),
        path(
            "identity by claim",
            with(|c| c["identity"] = json!([{"jwtClaim": "sub"}])),
            Exchange::get("/").property(
                &[
                    "metadata",
                    "filter_metadata",
                    "envoy.filters.http.jwt_authn",
                    "payload",
                    "sub",
                ],
                CANARY_USER,
            ),
        ),
        path(
            "identity by address",
            with(|c| c["identity"] = json!([{"sourceIp": true}])),
            Exchange::get("/").property(&["source", "address"], "10.0.0.1:4711"),
        ),
        path(
            "identity by draw",
            with(|c| c["identity"] = json!([{"random": true}])),
            user(),
        ),
        path(
            "identity header",
            with(|c| {
                c["headers"] = json!({
                    "route": "x-divvy-route", "assignment": "x-divvy-assignment",
                    "identity": "x-gray-id",
                });
            }),
            user(),
        ),
        path(
            "a visitor who is given a cookie",
            with(|c| c["identity"] = json!([{"cookie": "id", "mint": {}}])),
            Exchange::get("/"),
        ),
        path(
            "sticky, a first answer",
            with(|c| c["rollouts"][0]["sticky"] = json!({"cookie": "got"})),
            user(),
        ),
        path(
            "sticky, signed, a visitor with the cookie",
            signed(),
            from_user(CANARY_USER).header("cookie", format!("got={}", sticky_cookie(&signed()))),
        ),
        path(
            "unit, by a key",
            with(|c| {
                c["headers"] = json!({
                    "route": "x-divvy-route", "assignment": "x-divvy-assignment", "unit": "x-divvy-unit",
                });
            }),
            user(),
        ),
        path(
            "an override by header",
            with(|c| c["overrides"] = json!({"header": "x-override"})),
            user().header(
                "x-override",
                "1:2027a:checkout:v2:*:*:tpb8zk:tpbw80:AQEBAQEBAQE:A",
            ),
        ),
        path(
            "overrides, none sent",
            with(|c| c["overrides"] = json!({"header": "x-override"})),
            user(),
        ),
        path(
            "trust, a decision of the peer",
            with(|c| c["trust"] = json!({"principals": ["spiffe://td/ns/a/sa/b"]})),
            from_peer(),
        ),
        path(
            "trust, and a condition on the peer",
            with(|c| {
                c["trust"] = json!({"principals": ["spiffe://td/ns/a/sa/b"]});
                let when = json!({"peer": true, "prefix": "spiffe://td/"});
                c["rollouts"][0]["match"] = json!([{"when": when}]);
            }),
            from_peer(),
        ),
        path(
            "expose to the service",
            with(|c| c["rollouts"][0]["expose"] = json!({"group": "x-group", "id": "x-id"})),
            user(),
        ),
        path(
            "expose to the client too",
            with(|c| {
                c["rollouts"][0]["expose"] =
                    json!({"group": "x-group", "id": "x-id", "response": true});
            }),
            user(),
        ),
        path("gRPC", canary(), {
            Exchange::grpc("/shop.Checkout/Pay", 0).header("x-user-id", CANARY_USER)
        }),
        path("gRPC that fails", canary(), {
            Exchange::grpc("/shop.Checkout/Pay", 14).header("x-user-id", CANARY_USER)
        }),
        path(
            "upstream reset, no response",
            canary(),
            user().without_response(0x40),
        ),
        path("ten matching rollouts", ten_rollouts(), user()),
        path("guardrail: errors", guarded(ERRORS), user()),
        path("guardrail: errors, stable", guarded(ERRORS), {
            from_user("user-1")
        }),
        path("guardrail: errors, a failure", guarded(ERRORS), {
            user().status(503)
        }),
        path("guardrail: errors, forced by a rule", guarded(ERRORS), {
            user().header("x-canary", "true")
        }),
        path("guardrail: errors, gRPC", guarded(ERRORS), {
            Exchange::grpc("/shop.Checkout/Pay", 0).header("x-user-id", CANARY_USER)
        }),
        path("guardrail: errors, upstream reset", guarded(ERRORS), {
            user().without_response(0x40)
        }),
        path("guardrail: latency", guarded(LATENCY), user()),
        path("guardrail: errors and latency", guarded(BOTH), user()),
        path("guardrail: consecutiveErrors", guarded(CONSECUTIVE), user()),
        path(
            "guardrail: consecutiveErrors, a failure",
            guarded(CONSECUTIVE),
            user().status(503),
        ),
        path(
            "guardrail: errors, metrics: off",
            {
                let mut configuration = guarded(ERRORS);
                configuration["rollouts"][0]["metrics"] = json!("off");
                configuration
            },
            user(),
        ),
        path("ramp", ramp(canary()), user()),
        path("ramp, guardrail: errors", ramp(guarded(ERRORS)), user()),
        Case {
            listeners: 2,
            ..path("two listeners, one configuration", canary(), user())
        },
    ]
}

const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/142.0.7444.6 Safari/537.36";

pub const ERRORS: &str = r#"{"errors": {"max": 1}}"#;
pub const LATENCY: &str = r#"{"latency": {"quantile": 0.95, "max": "320ms"}}"#;
pub const BOTH: &str = r#"{
    "errors": {"max": 1, "overStable": 1},
    "latency": {"quantile": 0.95, "max": "320ms", "timesStable": 1.1}
}"#;
pub const CONSECUTIVE: &str = r#"{"consecutiveErrors": 10}"#;

pub fn guarded(guardrail: &str) -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["guardrail"] = serde_json::from_str(guardrail).unwrap();
    configuration
}

/// The same, where the canary grows by the clock, and has come to 25 %.
pub fn ramp(mut configuration: Value) -> Value {
    configuration["rollouts"][0]["strategy"] = json!({"canary": {
        "version": "v2", "start": "2026-11-30T23:00:00Z",
        "steps": [{"weight": 25, "hold": "2h"}, {"weight": 100}],
    }});
    configuration
}

/// A signed sticky rollout with names of 20 bytes.
pub fn signed() -> Value {
    let mut configuration = canary();
    let rollout = &mut configuration["rollouts"][0];
    rollout["name"] = json!(ROLLOUT);
    rollout["versions"] = json!([{"name": "v1"}, {"name": VERSION}]);
    rollout["strategy"] = json!({"canary": {"version": VERSION, "weight": 25}});
    rollout["rules"] = json!([]);
    rollout["sticky"] = json!({"cookie": "got", "signed": true, "maxAge": "30d"});
    configuration
}

/// The cookie that the filter writes for a user of this configuration, which is like [`signed`].
pub fn sticky_cookie(configuration: &Value) -> String {
    let (mut vm, root) = configured(&Process::new(), configuration);
    let exchange = from_user(CANARY_USER);
    let stream = vm.exchange(root, &exchange).unwrap();
    let headers = stream.response_headers.unwrap();
    let line = headers.text("set-cookie").unwrap();
    let value = line.strip_prefix("got=").unwrap().split(';').next();
    value.unwrap().to_owned()
}

pub const ROLLOUT: &str = "checkout-with-a-name";
const VERSION: &str = "version-with-20-byte";

fn ten_rollouts() -> Value {
    let mut configuration = canary();
    let one = configuration["rollouts"][0].clone();
    let named = (0..10).map(|nth| {
        let mut rollout = one.clone();
        rollout["name"] = json!(format!("checkout-{nth}"));
        rollout
    });
    configuration["rollouts"] = named.collect();
    configuration
}
