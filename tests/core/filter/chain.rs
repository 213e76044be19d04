//! Several divvy filters in one chain, on the host in memory.

use divvy::filter::host::Message;
use divvy::filter::{OpenRequest, Plugin, Vm};

use super::memory::{MemoryExchange, MemoryHost};
use serde_json::{Value, json};

/// A configuration with these rollouts, which write `x-group` too.
fn configuration(rollouts: &[Value]) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "responseHeader": "x-divvy-version",
        "rollouts": rollouts,
    })
}

/// All users get this version.
fn rollout(name: &str, version: &str, fields: &Value) -> Value {
    let mut rollout = json!({
        "name": name, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "target": format!("{name}-{{version}}"),
        "strategy": {"blueGreen": {"active": version}},
    });
    for (field, value) in fields.as_object().unwrap() {
        rollout[field] = value.clone();
    }
    rollout
}

fn plugins(host: &MemoryHost, configurations: &[Value]) -> Vec<Plugin<MemoryHost>> {
    // Each in a VM of its own.
    let configured = configurations.iter().enumerate().map(|(number, config)| {
        let mut plugin = Plugin::new(Vm::new(host.clone()));
        let name = format!("plugin-{number}");
        assert!(
            plugin.configure(&name, config.to_string().as_bytes()),
            "{config}"
        );
        plugin
    });
    configured.collect()
}

/// What the upstream and the client receive, of the headers of divvy.
#[derive(Debug, PartialEq)]
struct Seen {
    route: Option<String>,
    mirror: Option<String>,
    group: Option<String>,
    assignment: Option<String>,
    client: Option<String>,
}

/// A request through all filters, with a response of an upstream that writes divvy's header.
fn pass(plugins: &[Plugin<MemoryHost>], headers: &[(&str, &str)]) -> Seen {
    let exchange = MemoryExchange::get(headers);
    let begin = |plugin: &Plugin<MemoryHost>| OpenRequest::begin(plugin.current(), &exchange, true);
    let mut open: Vec<_> = plugins.iter().map(begin).collect();
    exchange.respond("200", &[("x-divvy-version", "forged")]);
    for request in open.iter_mut().rev().flatten() {
        request.on_response_headers(&exchange, true);
        request.on_end(&exchange);
    }
    let sent = |name| exchange.header(Message::Request, name);
    Seen {
        route: sent("x-divvy-route"),
        mirror: sent("x-divvy-mirror"),
        group: sent("x-group"),
        assignment: sent("x-divvy-assignment"),
        client: exchange.header(Message::Response, "x-divvy-version"),
    }
}

fn seen(route: &str, mirror: &str, group: &str, assignment: &str, client: &str) -> Seen {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Seen {
        route: some(route),
        mirror: some(mirror),
        group: some(group),
        assignment: some(assignment),
        client: some(client),
    }
}

/// The second filter knows users by something else, or not at all: what the first one wrote stays.
#[test]
fn the_unit_of_an_earlier_filter_stays() {
    let with = |identity: Value, unit: bool, path: &str| {
        let scope = json!({"match": [{"path": {"prefix": path}}]});
        let mut one = configuration(&[rollout("checkout", "v2", &scope)]);
        one["identity"] = identity;
        one["headers"] = json!({"route": "x-divvy-route", "assignment": "x-divvy-assignment"});
        if unit {
            one["headers"]["unit"] = json!("x-divvy-unit");
        }
        one
    };
    let user = json!([{"header": "x-user-id"}]);
    let other = json!([{"header": "x-other"}]);
    let unit = |first: Value, second: Value, headers: &[(&str, &str)]| {
        let plugins = plugins(&MemoryHost::default(), &[first, second]);
        let exchange = MemoryExchange::get(headers);
        for plugin in &plugins {
            OpenRequest::begin(plugin.current(), &exchange, true);
        }
        exchange.header(Message::Request, "x-divvy-unit")
    };
    let forged = ("x-divvy-unit", "0123456789abcdef");
    for headers in [
        &[("x-user-id", "42"), ("x-other", "7")][..],
        &[("x-user-id", "42"), ("x-other", "7"), forged],
    ] {
        for path in ["/", "/elsewhere"] {
            for second in [
                with(other.clone(), true, path),
                with(user.clone(), false, path),
            ] {
                let found = unit(with(user.clone(), true, path), second, headers);
                assert_eq!(
                    found.as_deref(),
                    Some("4062ccb68a58f0ae"),
                    "{headers:?} {path}"
                );
            }
        }
    }
    let neither = unit(
        with(user.clone(), false, "/"),
        with(user, false, "/elsewhere"),
        &[forged],
    );
    assert_eq!(neither, None);
}

const FORGED: [(&str, &str); 4] = [
    ("x-user-id", "42"),
    ("x-divvy-route", "forged"),
    ("x-divvy-mirror", "forged"),
    ("x-divvy-assignment", "checkout=v1;reason=rule, forged=v9"),
];

