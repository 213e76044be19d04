//! One example of each warning: what causes it, and the smallest change after which it is gone.

use std::collections::BTreeSet;
use std::fs;

use crate::common::{divvy, json, root, text};
use crate::warnings::envoy;
use divvy_cli::warnings::Kind;
use serde_json::{Value, json};

fn rollout(more: &Value) -> Value {
    let mut rollout = json!({
        "name": "a", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "strategy": {"canary": {"version": "v2", "weight": 5}},
    });
    rollout
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rollout
}

fn config(more: &Value) -> Value {
    json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout(more)]})
}

/// A configuration with these rules and nothing else.
fn ruled(rules: &[Value]) -> Value {
    let rules = rules.iter().enumerate().map(|(nth, rule)| {
        let mut rule = rule.clone();
        rule["name"] = json!(format!("r{nth}"));
        rule["use"] = json!("v2");
        rule
    });
    config(&json!({"rules": rules.collect::<Vec<_>>()}))
}

fn when(condition: Value) -> Value {
    json!({"when": condition})
}

fn plugin(config: &Value, more: &Value) -> Value {
    let mut plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "divvy", "namespace": "shop"},
        "spec": {"url": "u", "pluginConfig": config},
    });
    plugin["spec"]
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    plugin
}

fn service(http: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"}, "spec": {"hosts": ["a"], "http": http}})
}

/// An EnvoyFilter that removes these headers early.
fn strip(names: &[&str]) -> Value {
    let removes: Vec<_> = names.iter().map(|name| json!({"remove": name})).collect();
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "s", "namespace": "shop"},
        "spec": {"configPatches": [{"patch": {"value": {"typed_config": {
            "common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"},
            "early_header_mutation_extensions": [{"typed_config": {"mutations": removes}}]}}}}]}})
}

/// A bootstrap in which a value was replaced, or removed with null.
fn changed(mut bootstrap: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = bootstrap.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) if value.is_null() => {
            list.remove(field.parse().unwrap());
        }
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        parent if value.is_null() => {
            parent.as_object_mut().unwrap().remove(field);
        }
        parent => parent[field] = value,
    }
    bootstrap
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The kind, the files that cause it, and those that do not.
fn examples() -> Vec<(Kind, Vec<Value>, Vec<Value>)> {
    let plain = config(&json!({}));
    let routed = config(&json!({"target": "{version}"}));
    let edge = envoy(&json!({"use_remote_address": true}), &plain);
    let manager =
        |path: &str, value: Value| changed(edge.clone(), &format!("{MANAGER}{path}"), value);
    let path = |value: &str| ruled(&[when(json!({"path": true, "prefix": value}))]);
    let scope = |value: Value| config(&json!({"match": [value]}));
    let guarded = |more: Value| {
        let mut fields = json!({"guardrail": {"errors": {"max": 1}}});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config(&fields)
    };
    let zero = json!({"canary": {"version": "v2", "weight": 0}});
    let rule = |percent: Option<u32>| {
        let mut rule = json!({"name": "r", "use": "v2", "when": {"header": "x", "present": true}});
        if let Some(percent) = percent {
            rule["percent"] = json!(percent);
        }
        json!([rule])
    };
    let owners = |scope: Value| {
        let mut first = rollout(&json!({"target": "{version}"}));
        if !scope.is_null() {
            first["match"] = json!([scope]);
        }
        let mut second = rollout(
            &json!({"target": "x", "match": [{"path": {"prefix": "/reviews"}, "hosts": ["b.example"]}]}),
        );
        second["name"] = json!("b");
        json!({"identity": [{"header": "x-user-id"}], "rollouts": [first, second]})
    };
    let many = |number: usize, scoped: bool| {
        let rollouts = (0..number).map(|nth| {
            let mut one = rollout(&json!({}));
            one["name"] = json!(format!("a-rollout-with-a-long-name-{nth}"));
            if scoped {
                one["match"] = json!([{"hosts": [format!("h{nth}.example")]}]);
            }
            one
        });
        json!({"identity": [{"header": "x-user-id"}], "rollouts": rollouts.collect::<Vec<_>>()})
    };
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
        "x-group",
    ];
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
    let cookie = |operator: &str, value: &str| when(json!({"cookie": "s", operator: value}));
    vec![
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[cookie("prefix", "a"), cookie("exact", "ab")])],
            vec![ruled(&[cookie("exact", "ab"), cookie("prefix", "a")])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[cookie("regex", "a.*"), cookie("exact", "ab")])],
            vec![ruled(&[cookie("regex", "a.?"), cookie("exact", "abc")])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[
                when(json!({"path": true, "prefix": "/"})),
                cookie("exact", "x"),
            ])],
            vec![ruled(&[
                when(json!({"path": true, "prefix": "/a"})),
                cookie("exact", "x"),
            ])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[when(
                json!({"identity": true, "in": ["Anonymous", "null"]}),
            )])],
            vec![ruled(&[when(
                json!({"identity": true, "in": ["anonymous", "alice"]}),
            )])],
        ),
        (
            Kind::NeverMatches,
            vec![path("/checkout/*")],
            vec![path("/checkout")],
        ),
        (
            Kind::NeverMatches,
            vec![path("/a/../b")],
            vec![path("/a/..b")],
        ),
        (
            Kind::NeverMatches,
            vec![path("/café")],
            vec![path("/caf%C3%A9")],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"path": {"exact": "/a b"}}))],
            vec![scope(json!({"path": {"exact": "/a%20b"}}))],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"methods": ["*"]}))],
            vec![scope(json!({"methods": ["GET"]}))],
        ),
        (
            Kind::NeverMatches,
            vec![ruled(&[when(json!({"host": true, "exact": "*.example"}))])],
            vec![ruled(&[when(json!({"host": true, "suffix": ".example"}))])],
        ),
        (
            Kind::NeverMatches,
            vec![
                ruled(&[when(json!({"header": "user_id", "present": true}))]),
                strip(&stripped),
            ],
            vec![ruled(&[when(
                json!({"header": "user_id", "present": true}),
            )])],
        ),
        (
            Kind::DottedHeader,
            vec![ruled(&[when(json!({"header": "x.user", "present": true}))])],
            vec![ruled(&[when(json!({"header": "x-user", "present": true}))])],
        ),
        (
            Kind::SharedSalt,
            vec![{
                let mut all = many(2, false);
                all["rollouts"][0]["salt"] = json!("s");
                all["rollouts"][1]["salt"] = json!("s");
                all
            }],
            vec![many(2, false)],
        ),
        (
            Kind::TooFewRequests,
            vec![guarded(
                json!({"guardrail": {"minRequests": 100_000, "errors": {"max": 1}}}),
            )],
            vec![guarded(json!({}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(json!({"strategy": zero, "rules": rule(None)}))],
            vec![guarded(json!({"strategy": zero, "rules": rule(Some(100))}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(
                json!({"strategy": {"blueGreen": {"active": "v1"}}}),
            )],
            vec![guarded(
                json!({"strategy": {"blueGreen": {"active": "v2"}}}),
            )],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(json!({"strategy": zero}))],
            vec![guarded(json!({"enabled": false, "strategy": zero}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 0}]}}}),
            )],
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 0, "hold": "1h"}, {"weight": 9}]}}}),
            )],
        ),
        (
            Kind::RouteNeverOwned,
            vec![owners(Value::Null)],
            vec![owners(json!({"path": {"prefix": "/shop"}}))],
        ),
        (
            Kind::RouteNeverOwned,
            vec![owners(
                json!({"hosts": ["*.example"], "path": {"prefix": "/"}}),
            )],
            vec![owners(json!({"hosts": ["c.example"]}))],
        ),
        (
            Kind::LongAssignment,
            vec![many(200, false)],
            vec![many(200, true)],
        ),
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

