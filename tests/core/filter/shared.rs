//! Headers that divvy shares with others, on the host in memory: several filters, a refused
//! configuration, a host that refuses, and the counter of full baggage.

use divvy::filter::host::Message;
use divvy::filter::{OpenRequest, Plugin, Vm};

use super::memory::{MemoryExchange, MemoryHost};
use serde_json::{Value, json};

const SENT: [(&str, &str); 3] = [
    ("x-label", "env=gray;shop=forged;search=forged"),
    ("baggage", "a=1,divvy=forged"),
    ("x-gray-id", "alice"),
];

/// All users get v2, whose name is a label with the key of the rollout.
fn configuration(name: &str) -> Value {
    json!({
        "headers": {"route": "x-divvy-route", "baggage": "divvy", "identity": "x-gray-id"},
        "identity": [{"header": "x-gray-id"}],
        "rollouts": [{
            "name": name, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"blueGreen": {"active": "v2"}},
            "expose": {"label": {"header": "x-label", "key": name}},
        }],
    })
}

fn plugin(host: &MemoryHost, name: &str, configuration: &str) -> Plugin<MemoryHost> {
    let mut plugin = Plugin::new(Vm::new(host.clone()));
    assert!(plugin.configure(name, configuration.as_bytes()));
    plugin
}

/// The label, baggage and identity that the upstream receives.
fn pass(plugins: &[&Plugin<MemoryHost>], exchange: &MemoryExchange) -> [String; 3] {
    for plugin in plugins {
        OpenRequest::begin(plugin.current(), exchange, true);
    }
    ["x-label", "baggage", "x-gray-id"].map(|name| {
        let value = exchange.header(Message::Request, name);
        value.unwrap_or_default()
    })
}

#[test]
fn a_later_filter_keeps_the_entries_of_an_earlier_one() {
    let host = MemoryHost::default();
    let [shop, search] =
        ["shop", "search"].map(|name| plugin(&host, name, &configuration(name).to_string()));
    let idle = configuration("shop").to_string().replace(
        "\"rollouts\":[{",
        "\"rollouts\":[{\"match\":[{\"hosts\":[\"other.example\"]}],",
    );
    let idle = plugin(&host, "idle", &idle);
    let both = "divvy=search%3Dv2%3Breason%3Dactive%2C%20shop%3Dv2%3Breason%3Dactive";
    let [label, baggage, identity] = pass(&[&shop, &search], &MemoryExchange::get(&SENT));
    assert_eq!(label, "env=gray;shop=v2;search=v2");
    assert_eq!(baggage, format!("a=1,{both}"));
    assert_eq!(identity, "alice", "no decision needed it");
    // The third decides nothing, and has the label of the first.
    let [label, baggage, _] = pass(&[&shop, &search, &idle], &MemoryExchange::get(&SENT));
    assert_eq!(label, "env=gray;shop=v2;search=v2");
    assert_eq!(baggage, format!("a=1,{both}"));
    // Both have the same label: it stands there once.
    let again = plugin(&host, "again", &configuration("shop").to_string());
    let [label, _, _] = pass(&[&shop, &again], &MemoryExchange::get(&SENT));
    assert_eq!(label, "env=gray;search=forged;shop=v2");
    // Without the others, what came is a client's.
    let [label, baggage, _] = pass(&[&idle], &MemoryExchange::get(&SENT));
    assert_eq!(label, "env=gray;search=forged");
    assert_eq!(baggage, "a=1");
}

#[test]
fn a_refused_configuration_removes_forged_entries_and_no_others() {
    let mut refused = configuration("shop");
    refused["rollouts"][0]["stable"] = json!("v3");
    let inert = plugin(&MemoryHost::default(), "inert", &refused.to_string());
    let seen = pass(&[&inert], &MemoryExchange::get(&SENT));
    assert_eq!(seen, ["env=gray;search=forged", "a=1", "alice"]);
}

#[test]
fn a_host_that_refuses_ends_what_divvy_shares_with_others() {
    let host = MemoryHost::default();
    let shop = plugin(&host, "shop", &configuration("shop").to_string());
    // The label already has v2, which does not serve the request.
    let exchange = MemoryExchange::get(&SENT);
    exchange.refuses_to_set.set(Some("baggage"));
    assert_eq!(pass(&[&shop], &exchange), ["", "", "alice"]);
    // What cannot be read may be forged.
    let exchange = MemoryExchange::get(&SENT);
    exchange.unreadable.set(true);
    assert_eq!(pass(&[&shop], &exchange), ["", "", "alice"]);
}

#[test]
fn baggage_without_room_is_counted() {
    let host = MemoryHost::default();
    let shop = plugin(&host, "shop", &configuration("shop").to_string());
    let counted = || host.metric(&["divvy_plugin=.=shop;.;divvy_baggage_full_total"]);
    assert_eq!(counted(), 0);
    let others = vec!["a=1"; 64].join(",");
    let [_, baggage, _] = pass(&[&shop], &MemoryExchange::get(&[("baggage", &others)]));
    assert_eq!((baggage, counted()), (others.clone(), 1));
    // The label, a header that is written later, has room.
    let both = [("baggage", &*others), ("x-label", "env=gray")];
    let [label, _, _] = pass(&[&shop], &MemoryExchange::get(&both));
    assert_eq!((&*label, counted()), ("env=gray;shop=v2", 2));
    pass(&[&shop], &MemoryExchange::get(&SENT));
    assert_eq!(counted(), 2);
}
