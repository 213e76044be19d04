//! `divvy render`: the shipped files, all configurations of the tables, and mistakes.

mod envoy_gateway;
mod files;
mod istio;
mod shipped;

use std::collections::BTreeSet;

use divvy_cli::source::LoadedConfig;
use serde_json::{Value, json};

use crate::common::{complaint, divvy, file, json_with, text};

/// A file of another machine: `check` does not look for it.
const WASM: &str = "/etc/none/divvy.wasm";
/// Arguments of each kind of output; the configuration follows.
const KINDS: [&[&str]; 6] = [
    &["render", "plugin", "--wasm", WASM],
    &["render", "envoy", "--wasm", WASM],
    &["render", "istio", "--gateway", "shop"],
    &[
        "render",
        "istio",
        "--at",
        "callers",
        "--selector",
        "app=checkout",
    ],
    &[
        "render",
        "istio",
        "--at",
        "service",
        "--selector",
        "app=checkout",
    ],
    &["render", "envoy-gateway", "--gateway", "shop"],
];

/// The output for a configuration in a file.
fn rendered(kind: &[&str], path: &str) -> String {
    text(&divvy(&[kind, &[path]].concat()))
}

/// A rollout with these fields added.
fn rollout(name: &str, fields: Value) -> Value {
    let mut rollout = json!({
        "name": name, "target": "{version}", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "strategy": {"canary": {"version": "v2", "weight": 5}},
    });
    for (key, value) in fields.as_object().unwrap() {
        rollout[key] = value.clone();
    }
    rollout
}

fn config(fields: Value) -> Value {
    let mut config = json!({"identity": [{"header": "x-user-id"}]});
    for (key, value) in fields.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// The headers that an output removes early.
fn removed(text: &str) -> BTreeSet<&str> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- remove: "));
    // Those of a ClientTrafficPolicy are a list.
    let list = text
        .split_once("      remove:\n")
        .map_or("", |(_, list)| list);
    let list = list
        .lines()
        .map_while(|line| line.strip_prefix("        - "));
    lines.chain(list).collect()
}

#[test]
fn every_example_passes_the_strict_check_with_what_is_rendered_around_it() {
    let folder = crate::common::root().join("envoy/examples");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let path = path.display().to_string();
        // Warnings about the configuration alone are not about what is around it.
        let alone = json_with("", &["check", "--strict", &path])["findings"].clone();
        for kind in KINDS {
            let output = rendered(kind, &path);
            let report = json_with(&output, &["check", "--strict", "-"]);
            let found = report["findings"].as_array().unwrap();
            let new = found.iter().filter(|finding| {
                let known = alone.as_array().unwrap().iter();
                !known
                    .clone()
                    .any(|known| known["message"] == finding["message"])
            });
            let new: Vec<_> = new.collect();
            assert!(new.is_empty(), "{path} {kind:?}: {new:#?}\n{output}");
            assert_eq!(report["configurations"], 1, "{path} {kind:?}");
        }
        examples += 1;
    }
    assert!(examples > 15, "{examples}");
}

