//! Cost of a thousand rollouts, when the configuration loads and per request.
//!
//! The unit is fuel, wasmtime's count of instructions, which is the same on every machine.

mod start;

use divvy_host_tests::fixture::{accept, assignment};
use divvy_host_tests::{Exchange, Module, Process, RootId, Vm};
use serde_json::{Value, json};

const ALL: usize = 1_000;

/// The scope by which the rollouts differ.
#[derive(Clone, Copy, Debug)]
enum By {
    Host,
    HostsBelow,
    Path,
    HostAndPath,
    HostAndCookie,
    Header,
}

const BYS: [By; 6] = [
    By::Host,
    By::HostsBelow,
    By::Path,
    By::HostAndPath,
    By::HostAndCookie,
    By::Header,
];

impl By {
    fn scope(self, nth: usize) -> Value {
        let host = format!("shop-{nth}.example.com");
        let path = json!({"prefix": format!("/service-{nth}")});
        match self {
            By::Host => json!({"hosts": [host]}),
            By::HostsBelow => json!({"hosts": [format!("*.{host}")]}),
            By::Path => json!({"path": path}),
            By::HostAndPath => json!({"hosts": ["shop.example.com", host], "path": path}),
            By::HostAndCookie => {
                json!({"hosts": [host], "when": {"cookie": "tenant", "exact": format!("t{nth}")}})
            }
            By::Header => json!({"when": {"header": "x-tenant", "in": [format!("t{nth}"), host]}}),
        }
    }

    fn request(self, nth: usize) -> Exchange {
        let mut exchange = Exchange::get(&format!("/service-{nth}/cart?q{nth}=x"));
        let host = match self {
            By::Host | By::HostAndPath | By::HostAndCookie => format!("shop-{nth}.example.com"),
            By::HostsBelow => format!("eu.shop-{nth}.example.com"),
            By::Path | By::Header => "shop.example.com".to_owned(),
        };
        exchange.request.replace(":authority", host);
        exchange
            .header(&format!("x-user-{nth}"), "yes")
            .header("x-user-id", "user-1")
            .header("x-tenant", format!("t{nth}"))
            .header("cookie", format!("a=b; c{nth}=x; tenant=t{nth}; z=y"))
    }
}

/// A rollout whose names all differ from those of the others.
fn rollout(by: By, nth: usize) -> Value {
    json!({
        "name": format!("rollout-{nth}"),
        "match": [by.scope(nth)],
        "target": "{version}",
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
        "rules": [
            {"name": "header", "when": {"header": format!("x-user-{nth}"), "exact": "no"}, "use": "v2"},
            {"name": "cookie", "when": {"cookie": format!("c{nth}"), "in": ["y", "z"]}, "use": "v2"},
            {"name": "query", "when": {"query": format!("q{nth}"), "prefix": "y"}, "use": "v2"},
            {"name": "label", "when": {
                "label": {"header": "x-labels", "key": format!("k{nth}")}, "contains": "y",
            }, "use": "v2"},
        ],
        "strategy": {"canary": {"version": "v2", "weight": 20}},
        "expose": {"group": format!("x-group-{nth}")},
    })
}

/// The rollouts of these numbers.
fn configuration(by: By, numbers: impl Iterator<Item = usize>) -> Value {
    let rollouts: Value = numbers.map(|nth| rollout(by, nth)).collect();
    json!({"identity": [{"header": "x-user-id"}], "rollouts": rollouts})
}

/// Instructions of one request after three others.
fn fuel(vm: &mut Vm, root: RootId, exchange: &Exchange) -> u64 {
    for _ in 0..3 {
        vm.exchange(root, exchange).unwrap();
    }
    let before = vm.fuel_used();
    vm.exchange(root, exchange).unwrap();
    vm.fuel_used() - before
}

#[test]
fn a_request_takes_at_most_10_percent_more_instructions_than_with_one_rollout() {
    for by in BYS {
        let mut alone = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
        let mut among = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
        let all = accept(&mut among, &configuration(by, 0..ALL));
        // One with series from the start, and two without.
        for nth in [7, 499, 999] {
            let root = accept(&mut alone, &configuration(by, nth..=nth));
            let exchange = by.request(nth);
            let one = fuel(&mut alone, root, &exchange);
            let thousand = fuel(&mut among, all, &exchange);
            println!("{by:?} {nth}: {one} alone, {thousand} among {ALL}");
            assert!(
                thousand * 10 <= one * 11,
                "{by:?} {nth}: {one} instructions alone, {thousand} among {ALL}"
            );
            let stream = among.exchange(all, &exchange).unwrap();
            let assigned = assignment(&stream).unwrap();
            assert!(
                assigned.starts_with(&format!("rollout-{nth}=v")),
                "{assigned}"
            );
        }
    }
}

#[test]
fn a_request_that_no_rollout_matches_costs_a_few_lookups_more_than_with_one_rollout() {
    /// Lookups of a host, a path and header names, some of them similar to those of others.
    const LOOKUPS: u64 = 5;
    const EACH: u64 = 150;
    const REQUESTS: u64 = 8;
    for by in BYS {
        let mut alone = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
        let mut among = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
        let root = accept(&mut alone, &configuration(by, 0..1));
        let all = accept(&mut among, &configuration(by, 0..ALL));
        // The cost of a lookup differs from name to name.
        let (mut one, mut thousand) = (0, 0);
        for nth in (ALL + 1..).take(REQUESTS as usize) {
            let exchange = by.request(nth);
            one += fuel(&mut alone, root, &exchange);
            thousand += fuel(&mut among, all, &exchange);
        }
        println!("{by:?}: {one} with one, {thousand} with {ALL}");
        let most = one + REQUESTS * LOOKUPS * EACH;
        assert!(thousand <= most, "{by:?}: {one}, {thousand}");
    }
}
