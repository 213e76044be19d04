//! The routes of Istio, and Envoy's routes of requests without a decision.

use divvy_cli::source::tree::YamlVersion;
use divvy_cli::source::{Content, read_all};
use serde_json::{Value, json};

use super::{KINDS, config, rendered, rollout};
use crate::common::{divvy, file, text};

/// The resources of a kind in an output.
pub(super) fn resources(output: &str, kind: &str) -> Vec<Value> {
    let output = file(".yaml", output);
    let set = read_all(&[output.to_path_buf()]).unwrap();
    let Content::Documents(documents) = set.files[0].content() else {
        panic!();
    };
    let all = documents
        .iter()
        .map(|one| one.root.to_json(YamlVersion::V11));
    let all = all.map(|json| serde_json::from_str::<Value>(&json).unwrap());
    all.filter(|one| one["kind"] == kind).collect()
}

/// Name, match and destination of each route.
fn routes(service: &Value) -> Vec<Value> {
    let routes = service["spec"]["http"].as_array().unwrap().iter();
    let routes = routes.map(|route| {
        let to = &route["route"][0]["destination"];
        json!([route["name"], route["match"], to["subset"], to["host"]])
    });
    routes.collect()
}

pub(super) fn render(configuration: &Value, args: &[&str]) -> String {
    let input = file(".json", &configuration.to_string());
    text(&divvy(&[args, &[input.to_str().unwrap()]].concat()))
}

const HOST: &str = "checkout.shop.svc.cluster.local";

#[test]
fn one_rollout_has_a_route_per_target_and_a_catch_all_to_stable() {
    let mirrored = rollout(
        "checkout",
        json!({"mirror": {"version": "v2", "percent": 1}}),
    );
    let output = render(
        &config(json!({"rollouts": [mirrored]})),
        &["render", "istio", "--gateway", "web/shop", "-n", "shop"],
    );
    let services = resources(&output, "VirtualService");
    let [service] = services.as_slice() else {
        panic!("{output}");
    };
    assert_eq!(service["spec"]["hosts"], json!(["*"]));
    assert_eq!(service["spec"]["gateways"], json!(["web/shop"]));
    let header = |value: &str| json!({"x-divvy-route": {"exact": value}});
    let copied = json!({"x-divvy-route": {"exact": "v1"}, "x-divvy-mirror": {"exact": "v2"}});
    assert_eq!(
        routes(service),
        [
            json!(["v1-copied-to-v2", [{"headers": copied}], "v1", HOST]),
            json!(["v2", [{"headers": header("v2")}], "v2", HOST]),
            json!(["stable", null, "v1", HOST]),
        ]
    );
    let copies = &service["spec"]["http"][0]["mirrors"];
    assert_eq!(
        *copies,
        json!([{"destination": {"host": HOST, "subset": "v2"}}])
    );
    for route in service["spec"]["http"].as_array().unwrap() {
        assert_eq!(
            route["headers"]["request"]["remove"],
            json!(["x-divvy-route"])
        );
        assert_eq!(route["timeout"], "60s");
    }
    let rules = resources(&output, "DestinationRule");
    let subsets = json!([{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]);
    assert_eq!(rules[0]["spec"], json!({"host": HOST, "subsets": subsets}));
}

#[test]
fn rollouts_that_share_hosts_are_told_apart_by_their_match() {
    let cart = rollout(
        "cart",
        json!({"match": [{"path": {"prefix": "/cart"}, "methods": ["GET", "POST"]}]}),
    );
    let checkout = rollout(
        "checkout",
        json!({"match": [{"path": {"in": ["/a", "/b"]}}]}),
    );
    let own = rollout(
        "own_host",
        json!({"match": [{"hosts": ["Own.example.com."]}]}),
    );
    let output = render(
        &config(json!({"rollouts": [cart, checkout, own]})),
        &["render", "istio", "--gateway", "shop", "-n", "shop"],
    );
    let services = resources(&output, "VirtualService");
    assert_eq!(services.len(), 2, "{output}");
    let header = json!({"x-divvy-route": {"exact": "v2"}});
    let cart = routes(&services[0]);
    let names: Vec<_> = cart
        .iter()
        .map(|route| route[0].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "cart-v1",
            "cart-v2",
            "checkout-v1",
            "checkout-v2",
            "cart-stable",
            "checkout-stable",
            "stable"
        ]
    );
    let method = json!({"regex": "GET|POST"});
    assert_eq!(
        cart[1][1],
        json!([
            {"method": method, "uri": {"exact": "/cart"}, "headers": header},
            {"method": method, "uri": {"prefix": "/cart/"}, "headers": header},
        ])
    );
    assert_eq!(
        cart[5][1],
        json!([{"uri": {"exact": "/a"}}, {"uri": {"exact": "/b"}}])
    );
    assert_eq!(
        cart[6],
        json!(["stable", null, "v1", "cart.shop.svc.cluster.local"])
    );
    assert_eq!(services[1]["metadata"]["name"], "own-host");
    assert_eq!(services[1]["spec"]["hosts"], json!(["own.example.com"]));
    assert_eq!(resources(&output, "DestinationRule").len(), 3);
}