/// The first filter decides about the checkout with a mirror, the second about what the case says.
#[test]
fn two_filters_agree_on_route_headers_and_client() {
    let mirror = json!({"mirror": {"version": "v1", "percent": 100}});
    let first = configuration(&[rollout("checkout", "v2", &mirror)]);
    let group = json!({"expose": {"group": "x-group"}});
    let nowhere = json!({"match": [{"hosts": ["elsewhere"]}]});
    let limits = json!({"guardrail": {"consecutiveErrors": 1}});
    let follow = |name: &str| {
        let mut follower = rollout(name, "v1", &json!({}));
        follower["strategy"] = json!({"follow": {"rollout": "checkout"}});
        json!({"identity": [], "trust": {"principals": ["spiffe://td/x"]},
            "responseHeader": "x-divvy-version", "rollouts": [follower]})
    };
    let (alone, own) = ("checkout=v2;reason=active", "checkout-v2");
    let inherited = "checkout=v2;reason=inherited;upstream=active";
    for (what, second, expected) in [
        (
            "another rollout only tags, and exposes",
            configuration(&[rollout("search", "v2", &group)]),
            seen(
                own,
                "checkout-v1",
                "v2",
                "search=v2;reason=active, checkout=v2;reason=active",
                "checkout=v2;reason=active, search=v2;reason=active",
            ),
        ),
        (
            "the same rollout with another answer",
            configuration(&[rollout("checkout", "v1", &limits)]),
            seen(own, "checkout-v1", "", inherited, inherited),
        ),
        (
            "no rollout that matches",
            configuration(&[rollout("search", "v2", &nowhere)]),
            seen(own, "checkout-v1", "", alone, alone),
        ),
        (
            "no rollouts",
            configuration(&[]),
            seen(own, "checkout-v1", "", alone, alone),
        ),
        (
            "a follower",
            follow("search"),
            seen(
                own,
                "checkout-v1",
                "",
                "search=v2;reason=follow, checkout=v2;reason=active",
                "checkout=v2;reason=active, search=v2;reason=follow",
            ),
        ),
    ] {
        let host = MemoryHost::default();
        let plugins = plugins(&host, &[first.clone(), second]);
        for headers in [&FORGED[..], &FORGED[..1]] {
            assert_eq!(pass(&plugins, headers), expected, "{what}");
        }
    }
}

#[test]
fn each_filter_removes_forged_headers_that_only_it_writes() {
    let group = json!({"expose": {"group": "x-group"}});
    let with_group = configuration(&[rollout("search", "v2", &group)]);
    let without = configuration(&[rollout("checkout", "v2", &json!({}))]);
    let host = MemoryHost::default();
    let forged = [&FORGED[..], &[("x-group", "forged")]].concat();
    for (order, route) in [
        ([&with_group, &without], "search-v2"),
        ([&without, &with_group], "checkout-v2"),
    ] {
        let seen = pass(&plugins(&host, &order.map(Clone::clone)), &forged);
        assert_eq!(
            (seen.route.as_deref(), seen.group.as_deref()),
            (Some(route), Some("v2"))
        );
    }
}

#[test]
fn the_first_of_three_filters_keeps_its_headers() {
    let group = json!({"expose": {"group": "x-group"}});
    let host = MemoryHost::default();
    let plugins = plugins(
        &host,
        &[
            configuration(&[rollout("search", "v2", &group)]),
            configuration(&[rollout("checkout", "v2", &json!({}))]),
            configuration(&[rollout("basket", "v1", &group)]),
        ],
    );
    let seen = pass(&plugins, &FORGED);
    assert_eq!(seen.route.as_deref(), Some("search-v2"));
    assert_eq!(seen.group.as_deref(), Some("v2"));
    let names = ["basket=v1", "checkout=v2", "search=v2"];
    let all = names.map(|name| format!("{name};reason=active")).join(", ");
    assert_eq!(seen.assignment, Some(all));
}

/// As after an internal redirect, which begins with the headers of the first run.
#[test]
fn headers_of_an_earlier_run_of_the_chain_count_as_forged() {
    let host = MemoryHost::default();
    let plugins = plugins(
        &host,
        &[
            configuration(&[rollout("checkout", "v2", &json!({}))]),
            configuration(&[]),
        ],
    );
    let exchange = MemoryExchange::get(&FORGED);
    OpenRequest::begin(plugins[0].current(), &exchange, true);
    *exchange.chain.borrow_mut() = [None, None];
    OpenRequest::begin(plugins[1].current(), &exchange, true);
    assert_eq!(exchange.header(Message::Request, "x-divvy-route"), None);
}

#[test]
fn a_single_plugin_notes_nothing() {
    let host = MemoryHost::default();
    let checkout = configuration(&[rollout("checkout", "v2", &json!({}))]);
    let mut plugins = plugins(&host, std::slice::from_ref(&checkout));
    // Also under another configuration.
    assert!(plugins[0].configure("plugin-0", b"{}"));
    assert!(plugins[0].configure("plugin-0", checkout.to_string().as_bytes()));
    let exchange = MemoryExchange::get(&FORGED);
    let mut open = OpenRequest::begin(plugins[0].current(), &exchange, true).unwrap();
    exchange.respond("200", &[]);
    open.on_response_headers(&exchange, true);
    assert_eq!(*exchange.chain.borrow(), [None, None]);
}

/// The second plugin is configured in another VM while the first one has requests.
#[test]
fn a_second_plugin_is_known_to_other_vms_with_the_next_tick() {
    let host = MemoryHost::default();
    let checkout = configuration(&[rollout("checkout", "v2", &json!({}))]);
    let mut all = plugins(&host, &[checkout]);
    pass(&all, &FORGED);
    let mut second = Plugin::new(Vm::new(host.clone()));
    assert!(second.configure("second", b"{}"));
    all[0].on_tick();
    all.push(second);
    assert_eq!(pass(&all, &FORGED).route.as_deref(), Some("checkout-v2"));
}
