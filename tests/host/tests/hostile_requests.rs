//! The most expensive requests that a client can send: 60 KB of one header, Envoy's default
//! limit.
//!
//! The unit is fuel, wasmtime's count of instructions, which is the same on every machine. A
//! request is parsed once, not once per condition.

use divvy_host_tests::fixture::accept;
use divvy_host_tests::{Exchange, Module, Process, RootId, Vm};
use serde_json::{Value, json};

const LONG: usize = 60_000;
const MANY: usize = 100;
/// Maximum instructions beyond those of an ordinary request: one or two milliseconds.
const MOST: u64 = 12_000_000;

/// `count` rollouts with one condition each.
fn rollouts(count: usize, when: impl Fn(usize) -> Value) -> Value {
    let rollouts = (0..count).map(|nth| {
        json!({
            "name": format!("r{nth}"),
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "rules": [{"name": "rule", "when": when(nth), "use": "v2"}],
            "strategy": {"blueGreen": {"active": "v1"}},
        })
    });
    json!({"rollouts": rollouts.collect::<Value>()})
}

fn metered(configuration: &Value) -> (Vm, RootId) {
    let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
    let root = accept(&mut vm, configuration);
    (vm, root)
}

/// Instructions for this request beyond those for an ordinary one.
fn extra_fuel(configuration: &Value, exchange: &Exchange) -> u64 {
    let (mut vm, root) = metered(configuration);
    let mut fuel = |exchange: &Exchange| {
        // The first request defines series and grows the memory.
        vm.exchange(root, exchange).unwrap();
        let before = vm.fuel_used();
        vm.exchange(root, exchange).unwrap();
        vm.fuel_used() - before
    };
    let ordinary = fuel(&Exchange::get("/"));
    fuel(exchange).saturating_sub(ordinary)
}

/// 60 KB of copies of `unit`.
fn repeated(unit: &str) -> String {
    unit.repeat(LONG / unit.len())
}

fn cookie(value: &str) -> Exchange {
    Exchange::get("/").header("cookie", value)
}

fn query(value: &str) -> Exchange {
    let mut exchange = Exchange::get("/");
    exchange.request.replace(":path", format!("/?{value}"));
    exchange
}

/// Asserts that 100 rollouts take at most 8 times the instructions of one: a binary search among
/// 100 names makes 7 comparisons.
fn assert_read_once(when: impl Fn(usize) -> Value, exchange: &Exchange, what: &str) {
    let one = extra_fuel(&rollouts(1, &when), exchange);
    let many = extra_fuel(&rollouts(MANY, &when), exchange);
    assert!(one <= MOST, "{what}: {one}");
    assert!(many <= one * 8, "{what}: {one} for one, {many} for many");
}

#[test]
fn cookies_are_parsed_once_for_all_conditions() {
    // Names of one length: the filter skips names of other lengths.
    let when = |nth| json!({"cookie": format!("c{}", 100 + nth), "exact": "yes"});
    for unit in [
        ";",
        "=;",
        "a;",
        "a=;",
        "c100=;",
        "c199=x; ",
        "c100=\"\";",
        "zzzz=;",
        "\"",
        "=",
    ] {
        assert_read_once(when, &cookie(&repeated(unit)), unit);
    }
}

#[test]
fn a_query_is_parsed_once_for_all_conditions() {
    let when = |nth| json!({"query": format!("c{}", 100 + nth), "exact": "yes"});
    for unit in [
        "&", "=&", "a&", "a=&", "c100=&", "c199=x&", "zzzz&", "%41", "=", "?",
    ] {
        assert_read_once(when, &query(&repeated(unit)), unit);
    }
}

#[test]
fn a_cookie_is_trimmed_once_for_all_conditions() {
    let when = |_| json!({"cookie": "c", "exact": "yes"});
    let spaces = format!("a=b; c={}; d=e", repeated(" "));
    assert_read_once(when, &cookie(&spaces), "spaces");
}

#[test]
fn a_query_value_is_decoded_once_for_all_conditions() {
    let when = |_| json!({"query": "c", "exact": "yes"});
    let escaped = format!("c={}", repeated("%41"));
    assert_read_once(when, &query(&escaped), "%41");
}

/// `count` sticky rollouts, each with a cookie of its own.
fn sticky(count: usize) -> Value {
    let mut configuration = rollouts(count, |_| json!({"path": true, "exact": "/never"}));
    configuration["identity"] = json!([{"header": "x-user-id"}]);
    for (nth, rollout) in (0..).zip(configuration["rollouts"].as_array_mut().unwrap()) {
        rollout["strategy"] = json!({"canary": {"version": "v2", "weight": 50}});
        rollout["sticky"] = json!({"cookie": format!("c{}", 100 + nth), "maxAge": "1h"});
    }
    configuration
}

