//! Host calls per request: what a request costs, apart from the machine.
//!
//! The table in `host_calls.md` is part of the repository. A change that makes
//! a path cheaper or dearer changes the table in the same commit:
//! `DIVVY_BLESS=1 cargo test -p divvy-host-tests --test host_calls`.

use std::fmt::Write as _;
use std::path::Path;

use divvy_host_tests::fixture::{CANARY_USER, accept, canary, configured, from_user, route};
use divvy_host_tests::{Counts, Exchange, Process, Stream};
use serde_json::{Value, json};

const TABLE: &str = "tests/host_calls.md";
const HEAD: &str = "\
# Host calls per request

What one request costs in calls to the proxy, from its headers to its log line, once
every series has been used. Calls that return bytes cost about five of the others.
Checked by `host_calls.rs`, which says how to write this table anew.

| path | total | returning bytes | calls |
|---|--:|--:|---|
";

/// One kind of request under one configuration.
struct Case {
    name: &'static str,
    /// How many roots have the configuration; requests come to them in turn.
    listeners: usize,
    configuration: Value,
    exchange: Exchange,
}

fn paths() -> Vec<Case> {
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
        path("rule", canary(), user().header("x-canary", "true")),
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
            "trust, a decision of the peer",
            with(|c| c["trust"] = json!({"principals": ["spiffe://td/ns/a/sa/b"]})),
            {
                let peer = ["connection", "uri_san_peer_certificate"];
                let from_peer = user().property(&peer, "spiffe://td/ns/a/sa/b");
                from_peer.header("x-divvy-assignment", "checkout=v2;reason=split")
            },
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

const ERRORS: &str = r#"{"errors": {"max": 1}}"#;
const LATENCY: &str = r#"{"latency": {"quantile": 0.95, "max": "320ms"}}"#;
const BOTH: &str = r#"{
    "errors": {"max": 1, "overStable": 1},
    "latency": {"quantile": 0.95, "max": "320ms", "timesStable": 1.1}
}"#;
const CONSECUTIVE: &str = r#"{"consecutiveErrors": 10}"#;

fn guarded(guardrail: &str) -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["guardrail"] = serde_json::from_str(guardrail).unwrap();
    configuration
}

/// The same, where the canary grows by the clock, and has come to 25 %.
fn ramp(mut configuration: Value) -> Value {
    configuration["rollouts"][0]["strategy"] = json!({"canary": {
        "version": "v2", "start": "2026-11-30T23:00:00Z",
        "steps": [{"weight": 25, "hold": "2h"}, {"weight": 100}],
    }});
    configuration
}

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

fn play(path: &Case) -> (Counts, Stream) {
    let (mut vm, first) = configured(&Process::new(), &path.configuration);
    let mut roots = vec![first];
    roots.resize_with(path.listeners, || accept(&mut vm, &path.configuration));
    // Series are defined at first use, which is not what a request costs.
    for root in &roots {
        vm.exchange(*root, &path.exchange).unwrap();
    }
    let mut last = None;
    for root in roots {
        vm.take_counts();
        last = Some(vm.exchange(root, &path.exchange).unwrap());
    }
    (vm.take_counts(), last.unwrap())
}

fn line(name: &str, counts: &Counts) -> String {
    let calls = counts.iter().map(|(call, count)| {
        let name = call.name().trim_start_matches("proxy_");
        match count {
            1 => name.to_owned(),
            _ => format!("{name} ×{count}"),
        }
    });
    let calls = calls.collect::<Vec<_>>().join(", ");
    let (total, bytes) = (counts.total(), counts.returning_bytes());
    format!("| {name} | {total} | {bytes} | {calls} |\n")
}

#[test]
fn each_path_makes_the_calls_of_the_table() {
    let mut table = HEAD.to_owned();
    for path in paths() {
        table += &line(path.name, &play(&path).0);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("DIVVY_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == table, "{}", difference(&committed, &table));
}

/// The lines that are in one of the two only.
fn difference(committed: &str, now: &str) -> String {
    let mut text = format!("host calls differ from {TABLE} (-: there, +: now)\n");
    for line in committed
        .lines()
        .filter(|line| !now.lines().any(|l| l == *line))
    {
        writeln!(text, "- {line}").unwrap();
    }
    for line in now
        .lines()
        .filter(|line| !committed.lines().any(|l| l == *line))
    {
        writeln!(text, "+ {line}").unwrap();
    }
    text
}

/// The goal that stands apart from the table: it must not move with it.
#[test]
fn the_full_path_makes_at_most_nine_calls_and_two_that_return_bytes() {
    let path = paths().into_iter().find(|path| path.name == "full path");
    let (counts, stream) = play(&path.unwrap());
    assert_eq!(route(&stream).as_deref(), Some("v2"));
    assert!(counts.total() <= 9, "{:?}", counts.by_name());
    assert!(counts.returning_bytes() <= 2, "{:?}", counts.by_name());
}

/// A goal of its own as well: whatever the limits and however the request ends, a guardrail
/// costs one call more than the same path without it, and what a ramp costs is the clock.
#[test]
fn a_guardrail_costs_one_more_call_at_most() {
    let user = || from_user(CANARY_USER);
    let without = canary();
    for guardrail in [ERRORS, LATENCY, BOTH, CONSECUTIVE] {
        for (name, exchange) in [
            ("v2", user()),
            ("stable", from_user("user-1")),
            ("failure", user().status(503)),
            ("rule", user().header("x-canary", "true")),
            ("nobody", Exchange::get("/checkout/cart")),
            ("reset", user().without_response(0x40)),
            ("client gone", user().without_response(0x4000)),
            (
                "event stream",
                user().response_header("content-type", "text/event-stream"),
            ),
            (
                "gRPC",
                Exchange::grpc("/p.S/M", 0).header("x-user-id", CANARY_USER),
            ),
            (
                "gRPC fails",
                Exchange::grpc("/p.S/M", 14).header("x-user-id", CANARY_USER),
            ),
        ] {
            let calls = |configuration: &Value| {
                let configuration = configuration.clone();
                let exchange = exchange.clone();
                let (counts, _) = play(&Case {
                    name,
                    listeners: 1,
                    configuration,
                    exchange,
                });
                (counts.total(), counts.returning_bytes())
            };
            let (before, bytes_before) = calls(&without);
            let (after, bytes) = calls(&guarded(guardrail));
            let context = format!("{guardrail}, {name}: {before} and then {after}");
            assert!(after <= before + 1, "{context}");
            assert!(bytes <= bytes_before + 1, "{context}");
            // What a rule forced is not judged, nor what found nobody.
            if matches!(name, "rule" | "nobody") {
                assert_eq!(after, before, "{context}");
            }
            let growing = calls(&ramp(guarded(guardrail))).0;
            assert!(growing <= after + 1, "{context}, growing {growing}");
        }
    }
}

#[test]
fn a_request_costs_the_same_whether_it_is_the_second_or_the_thousandth() {
    let (mut vm, root) = configured(&Process::new(), &canary());
    let exchange = from_user(CANARY_USER);
    vm.exchange(root, &exchange).unwrap();
    vm.take_counts();
    vm.exchange(root, &exchange).unwrap();
    let second = vm.take_counts();
    for _ in 0..998 {
        vm.take_counts();
        vm.exchange(root, &exchange).unwrap();
    }
    assert_eq!(vm.take_counts(), second);
}