/// The names of the warnings about these files.
fn warned(files: &[Value]) -> (Vec<String>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let paths = files.iter().enumerate().map(|(nth, file)| {
        let path = folder.path().join(format!("given-{nth}.json"));
        fs::write(&path, file.to_string()).unwrap();
        path.display().to_string()
    });
    let paths: Vec<_> = paths.collect();
    let mut args = vec!["check", "--rps", "20"];
    args.extend(paths.iter().map(String::as_str));
    let report = json(&args);
    assert_eq!(report["errors"], 0, "{report:#}");
    let findings = report["findings"].as_array().unwrap().iter();
    let names = findings.map(|one| one["warning"].as_str().unwrap().to_owned());
    (names.collect(), report)
}

#[test]
fn every_warning_has_an_example_and_is_gone_after_its_remedy() {
    for (nth, (kind, wrong, right)) in examples().into_iter().enumerate() {
        let (names, report) = warned(&wrong);
        assert_eq!(names, [kind.name()], "example {nth}: {report:#}");
        let (names, report) = warned(&right);
        assert_eq!(
            names,
            [""; 0],
            "example {nth} of {}: {report:#}",
            kind.name()
        );
    }
}

#[test]
fn the_page_lists_every_warning_and_every_warning_has_an_example() {
    let page = fs::read_to_string(root().join("envoy/docs/CLI.md")).unwrap();
    let section = page.split("### Warnings").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: Vec<_> = rows.map(str::to_owned).collect();
    let all: Vec<_> = Kind::ALL.into_iter().map(Kind::name).collect();
    assert_eq!(listed, all);
    let shown: BTreeSet<_> = examples()
        .into_iter()
        .map(|(kind, ..)| kind.name())
        .collect();
    let missing: Vec<_> = all.iter().filter(|name| !shown.contains(*name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_warning_ends_with_its_name() {
    let output = divvy(&["check", "envoy/edge.yaml"]);
    let shown = text(&output);
    let line = "check both together, as in divvy check envoy/edge.yaml envoy/plugin.yaml [configuration-elsewhere]\n";
    assert!(shown.contains(line), "{shown}");
    assert_eq!(output.status.code(), Some(0));
}
