//! The resources of Envoy Gateway.

use serde_json::{Value, json};

use super::istio::{render, resources};
use super::{config, rollout};
use crate::common::{divvy_in, file, json_with, root};

const ARGS: [&str; 6] = [
    "render",
    "envoy-gateway",
    "--gateway",
    "infra/shop",
    "-n",
    "shop",
];

/// Matches, backend and copy of each rule of an HTTPRoute.
fn rules(route: &Value) -> Vec<Value> {
    let rules = route["spec"]["rules"].as_array().unwrap().iter();
    let rules = rules.map(|rule| {
        assert_eq!(rule["timeouts"], json!({"request": "60s"}));
        let filters = rule["filters"].as_array().unwrap();
        assert_eq!(
            filters[0]["requestHeaderModifier"],
            json!({"remove": ["x-divvy-route"]})
        );
        let copy = filters.get(1).map_or(Value::Null, |filter| {
            filter["requestMirror"]["backendRef"].clone()
        });
        json!([rule["matches"], rule["backendRefs"][0], copy])
    });
    rules.collect()
}

fn header(name: &str, value: &str) -> Value {
    json!({"type": "Exact", "name": name, "value": value})
}

#[test]
fn a_target_is_a_service_with_a_rule_and_stable_takes_the_rest() {
    let fields = json!({"target": "checkout-{version}", "mirror": {"version": "v2", "percent": 1}});
    let output = render(
        &config(json!({"rollouts": [rollout("checkout", fields)]})),
        &ARGS,
    );
    let routes = resources(&output, "HTTPRoute");
    let [route] = routes.as_slice() else {
        panic!("{output}");
    };
    assert_eq!(
        route["spec"]["parentRefs"],
        json!([{"name": "shop", "namespace": "infra"}])
    );
    let v1 = json!({"name": "checkout-v1", "port": 8080});
    let v2 = json!({"name": "checkout-v2", "port": 8080});
    let copied = [
        header("x-divvy-route", "checkout-v1"),
        header("x-divvy-mirror", "checkout-v2"),
    ];
    let decided = [header("x-divvy-route", "checkout-v2")];
    assert_eq!(
        rules(route),
        [
            json!([[{"headers": copied}], v1, v2]),
            json!([[{"headers": decided}], v2, null]),
            json!([null, v1, null]),
        ]
    );
    for kind in ["EnvoyExtensionPolicy", "ClientTrafficPolicy", "EnvoyProxy"] {
        let one = &resources(&output, kind)[0];
        assert_eq!(one["metadata"]["name"], "divvy", "{kind}");
        assert_eq!(one["metadata"]["namespace"], "infra", "{kind}");
        if kind != "EnvoyProxy" {
            assert_eq!(
                one["spec"]["targetRefs"],
                json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "shop"}])
            );
        }
    }
}

#[test]
fn a_decision_is_more_specific_than_every_rule_without_one() {
    let cart = rollout(
        "cart",
        json!({"target": "cart-{version}", "match": [{"path": {"prefix": "/cart"}, "methods": ["GET", "POST"]}]}),
    );
    let search = rollout(
        "search",
        json!({"target": "search-{version}", "match": [{"path": {"in": ["/cart/find"]}}]}),
    );
    let own = rollout(
        "own_host",
        json!({"target": "own-{version}", "match": [{"hosts": ["Own.example.com."]}]}),
    );
    let output = render(&config(json!({"rollouts": [cart, search, own]})), &ARGS);
    let routes = resources(&output, "HTTPRoute");
    let names: Vec<_> = routes
        .iter()
        .map(|route| (&route["metadata"]["name"], &route["spec"]["hostnames"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("cart"), &Value::Null),
            (&json!("cart-2"), &json!(["own.example.com"])),
        ]
    );
    for route in &routes {
        let rules = rules(route);
        let matches = |rule: &Value| rule[0].as_array().cloned().unwrap_or_default();
        let is_decided = |one: &Value| one.get("headers").is_some();
        let open: Vec<Value> = rules
            .iter()
            .flat_map(matches)
            .filter(|one| !is_decided(one))
            .collect();
        assert_eq!(open.len(), 3, "{open:#?}");
        let mut targets = 0;
        for rule in rules
            .iter()
            .filter(|rule| matches(rule).iter().all(is_decided))
        {
            let Some(first) = matches(rule).first().cloned() else {
                continue;
            };
            targets += 1;
            for one in &open {
                let mut decided = one.clone();
                decided["headers"] = first["headers"].clone();
                assert!(
                    matches(rule).contains(&decided),
                    "{decided} is not in {rule}"
                );
            }
        }
        let expected = if route["spec"]["hostnames"].is_null() {
            4
        } else {
            6
        };
        assert_eq!(targets, expected, "{output}");
    }
}