#[test]
fn cookies_are_parsed_once_for_all_sticky_rollouts() {
    let of_all: String = (0..MANY).map(|nth| format!("c{}=x; ", 100 + nth)).collect();
    for cookies in [
        format!("{of_all}{}", repeated("a=; ")),
        repeated("a=; "),
        repeated("c100=; "),
        repeated("c199=1:00000000:v1:7; "),
        repeated("zzzz=; "),
        repeated(&of_all),
        format!("{}{of_all}", repeated(";")),
    ] {
        let exchange = cookie(&cookies).header("x-user-id", "alice");
        let one = extra_fuel(&sticky(1), &exchange);
        let many = extra_fuel(&sticky(MANY), &exchange);
        let what = &cookies[..20];
        println!("{what}: {one} for one, {many} for {MANY}");
        assert!(many <= MOST, "{what}: {many}");
        assert!(many <= one * 8, "{what}: {one} for one, {many} for many");
    }
}

/// 60 KB in lines of one header with this value.
fn lines(name: &str, value: &str) -> Exchange {
    let count = LONG / (name.len() + value.len());
    (0..count).fold(Exchange::get("/"), |exchange, _| {
        exchange.header(name, value)
    })
}

#[test]
fn many_cookie_lines_are_parsed_once_for_all_conditions() {
    let when = |nth| json!({"cookie": format!("c{}", 100 + nth), "exact": "yes"});
    for value in ["", "a=b", "c100=x", "c199=x; c100=y", "zzzz=x"] {
        assert_read_once(when, &lines("cookie", value), value);
    }
}

#[test]
fn labels_are_parsed_once_for_all_conditions() {
    let key = |nth| json!({"header": "x-label", "key": format!("c{}", 100 + nth)});
    let when = |nth| json!({"label": key(nth), "exact": "yes"});
    for unit in [
        ";",
        "=;",
        "a=;",
        "c100=;",
        "c199=x;",
        "c100=x;c150=y;",
        "zzzz=;",
    ] {
        let line = Exchange::get("/").header("x-label", repeated(unit));
        assert_read_once(when, &line, unit);
        assert_read_once(when, &lines("x-label", unit), unit);
    }
}

#[test]
fn contains_takes_linear_time() {
    let a = |times: usize| "a".repeat(times);
    let needles = [
        "x".to_owned(),
        "aXa".to_owned(),
        format!("{}b", a(50)),
        format!("b{}", a(50)),
        "ab".repeat(1_000),
        format!("{}b{}", a(1_000), a(1_000)),
        format!("{}b", a(LONG / 2)),
        format!("b{}", a(LONG / 2)),
    ];
    for needle in needles {
        let configuration = rollouts(1, |_| json!({"header": "h", "contains": needle}));
        for value in ["a", "ab", "aab"].map(repeated) {
            let of = |value: &str| {
                let exchange = Exchange::get("/").header("h", value);
                extra_fuel(&configuration, &exchange)
            };
            let (whole, third) = (of(&value), of(&value[..LONG / 3]));
            let what = format!("{} in {}", &needle[..needle.len().min(60)], &value[..9]);
            assert!(whole <= MOST, "{what}: {whole}");
            // There is no search for a needle longer than the value.
            if needle.len() < LONG / 3 {
                assert!(whole <= third * 4, "{what}: {third}, then {whole}");
            }
        }
    }
}

#[test]
fn long_requests_grow_the_memory_once() {
    let (mut vm, root) = metered(&rollouts(MANY, |nth| match nth % 3 {
        0 => json!({"cookie": format!("c{nth}"), "contains": "x"}),
        1 => json!({"query": format!("c{nth}"), "contains": "x"}),
        _ => json!({"header": "h", "contains": "x"}),
    }));
    let mut play = |times: usize| {
        for _ in 0..times {
            for unit in ["c0=x; ", "c0=;", ";"] {
                let exchange = cookie(&repeated(unit)).header("h", repeated("y"));
                vm.exchange(root, &exchange).unwrap();
            }
            for unit in ["c1=x&", "c1=%41&", "&"] {
                vm.exchange(root, &query(&repeated(unit))).unwrap();
            }
        }
        vm.memory_pages()
    };
    let early = play(2);
    assert_eq!(play(100), early);
    assert!(early <= 64, "{early} pages");
}

/// The most expensive regular expression: the maximum of states, on values of the maximum length.
#[test]
fn regular_expressions_search_a_bounded_part_of_a_repeated_header() {
    let pattern = format!("({})+x", ["[a-z]?"; 120].concat());
    let configuration = rollouts(1, |_| json!({"header": "h", "regex": pattern}));
    let lines = |count: usize| {
        let line = "a".repeat(1_000);
        (0..count).fold(Exchange::get("/"), |exchange, _| {
            exchange.header("h", &line)
        })
    };
    let (few, many) = (
        extra_fuel(&configuration, &lines(5)),
        extra_fuel(&configuration, &lines(59)),
    );
    println!("{few} for 5 lines, {many} for 59");
    // The other 54 lines are read but not searched, which would take 20,000 instructions each.
    assert!(many <= few + 54 * 1_000, "{few}, then {many}");
}