#[test]
fn rollouts_that_no_route_can_tell_apart_are_about_one_service() {
    let by_user = rollout("users", json!({}));
    let by_tenant = rollout(
        "tenants",
        json!({"versions": [{"name": "v1"}, {"name": "v3"}],
        "strategy": {"canary": {"version": "v3", "weight": 5}}}),
    );
    let configuration = config(json!({"rollouts": [by_user, by_tenant]}));
    let output = render(&configuration, &["render", "istio", "--gateway", "shop"]);
    let services = resources(&output, "VirtualService");
    assert_eq!(services.len(), 1, "{output}");
    let host = "users.default.svc.cluster.local";
    for route in routes(&services[0]) {
        assert_eq!(route[3], host);
    }
    let rules = resources(&output, "DestinationRule");
    assert_eq!(rules.len(), 1, "{output}");
    let subsets = rules[0]["spec"]["subsets"].as_array().unwrap().iter();
    let names: Vec<_> = subsets.map(|subset| subset["name"].clone()).collect();
    assert_eq!(names, ["v1", "v2", "v3"]);
}

#[test]
fn targets_may_be_subsets_services_or_clusters() {
    let versions = json!([{"name": "A", "target": "Blue_1"}, {"name": "B", "target": "outbound|8080|v2|b.shop.svc.cluster.local"}]);
    let mut odd = rollout(
        "checkout",
        json!({"versions": versions, "stable": "A", "strategy": {"blueGreen": {"active": "B"}}}),
    );
    odd.as_object_mut().unwrap().remove("target");
    let output = render(
        &config(json!({"rollouts": [odd]})),
        &["render", "istio", "--gateway", "shop", "-n", "shop"],
    );
    let service = &resources(&output, "VirtualService")[0];
    let to = |index: usize| service["spec"]["http"][index]["route"][0]["destination"].clone();
    assert_eq!(
        to(0),
        json!({"host": "b.shop.svc.cluster.local", "subset": "v2", "port": {"number": 8080}})
    );
    assert_eq!(to(1), json!({"host": HOST, "subset": "blue-1"}));
    let rules = resources(&output, "DestinationRule");
    assert_eq!(
        rules[0]["spec"]["subsets"],
        json!([{"name": "blue-1", "labels": {"version": "Blue_1"}}])
    );

    let output = render(
        &config(
            json!({"rollouts": [rollout("checkout", json!({"target": "checkout-{version}"}))]}),
        ),
        &[
            "render",
            "istio",
            "--gateway",
            "shop",
            "-n",
            "shop",
            "--version-services",
        ],
    );
    let service = &resources(&output, "VirtualService")[0];
    let host = &service["spec"]["http"][0]["route"][0]["destination"]["host"];
    assert_eq!(host, "checkout-v2.shop.svc.cluster.local");
    assert!(resources(&output, "DestinationRule").is_empty());
}

