//! The filter natively, on the host in memory.

mod calls;
mod chain;
mod finished;
mod memory;
mod outcomes;
mod shared;
mod unreachable;

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use divvy::filter::host::{Exchange, Message};
use divvy::filter::{OpenRequest, Plugin, Vm};
use divvy::request::Direction;
use memory::{MemoryExchange, MemoryHost};

const PLUGIN: &str = "shop";

/// A rollout with a canary at this weight.
fn canary(weight: u32) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "responseHeader": "x-divvy-version",
        "rollouts": [{
            "name": "checkout",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "target": "{version}",
            "strategy": {"canary": {"version": "v2", "weight": weight}}
        }]
    })
}

/// The same with a guardrail that rolls back after three failures in a row.
fn guarded() -> Value {
    let mut config = canary(100);
    config["rollouts"][0]["guardrail"] = json!({"consecutiveErrors": 3});
    config
}

fn plugin(host: &MemoryHost) -> Plugin<MemoryHost> {
    Plugin::new(Vm::new(host.clone()))
}

fn configured(host: &MemoryHost, config: &Value) -> Plugin<MemoryHost> {
    let mut plugin = plugin(host);
    assert!(plugin.configure(PLUGIN, config.to_string().as_bytes()));
    plugin
}

fn begin(
    plugin: &Plugin<MemoryHost>,
    exchange: &MemoryExchange,
) -> Option<OpenRequest<MemoryHost>> {
    OpenRequest::begin(plugin.current(), exchange, true)
}

/// A whole request with an answer of this status. The version that it was routed to.
fn serve(plugin: &Plugin<MemoryHost>, status: &str) -> Option<String> {
    let exchange = MemoryExchange::get(&[("x-user-id", "42")]);
    let mut request = begin(plugin, &exchange);
    exchange.respond(status, &[]);
    if let Some(request) = &mut request {
        request.on_response_headers(&exchange, true);
        request.on_end(&exchange);
    }
    exchange.header(Message::Request, "x-divvy-route")
}

#[test]
fn a_request_is_routed_counted_and_reported_to_the_client() {
    let host = MemoryHost::default();
    let plugin = configured(&host, &canary(100));
    let exchange = MemoryExchange::get(&[("x-user-id", "42"), ("x-divvy-route", "forged")]);
    let mut request = begin(&plugin, &exchange).unwrap();
    let sent = |name| exchange.header(Message::Request, name);
    assert_eq!(sent("x-divvy-route").as_deref(), Some("v2"));
    let assignment = "checkout=v2;reason=split";
    assert_eq!(sent("x-divvy-assignment").as_deref(), Some(assignment));

    exchange.respond("503", &[]);
    request.on_response_headers(&exchange, true);
    let reported = exchange.header(Message::Response, "x-divvy-version");
    assert_eq!(reported.as_deref(), Some(assignment));
    request.on_end(&exchange);
    assert_eq!(host.metric(&["v2", "split", "divvy_requests_total"]), 1);
    assert_eq!(host.metric(&["v2", "5xx", "divvy_responses_total"]), 1);
    assert_eq!(host.metric(&["v2", "divvy_request_duration_ms"]), 1);
}

#[test]
fn a_request_whose_headers_cannot_be_read_gets_stable_and_no_route() {
    let host = MemoryHost::default();
    let plugin = configured(&host, &canary(100));
    let exchange = MemoryExchange::get(&[("x-divvy-route", "forged")]);
    exchange.unreadable.set(true);
    begin(&plugin, &exchange);
    assert_eq!(exchange.header(Message::Request, "x-divvy-route"), None);
    assert_eq!(host.metric(&["v1", "error", "divvy_requests_total"]), 1);
}

#[test]
fn a_header_that_the_host_refuses_takes_the_decision_back() {
    let host = MemoryHost::default();
    let plugin = configured(&host, &canary(100));
    let exchange = MemoryExchange::get(&[("x-user-id", "42")]);
    exchange.refuses_to_set.set(Some("x-divvy-assignment"));
    begin(&plugin, &exchange);
    assert_eq!(exchange.header(Message::Request, "x-divvy-route"), None);
    assert_eq!(host.metric(&["v1", "error", "divvy_requests_total"]), 1);
}

#[test]
fn a_response_that_ends_without_headers_is_counted_by_its_flags() {
    let host = MemoryHost::default();
    let plugin = configured(&host, &canary(100));
    let exchange = MemoryExchange::get(&[("x-user-id", "42")]);
    let mut request = begin(&plugin, &exchange).unwrap();
    request.on_end(&exchange);
    request.on_end(&exchange);
    assert_eq!(host.metric(&["v2", "divvy_responses_total"]), 1);
}

#[test]
fn metrics_are_defined_once_for_all_configurations_of_a_vm() {
    let host = MemoryHost::default();
    let mut plugin = configured(&host, &canary(50));
    serve(&plugin, "200");
    let defined = host.defined();
    assert!(plugin.configure(PLUGIN, canary(25).to_string().as_bytes()));
    assert_eq!(host.defined(), defined);
    let gauge = ["v2", "divvy_weight_ppm"];
    assert_eq!(host.metric(&gauge), 250_000);
    assert!(plugin.configure(PLUGIN, b"{}"));
    assert_eq!(
        host.metric(&gauge),
        0,
        "a rollout that is gone has no share"
    );
}