#[test]
fn the_configuration_in_every_output_is_that_of_the_input() {
    let mut configurations: Vec<Value> = divvy_cases::groups()
        .into_iter()
        .map(|group| group.config)
        .collect();
    for name in ["rich.json", "valid.json"] {
        let path = crate::common::root().join("tests/cases").join(name);
        configurations.push(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap());
    }
    let mut compared = 0;
    for configuration in configurations {
        let input = file(".json", &configuration.to_string());
        for kind in [KINDS[0], KINDS[4], KINDS[5]] {
            let output = file(".yaml", &rendered(kind, input.to_str().unwrap()));
            let read = LoadedConfig::read(&output, None).unwrap();
            assert_eq!(read.raw, configuration, "{kind:?}");
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn comments_are_kept_where_kubernetes_reads_the_same_and_only_there() {
    for (yaml, is_kept) in [
        ("#mine\nidentity: [{header: x-user-id}]\n", true),
        ("identity:\n- header: x-user-id #mine\n", true),
        ("\u{feff}#mine\nidentity: [{header: x-user-id}]", true),
        ("#mine\r\nidentity: [{header: x-user-id}]\r\n", true),
        (
            "version: |\n  a\n\n  #mine\nidentity: [{header: x-user-id}]",
            true,
        ),
        // A flag to Kubernetes.
        ("#mine\nversion: on\n", false),
        (
            "#mine\nversion: 'it''s'\nignoreIdentities: [no, \"yes\"]\n",
            false,
        ),
        ("%YAML 1.2\n---\n#mine\nversion: a\n", false),
        ("--- #mine\nversion: a\n", false),
        ("#mine\n{version: a}\n", true),
        ("#mine\nidentity: &a [{header: x}]\nversion: '1'\n", true),
    ] {
        let input = file(".yaml", yaml);
        let output = rendered(KINDS[2], input.to_str().unwrap());
        let kept = output.contains("#mine");
        assert_eq!(kept, is_kept, "{yaml}: {output}");
        let read = LoadedConfig::read(&file(".yaml", &output), None).unwrap();
        let given = LoadedConfig::read(&input, None).unwrap();
        assert_eq!(read.raw, given.raw, "{yaml}");
    }
}

#[test]
fn exactly_the_headers_that_only_divvy_writes_are_removed_early() {
    let defaults = divvy::policy::DEFAULT_HEADERS.map(|(name, _)| name);
    let exposed = json!({"expose": {"group": "x-group", "id": "x-id", "response": true}});
    for (configuration, added, kept) in [
        (config(json!({})), &[][..], ""),
        (
            config(json!({"rollouts": [rollout("a", exposed)]})),
            &["x-group", "x-id"],
            "",
        ),
        (
            config(
                json!({"headers": {"route": "x-r", "assignment": "x-a", "identity": "x-gray-id"}}),
            ),
            &["x-r", "x-a", "x-gray-id"],
            "",
        ),
        // Clients may send it.
        (
            json!({"identity": [{"header": "x-gray-id"}],
                "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "identity": "x-gray-id"},
                "rollouts": [rollout("a", json!({"expose": {"label": {"header": "x-label", "key": "v"}}}))]}),
            &[],
            "",
        ),
        (
            config(json!({"trust": {"principals": ["spiffe://a/*"]}})),
            &[],
            "x-divvy-assignment",
        ),
        // Another header has the decisions of others.
        (
            config(
                json!({"trust": {"principals": ["spiffe://a/*"], "from": "baggage"},
                "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "baggage": "divvy"}}),
            ),
            &[],
            "",
        ),
    ] {
        let mut expected: BTreeSet<&str> = defaults.iter().chain(added).copied().collect();
        expected.remove(kept);
        let input = file(".json", &configuration.to_string());
        for kind in &KINDS[1..] {
            let output = rendered(kind, input.to_str().unwrap());
            assert_eq!(removed(&output), expected, "{kind:?} {configuration}");
        }
    }
}

#[test]
fn mistakes_have_messages() {
    let plain = config(json!({"rollouts": [rollout("checkout", json!({}))]}));
    let two = config(
        json!({"rollouts": [rollout("a", json!({"match": [{"hosts": ["a.b"]}]})), rollout("b", json!({"match": [{"hosts": ["a.b"]}]}))]}),
    );
    for (configuration, args, message) in [
        (&plain, &["render", "istio"][..], "--gateway is required"),
        (
            &plain,
            &["render", "istio", "--at", "callers"],
            "--selector is required",
        ),
        (
            &plain,
            &["render", "istio", "--gateway", "A"],
            "is not a name of Kubernetes",
        ),
        (
            &plain,
            &["render", "istio", "--gateway", "a", "--service", "shop=a"],
            "--service shop: is not a rollout with targets; there are checkout",
        ),
        (
            &plain,
            &["render", "istio", "--gateway", "a", "--selector", "app"],
            "is not KEY=VALUE",
        ),
        (
            &plain,
            &["render", "envoy", "--upstream", "v3=1"],
            "--upstream v3: is not a target of this configuration; it has v1, v2",
        ),
        (
            &plain,
            &["render", "envoy", "--upstream", "v1"],
            "is not TARGET=ADDRESS",
        ),
        (
            &plain,
            &["render", "envoy", "--listen", "localhost"],
            "is not an address",
        ),
        (
            &plain,
            &["render", "envoy", "--listen", "[::1:80"],
            "is not an address",
        ),
        (
            &plain,
            &["render", "envoy", "--listen", "a b:80"],
            "is not an address",
        ),
        (
            &plain,
            &["render", "envoy", "--listen", "127.0.0.1:0"],
            "is not an address",
        ),
        (
            &plain,
            &["render", "envoy", "--bootstrap", "../a"],
            "is not the name of a file beside plugin.yaml",
        ),
        (&plain, &["render", "envoy-gateway"], "--gateway <NAME>"),
        (
            &plain,
            &[
                "render",
                "envoy-gateway",
                "--gateway",
                "a",
                "--backend",
                "v3=a",
            ],
            "--backend v3: is not a target of this configuration; it has v1, v2",
        ),
        (
            &plain,
            &[
                "render",
                "envoy-gateway",
                "--gateway",
                "a",
                "--backend",
                "v2=a:0",
            ],
            "is not TARGET=NAME:PORT",
        ),
        (
            &plain,
            &[
                "render",
                "envoy-gateway",
                "--gateway",
                "a",
                "--wasm-url",
                "divvy.wasm",
            ],
            "is not an address with http:// or https://",
        ),
        (
            &plain,
            &[
                "render",
                "envoy-gateway",
                "--gateway",
                "a",
                "--wasm-url",
                "http://a",
                "--wasm-sha256",
                "0",
            ],
            "is not a SHA-256 checksum of 64 hexadecimal digits",
        ),
        (
            &config(
                json!({"rollouts": [rollout("a", json!({"versions": [{"name": "v1", "target": "***"}, {"name": "v2"}]}))]}),
            ),
            &["render", "envoy-gateway", "--gateway", "a"],
            "the target \"***\" is not the name of a Service: name it with --backend '***=NAME'",
        ),
        (
            &plain,
            &["render", "plugin", "--name", ""],
            "is not a name without white space",
        ),
        (
            &plain,
            &["render", "plugin", "--into", "/dev/null"],
            "is not a regular file",
        ),
        (
            &plain,
            &["render", "plugin", "--output", "json"],
            "--output json has no effect here",
        ),
        (
            &two,
            &[
                "render",
                "istio",
                "--gateway",
                "a",
                "--service",
                "b=other.shop",
            ],
            "b and a have the target \"v1\" for different services",
        ),
        (
            &json!({"rollouts": 1}),
            &["render", "plugin"],
            "see divvy check",
        ),
    ] {
        let input = file(".json", &configuration.to_string());
        let output = divvy(&[args, &[input.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let found = complaint(&output);
        assert!(found.contains(message), "{args:?}: {found}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn hostile_names_change_nothing_but_their_value() {
    // Targets and versions are the only free texts of a configuration that routes contain.
    let target = "a\": [c], - # d";
    let versions = json!([{"name": "v1", "target": target}, {"name": "v2", "target": "true"}]);
    let mut hostile = rollout("a", json!({"versions": versions}));
    hostile.as_object_mut().unwrap().remove("target");
    let configuration =
        config(json!({"version": "}}{% raw %}\n---\nkind: Secret\n", "rollouts": [hostile]}));
    let input = file(".json", &configuration.to_string());
    for kind in KINDS {
        let args: &[&str] = &["--name", "divvy"];
        let output = text(&divvy(&[kind, args, &[input.to_str().unwrap()]].concat()));
        let read = LoadedConfig::read(&file(".yaml", &output), None).unwrap();
        assert_eq!(read.raw, configuration, "{kind:?}");
        assert!(!output.contains("\nkind: Secret"), "{output}");
    }
}
