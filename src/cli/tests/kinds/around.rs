//! Examples of warnings about a configuration and the files around it.

use super::Example;
use super::build::*;
use crate::warnings::envoy;
use divvy_cli::warnings::Kind;
use serde_json::{Value, json};

pub fn examples() -> Vec<Example> {
    let plain = config(&json!({}));
    let routed = config(&json!({"target": "{version}"}));
    let edge = envoy(&json!({"use_remote_address": true}), &plain);
    let manager =
        |path: &str, value: Value| changed(edge.clone(), &format!("{MANAGER}{path}"), value);
    let to = |subset: &str| json!({"destination": {"host": "a", "subset": subset}});
    let reads = |test: Value, subset: &str| json!({"match": [{"headers": {"x-divvy-route": test}}], "route": [to(subset)]});
    let open = json!({"route": [to("v1")]});
    let discovery =
        json!({"config_source": {"path_config_source": {"path": "/etc/envoy/given-1.json"}}});
    let discovered = manager(
        "/http_filters/0",
        json!({"name": "divvy", "config_discovery": discovery}),
    );
    let extension = |name: &str| {
        let mut plugin = edge
            .pointer(&format!("{MANAGER}/http_filters/0"))
            .unwrap()
            .clone();
        plugin["name"] = json!(name);
        json!({"resources": [plugin]})
    };
    let wasm = |name: &str| {
        let code = json!({"code": {"local": {"filename": name}}});
        manager("/http_filters/0/typed_config/config/vm_config", code)
    };
    let exposed = config(&json!({"expose": {"group": "x-group"}}));
    let stripped = [
        "x-divvy-route",
        "x-divvy-assignment",
        "x-divvy-mirror",
        "x-divvy-unit",
        "x-group",
    ];
    let with = |name: &'static str| [&stripped[..], &[name]].concat();
    let labelled = config(&json!({"expose": {"label": {"header": "X-Label", "key": "v"}}}));
    let one_header = identity_header();
    let mut carried = config(&json!({}));
    carried["headers"] = json!({"baggage": "divvy"});
    carried["trust"] = json!({"principals": ["spiffe://td/ns/a/sa/b"], "from": "baggage"});
    let web = json!({"name": "envoy.filters.http.grpc_web"});
    let order = |first: &Value, second: &Value| {
        manager(
            "/http_filters",
            json!([first, second, {"name": "envoy.filters.http.router"}]),
        )
    };
    let filter = edge
        .pointer(&format!("{MANAGER}/http_filters/0"))
        .unwrap()
        .clone();
    // A second filter, whose rollout has this name.
    let named = |name: &str| {
        let mut config = config(&json!({"name": name}));
        config["rollouts"][0]["salt"] = json!("other");
        let mut second = filter.clone();
        second["typed_config"]["config"]["name"] = json!("divvy-2");
        second["typed_config"]["config"]["configuration"]["value"] = json!(config.to_string());
        second
    };
    let both = |name: &str, mode: &str| {
        let matching = |mode: &str| match mode {
            "" => json!({}),
            mode => json!({"match": [{"mode": mode}]}),
        };
        let mut second = plugin(&config(&json!({"name": name})), &matching(mode));
        second["metadata"]["name"] = json!("divvy-2");
        let first = plugin(&plain, &matching("CLIENT"));
        json!({"apiVersion": "v1", "kind": "List", "items": [first, second]})
    };
    let trusting = json!({"trust": {"workload": true}, "rollouts": []});
    vec![
        (
            Kind::EmptyConfiguration,
            vec![manager(
                "/http_filters/0/typed_config/config/configuration/value",
                json!(""),
            )],
            vec![edge.clone()],
        ),
        (
            Kind::ConfigurationElsewhere,
            vec![discovered.clone()],
            vec![discovered.clone(), extension("divvy")],
        ),
        (
            Kind::NoCluster,
            vec![envoy(&json!({"use_remote_address": true}), &routed)],
            vec![envoy(
                &json!({"use_remote_address": true}),
                &config(&json!({"target": "v1"})),
            )],
        ),
        (
            Kind::NoRoute,
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"exact": "v3"}), "v3"), open])),
            ],
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"exact": "v2"}), "v2"), open])),
            ],
        ),
        (
            Kind::NoRoute,
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"regex": "v[34]"}), "v3"), open])),
            ],
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"regex": "v[0-9]"}), "v2"), open])),
            ],
        ),
        (
            Kind::NoRoute,
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"exact": "v2"}), "v2")])),
            ],
            vec![
                plugin(&routed, &json!({})),
                service(json!([reads(json!({"prefix": "v"}), "v2")])),
            ],
        ),
        (
            Kind::RouteNotRead,
            vec![plugin(&routed, &json!({})), service(json!([open]))],
            vec![
                plugin(&routed, &json!({})),
                service(
                    json!([{"match": [{"headers": {"x-divvy-route": {}}}], "delegate": {"name": "d"}}, open]),
                ),
            ],
        ),
        (
            Kind::NoDefaultRoute,
            vec![manager(
                "/route_config/virtual_hosts/0/routes/1",
                Value::Null,
            )],
            vec![edge.clone()],
        ),
        (
            Kind::NoDefaultRoute,
            vec![manager(
                "/route_config/virtual_hosts/0/routes/0/match",
                json!({"prefix": "/"}),
            )],
            vec![edge.clone()],
        ),
        (
            Kind::NotStripped,
            vec![manager("/early_header_mutation_extensions", Value::Null)],
            vec![edge.clone()],
        ),
        (
            Kind::NotStripped,
            vec![envoy(&json!({"use_remote_address": true}), &exposed)],
            vec![edge.clone()],
        ),
        (
            Kind::NotStripped,
            vec![plugin(&exposed, &json!({})), strip(&stripped[..3])],
            vec![plugin(&exposed, &json!({})), strip(&stripped)],
        ),
        (
            Kind::InputRemoved,
            vec![plugin(&labelled, &json!({})), strip(&with("x-label"))],
            vec![plugin(&labelled, &json!({})), strip(&stripped)],
        ),
        (
            Kind::InputRemoved,
            vec![plugin(&one_header, &json!({})), strip(&with("x-user-id"))],
            vec![plugin(&one_header, &json!({})), strip(&stripped)],
        ),
        (
            Kind::InputRemoved,
            vec![plugin(&carried, &json!({})), strip(&with("baggage"))],
            vec![plugin(&carried, &json!({})), strip(&stripped)],
        ),
        (
            Kind::ClientAddress,
            vec![envoy(
                &json!({}),
                &json!({"identity": [{"sourceIp": true}], "rollouts": []}),
            )],
            vec![envoy(
                &json!({"use_remote_address": true}),
                &json!({"identity": [{"sourceIp": true}], "rollouts": []}),
            )],
        ),
        (
            Kind::NoStatsTags,
            vec![changed(
                edge.clone(),
                "/stats_config/stats_tags/2",
                Value::Null,
            )],
            vec![edge.clone()],
        ),
        (
            Kind::NoNode,
            vec![
                changed(discovered.clone(), "/node/id", Value::Null),
                extension("divvy"),
            ],
            vec![discovered.clone(), extension("divvy")],
        ),
        (
            Kind::NoWasmFile,
            vec![wasm("src/cli/divvy.wasm")],
            vec![wasm("/etc/envoy/on/another/machine/divvy.wasm")],
        ),
        (
            Kind::OtherExtension,
            vec![discovered.clone(), extension("canary-divvy")],
            vec![discovered.clone(), extension("divvy")],
        ),
        (
            Kind::HiddenTrailers,
            vec![order(&filter, &web)],
            vec![order(&web, &filter)],
        ),
        (
            Kind::WorkloadTrust,
            vec![plugin(
                &trusting,
                &json!({"selector": {"matchLabels": {"istio": "ingressgateway"}}, "match": [{"mode": "CLIENT"}]}),
            )],
            vec![plugin(
                &trusting,
                &json!({"selector": {"matchLabels": {"app": "api-gateway"}}, "match": [{"mode": "CLIENT"}]}),
            )],
        ),
        (
            Kind::WorkloadTrust,
            vec![plugin(
                &trusting,
                &json!({"targetRefs": [{"kind": "Gateway", "name": "shop"}]}),
            )],
            vec![plugin(&trusting, &json!({"match": [{"mode": "CLIENT"}]}))],
        ),
        (
            Kind::SeveralFilters,
            vec![order(
                &filter,
                &changed(named("b"), "/typed_config/config/name", json!("divvy")),
            )],
            vec![order(&filter, &named("b"))],
        ),
        (
            Kind::SeveralFilters,
            vec![order(&filter, &named("a"))],
            vec![order(&filter, &named("b"))],
        ),
        (
            Kind::SeveralFilters,
            vec![both("a", "CLIENT")],
            vec![both("b", "CLIENT")],
        ),
        (
            Kind::SeveralFilters,
            vec![both("a", "")],
            vec![both("a", "SERVER")],
        ),
    ]
}