#[test]
fn a_host_without_metrics_or_shared_data_still_routes() {
    let host = MemoryHost::default();
    host.refuses_metrics.set(true);
    host.refuses_shared_data.set(true);
    let mut plugin = configured(&host, &guarded());
    for _ in 0..5 {
        assert_eq!(serve(&plugin, "500").as_deref(), Some("v2"));
        plugin.on_tick();
    }
}

#[test]
fn an_invalid_configuration_runs_inert_only_before_a_valid_one() {
    let host = MemoryHost::default();
    let mut first = plugin(&host);
    assert!(first.configure(PLUGIN, b"{\"nope\": 1}"));
    assert_eq!(host.metric(&["divvy_config_inert"]), 1);
    let exchange = MemoryExchange::get(&[("x-divvy-route", "forged")]);
    begin(&first, &exchange);
    assert_eq!(exchange.header(Message::Request, "x-divvy-route"), None);

    let mut other = configured(&host, &canary(5));
    assert_eq!(host.metric(&["divvy_config_inert"]), 0);
    assert!(!other.configure(PLUGIN, b"{\"other\": 1}"));
    // Envoy caches the main thread's verdict, so it stays the same for the same bytes.
    assert!(plugin(&host).configure(PLUGIN, b"{\"nope\": 1}"));
}

/// A plugin file that was cut off may arrive as a configuration of zero bytes.
#[test]
fn zero_bytes_are_refused_after_a_configuration_was_accepted() {
    let host = MemoryHost::default();
    let mut first = configured(&host, &canary(100));
    assert!(!first.configure(PLUGIN, b""));
    assert_eq!(serve(&first, "200").as_deref(), Some("v2"));
    // Also in a new VM of the process. Another plugin starts with them.
    assert!(!plugin(&host).configure(PLUGIN, b""));
    assert!(plugin(&host).configure("another", b""));
    assert!(first.configure(PLUGIN, b"{}"));
    assert!(!first.configure(PLUGIN, b""));
}

/// Envoy asks the main thread once, and then every worker.
#[test]
fn a_process_that_started_with_zero_bytes_accepts_them() {
    for text in [&b"{\"nope\": 1}"[..], b""] {
        let host = MemoryHost::default();
        assert!(plugin(&host).configure(PLUGIN, text));
        let mut worker = plugin(&host);
        assert!(worker.configure(PLUGIN, b""));
        assert!(worker.configure(PLUGIN, canary(100).to_string().as_bytes()));
        assert!(worker.configure(PLUGIN, b""));
    }
}

#[test]
fn a_workload_is_not_trusted_on_a_gateway() {
    let gateway = "router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local";
    let sidecar = "sidecar~10.0.0.1~app.shop~shop.svc.cluster.local";
    let peer = "spiffe://td/gw";
    for (node, trust, version) in [
        (sidecar, json!({"workload": true}), "v2"),
        ("edge", json!({"workload": true}), "v2"),
        (gateway, json!({"workload": true}), "v1"),
        (
            gateway,
            json!({"workload": true, "principals": [peer]}),
            "v2",
        ),
        (
            gateway,
            json!({"workload": true, "principals": ["spiffe://td/x"]}),
            "v1",
        ),
    ] {
        let host = MemoryHost::default();
        host.node.set(node);
        let mut config = canary(0);
        config["trust"] = trust.clone();
        let plugin = configured(&host, &config);
        let mut exchange = MemoryExchange::get(&[("x-divvy-assignment", "checkout=v2")]);
        exchange.direction = Some(Direction::Outbound);
        exchange.peer = Some(peer);
        begin(&plugin, &exchange);
        let route = exchange.header(Message::Request, "x-divvy-route");
        assert_eq!(route.as_deref(), Some(version), "{node} {trust}");
        let assignment = exchange.header(Message::Request, "x-divvy-assignment");
        assert!(assignment.is_some_and(|text| text.starts_with(&format!("checkout={version};"))));
    }
}

#[test]
fn a_response_header_never_comes_from_the_upstream() {
    let sent = [
        ("x-divvy-version", "own"),
        ("x-group", "own"),
        ("x-other", "own"),
    ];
    for (scopes, expected) in [
        // Without a rollout that exposes it, `x-group` is not a header of divvy.
        (json!([]), [None, Some("own"), Some("own")]),
        (json!([{"hosts": ["elsewhere"]}]), [None, None, Some("own")]),
        (
            json!([{"path": {"prefix": "/"}}]),
            [
                Some("checkout=v1;reason=no_identity"),
                Some("v1"),
                Some("own"),
            ],
        ),
    ] {
        let mut config = canary(5);
        let rollouts = config["rollouts"].as_array_mut().unwrap();
        if scopes == json!([]) {
            rollouts.clear();
        } else {
            rollouts[0]["match"] = scopes.clone();
            rollouts[0]["expose"] = json!({"group": "x-group", "response": true});
        }
        let plugin = configured(&MemoryHost::default(), &config);
        let exchange = MemoryExchange::get(&[]);
        let mut request = begin(&plugin, &exchange).expect("the response is to be changed");
        exchange.respond("200", &sent);
        request.on_response_headers(&exchange, true);
        for ((name, _), value) in sent.iter().zip(expected) {
            let received = exchange.header(Message::Response, name);
            assert_eq!(received.as_deref(), value, "{name} {scopes}");
        }
    }
}