#[test]
fn the_place_decides_pods_direction_and_routes() {
    let configuration = config(json!({"rollouts": [rollout("payments", json!({}))]}));
    for (args, name, namespace, mode, context, routed) in [
        (
            &KINDS[2][1..],
            "divvy",
            "istio-system",
            "CLIENT",
            "GATEWAY",
            true,
        ),
        (
            &KINDS[3][1..],
            "divvy-outbound",
            "default",
            "CLIENT",
            "SIDECAR_OUTBOUND",
            true,
        ),
        (
            &KINDS[4][1..],
            "divvy-inbound",
            "default",
            "SERVER",
            "SIDECAR_INBOUND",
            false,
        ),
    ] {
        let output = render(&configuration, &[&["render"], args].concat());
        let plugin = &resources(&output, "WasmPlugin")[0];
        assert_eq!(
            plugin["metadata"],
            json!({"name": name, "namespace": namespace, "labels": {"divvy": "configuration"}})
        );
        assert_eq!(plugin["spec"]["match"], json!([{"mode": mode}]));
        let strip = &resources(&output, "EnvoyFilter")[0];
        assert_eq!(
            strip["spec"]["configPatches"][0]["match"]["context"],
            context
        );
        assert_eq!(
            strip["spec"]["workloadSelector"]["labels"],
            plugin["spec"]["selector"]["matchLabels"]
        );
        let services = resources(&output, "VirtualService");
        assert_eq!(!services.is_empty(), routed);
        if context == "SIDECAR_OUTBOUND" {
            assert_eq!(
                services[0]["spec"]["hosts"],
                json!(["payments.default.svc.cluster.local"])
            );
            assert_eq!(services[0]["spec"]["gateways"], json!(["mesh"]));
        }
        assert_eq!(resources(&output, "Telemetry").len(), 1);
    }
}

#[test]
fn envoy_sends_requests_without_a_decision_to_stable_of_their_rollout() {
    let scopes = json!([
        {"hosts": ["a.example.com", "*.b.example.com"], "methods": ["GET"], "path": {"prefix": "/a"}},
        {"path": {"prefix": "/b/"}}, {"path": {"in": ["/c", "/d"], "ignoreCase": true}}, {"path": {"suffix": ".x"}},
    ]);
    let versions =
        json!([{"name": "v1", "target": "cart-v1"}, {"name": "v2", "target": "cart-v2"}]);
    let cart = rollout("cart", json!({"match": scopes, "versions": versions}));
    let other = rollout("other", json!({}));
    let input = file(
        ".json",
        &config(json!({"rollouts": [cart, other]})).to_string(),
    );
    let output = rendered(KINDS[1], input.to_str().unwrap());
    let path = file(".yaml", output.split("\n---\n").next().unwrap());
    let set = read_all(&[path.to_path_buf()]).unwrap();
    let Content::Documents(documents) = set.files[0].content() else {
        panic!();
    };
    let mut found = Vec::new();
    documents[0].root.walk(&mut |node| {
        if let Some(routes) = node.get("routes") {
            found.push(serde_json::from_str::<Value>(&routes.to_json(YamlVersion::V12)).unwrap());
        }
    });
    let routes = found[0].as_array().unwrap();
    let matches: Vec<_> = routes[2..]
        .iter()
        .map(|route| (&route["match"], &route["route"]["cluster"]))
        .collect();
    let hosts = r"(?i)a\.example\.com(:\d+)?|(?i)[^:]+\.b\.example\.com(:\d+)?";
    let expected = [
        (
            json!({"path_separated_prefix": "/a", "headers": [
                {"name": ":authority", "string_match": {"safe_regex": {"regex": hosts}}},
                {"name": ":method", "string_match": {"safe_regex": {"regex": "GET"}}},
            ]}),
            "cart-v1",
        ),
        (json!({"prefix": "/b/"}), "cart-v1"),
        (json!({"path": "/c", "case_sensitive": false}), "cart-v1"),
        (json!({"path": "/d", "case_sensitive": false}), "cart-v1"),
        (json!({"safe_regex": {"regex": r".*\.x"}}), "cart-v1"),
        (json!({"prefix": "/"}), "cart-v1"),
    ];
    for ((found, cluster), (expected, name)) in matches.iter().zip(&expected) {
        assert_eq!(*found, expected);
        assert_eq!(*cluster, name);
    }
    assert_eq!(matches.len(), expected.len(), "{matches:?}");
}