#[test]
fn backends_may_have_other_names_ports_and_kinds() {
    let configuration = config(json!({"rollouts": [rollout("checkout", json!({}))]}));
    let backends = |more: &[&str]| {
        let output = render(&configuration, &[&ARGS[..], more].concat());
        let all = rules(&resources(&output, "HTTPRoute")[0]);
        all.iter().map(|rule| rule[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        backends(&["--port", "80", "--backend", "v2=next:9000"]),
        [
            json!({"name": "next", "port": 9000}),
            json!({"name": "v1", "port": 80})
        ]
    );
    let backend =
        |name: &str| json!({"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name});
    assert_eq!(
        backends(&["--backend-kind", "backend", "--backend", "v1=old"]),
        [backend("v2"), backend("old")]
    );
}

#[test]
fn the_filter_comes_from_an_image_or_a_web_server() {
    let configuration = config(json!({}));
    let code = |more: &[&str]| {
        let output = render(&configuration, &[&ARGS[..], more].concat());
        resources(&output, "EnvoyExtensionPolicy")[0]["spec"]["wasm"][0]["code"].clone()
    };
    assert_eq!(
        code(&["--image", "a.example.com/divvy@sha256:1"]),
        json!({"type": "Image", "pullPolicy": "IfNotPresent", "image": {"url": "a.example.com/divvy@sha256:1"}})
    );
    let sum = "AB".repeat(32);
    assert_eq!(
        code(&["--wasm-url", "https://a/divvy.wasm", "--wasm-sha256", &sum]),
        json!({"type": "HTTP", "http": {"url": "https://a/divvy.wasm", "sha256": sum.to_lowercase()}})
    );
}

#[test]
fn too_many_rules_for_an_http_route_are_an_error() {
    let versions: Vec<Value> = (1..=20)
        .map(|number| json!({"name": format!("v{number}")}))
        .collect();
    let configuration =
        config(json!({"rollouts": [rollout("many", json!({"versions": versions}))]}));
    let input = file(".json", &configuration.to_string());
    let args = [&ARGS[..], &[input.to_str().unwrap()]].concat();
    let output = divvy_in(&root(), &args);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("20 rules with 20 matches"), "{said}");
}

#[test]
fn a_policy_on_routes_is_checked_with_the_client_traffic_policy_of_their_gateway() {
    let exposed = json!({"target": "checkout-{version}", "expose": {"group": "x-group"}});
    let output = render(
        &config(json!({"rollouts": [rollout("checkout", exposed)]})),
        &ARGS,
    );
    let policy_on_route = output.replacen(
        "{group: gateway.networking.k8s.io, kind: Gateway, name: shop}",
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: checkout}",
        1,
    );
    let policy_on_route = policy_on_route.replacen("namespace: infra", "namespace: shop", 1);
    for output in [output, policy_on_route] {
        let findings =
            |text: &str| json_with(text, &["check", "--strict", "-"])["findings"].clone();
        assert_eq!(findings(&output), json!([]));
        let found = findings(&output.replacen("        - x-group\n", "", 1)).to_string();
        assert!(
            found.contains("earlyRequestHeaders of the ClientTrafficPolicy"),
            "{found}"
        );
    }
}

#[test]
fn promote_passes_a_gate_in_the_policy() {
    let steps = json!({"version": "v2", "start": "2026-01-05T09:00:00Z", "steps": [{"weight": 5, "gate": "qa"}, {"weight": 100}]});
    let gated = rollout("checkout", json!({"strategy": {"canary": steps}}));
    let output = render(&config(json!({"rollouts": [gated]})), &ARGS);
    let policy = file(".yaml", &output);
    let args = [
        "promote",
        policy.to_str().unwrap(),
        "--at",
        "2026-01-06T09:00:00Z",
    ];
    assert!(divvy_in(&root(), &args).status.success());
    let promoted = std::fs::read_to_string(&policy).unwrap();
    let wasm = &resources(&promoted, "EnvoyExtensionPolicy")[0]["spec"]["wasm"][0];
    assert_eq!(
        wasm["config"]["rollouts"][0]["strategy"]["canary"]["passed"][0]["gate"],
        "qa"
    );
}
