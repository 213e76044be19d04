//! Host calls per request: what a request costs, apart from the machine.
//!
//! The table in `host_calls.md` is part of the repository. A change that makes
//! a path cheaper or dearer changes the table in the same commit:
//! `make bless`.

mod allocations;
mod instructions;
mod paths;

use std::fmt::Write as _;
use std::path::Path;

use divvy_host_tests::fixture::{CANARY_USER, accept, canary, configured, from_user, route};
use divvy_host_tests::{Counts, Exchange, Process, Stream};
use serde_json::Value;

use paths::{BOTH, CONSECUTIVE, Case, ERRORS, LATENCY, guarded, paths, ramp};

const TABLE: &str = "tests/host_calls.md";
const HEAD: &str = "\
# Host calls per request

Calls to the proxy for one request, from its headers to its log line, after the first use of every
series. A call that returns bytes costs about as much as five others, unless there are no bytes, as
with an empty configuration that looks for forged headers. A test compares; `make bless` writes this
table.

| path | total | returning bytes | calls |
|---|--:|--:|---|
";

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
    check(TABLE, &table);
}

/// Holds a table against the committed one, or commits to it.
fn check(name: &str, table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("DIVVY_BLESS").is_some() {
        std::fs::write(&file, table).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let difference = difference(&committed, table);
    assert!(
        committed == table,
        "this differs from {name} (-: there, +: now)\n{difference}"
    );
}

/// The lines that are in one of the two only.
fn difference(committed: &str, now: &str) -> String {
    let mut text = String::new();
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
fn a_guardrail_costs_at_most_one_more_call() {
    let user = || from_user(CANARY_USER);
    let without = canary();
    for guardrail in [ERRORS, LATENCY, BOTH, CONSECUTIVE] {
        for (name, exchange) in [
            ("v2", user()),
            ("stable", from_user("user-1")),
            ("failure", user().status(503)),
            ("rule", user().header("x-canary", "true")),
            ("no_identity", Exchange::get("/checkout/cart")),
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
            // The decision of a rule is not judged, nor one without an identity.
            if matches!(name, "rule" | "no_identity") {
                assert_eq!(after, before, "{context}");
            }
            let growing = calls(&ramp(guarded(guardrail))).0;
            assert!(growing <= after + 1, "{context}, growing {growing}");
        }
    }
}

#[test]
fn the_second_and_the_thousandth_request_cost_the_same() {
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