#[test]
fn strict_mode_refuses_an_invalid_first_configuration() {
    let host = MemoryHost::default();
    host.environment.set("DIVVY_STRICT=1");
    assert!(!plugin(&host).configure(PLUGIN, b"[]"));
}

#[test]
fn ticks_come_faster_where_versions_are_watched() {
    let host = MemoryHost::default();
    let mut config = canary(5);
    for (field, value, seconds) in [
        ("unreachable", json!(true), 1),
        ("unreachable", json!(false), 5),
        ("guardrail", json!({"consecutiveErrors": 3}), 1),
    ] {
        config["rollouts"][0][field] = value;
        configured(&host, &config);
        let expected = Duration::from_secs(seconds);
        assert_eq!(host.interval.get(), Some(expected), "{field}");
    }
}

#[test]
fn failures_in_a_row_roll_back_at_once_here_and_at_the_next_tick_elsewhere() {
    let host = MemoryHost::default();
    host.now.set(Duration::from_secs(1_000));
    let mut workers = [0, 1].map(|_| configured(&host, &guarded()));
    for worker in &workers {
        assert_eq!(serve(worker, "200").as_deref(), Some("v2"));
    }
    for _ in 0..3 {
        assert_eq!(serve(&workers[0], "500").as_deref(), Some("v2"));
    }
    assert_eq!(serve(&workers[0], "200").as_deref(), Some("v1"));
    assert_eq!(serve(&workers[1], "200").as_deref(), Some("v2"));
    host.now.set(Duration::from_secs(1_001));
    workers[1].on_tick();
    assert_eq!(serve(&workers[1], "200").as_deref(), Some("v1"));
    assert_eq!(host.metric(&["v2", "divvy_guardrail_state"]), 2);
    assert_eq!(host.metric(&["v2", "divvy_weight_ppm"]), 0);
}

#[test]
fn outcomes_of_requests_count_after_their_configuration_was_replaced() {
    let host = MemoryHost::default();
    host.now.set(Duration::from_secs(1_000));
    let mut plugin = configured(&host, &guarded());
    let exchange = MemoryExchange::get(&[("x-user-id", "42")]);
    let open = begin(&plugin, &exchange);
    let before = Rc::downgrade(plugin.current());
    let mut next = guarded();
    next["version"] = "2".into();
    assert!(plugin.configure(PLUGIN, next.to_string().as_bytes()));
    assert!(before.upgrade().is_some(), "an open request keeps it");
    drop(open);
    plugin.on_tick();
    assert!(before.upgrade().is_none());
}

#[test]
fn a_minted_cookie_outlasts_a_redirect_that_the_proxy_follows() {
    let host = MemoryHost::default();
    let mut config = canary(50);
    config["identity"] = json!([{"cookie": "divvy_id", "mint": {}}]);
    config["rollouts"][0]["match"] = json!([{"path": {"prefix": "/shop"}}]);
    let plugin = configured(&host, &config);
    assert_eq!(
        *host.kept_through_redirects.borrow(),
        "divvy_minted_divvy_id"
    );
    let given = |exchange: &MemoryExchange| {
        let mut request = begin(&plugin, exchange);
        exchange.respond("200", &[]);
        if let Some(request) = &mut request {
            request.on_response_headers(exchange, true);
        }
        exchange.header(Message::Response, "set-cookie")
    };
    let original = ("x-envoy-original-url", "http://shop/shop");
    for path in ["/shop/next", "/elsewhere"] {
        // The response to the first request is never sent.
        let first = MemoryExchange::get(&[]);
        first.set(Message::Request, ":path", b"/shop").unwrap();
        begin(&plugin, &first).unwrap();
        let cookie = first.header(Message::Request, "cookie").unwrap();
        let next = MemoryExchange::get(&[("cookie", &cookie), original]);
        next.set(Message::Request, ":path", path.as_bytes())
            .unwrap();
        next.kept.replace(first.kept.take());
        let expected = format!("{cookie}; Path=/; SameSite=Lax; Secure; HttpOnly");
        assert_eq!(given(&next), Some(expected), "{path}");
        // The client had it before the redirect.
        let known = MemoryExchange::get(&[("cookie", &cookie), original]);
        known
            .set(Message::Request, ":path", path.as_bytes())
            .unwrap();
        assert_eq!(given(&known), None, "{path}");
    }
}
