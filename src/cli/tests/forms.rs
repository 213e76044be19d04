//! The forms of files in which `divvy check` finds configurations, and how their YAML is read.

use crate::common::{file, json_with};
use crate::inputs::{VALID, messages};
use divvy_cli::source::tree::YamlVersion;
use divvy_cli::source::{Content, read_all};
use serde_json::{Value, json};

#[test]
fn yaml_is_read_as_its_reader_reads_it() {
    let weight = |text: &str| {
        let plugin = format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: divvy}}\nspec:\n  url: u\n  \
             pluginConfig:\n    identity: [{{random: true}}]\n    rollouts:\n      - name: a\n        versions: [{{name: v1}}, {{name: v2}}]\n        \
             stable: v1\n        strategy:\n          canary:\n            version: v2\n            {text}\n"
        );
        messages(&json_with(&plugin, &["check", "-"]))
    };
    for (text, error) in [
        ("weight: 010", ""), // 8
        ("weight: 0b11", ""),
        ("weight: 1_0", ""),
        ("weight: 0777", "511 is not a percentage"),
        ("weight: !!str 5", "is a string"),
        ("weight: !!float 5", ""),
        ("weight: !!int \"5\"", ""),
        ("weight: \"5\"", "is a string"),
        ("weight: !custom 5", "is a string"),
        ("weight: !!binary NQ==", "is a string"),
        ("weight: on", "is true or false"),
        ("<<: {weight: 5}", ""),
        ("<<: [{weight: 5}, {weight: 500}]", ""),
        ("<<: {weight: 500}", "500 is not a percentage"),
        ("<<: {weight: 500}\n            weight: 5", ""),
        // Here Kubernetes differs from the specification.
        (
            "weight: 5\n            <<: {weight: 500}",
            "500 is not a percentage",
        ),
        ("\"<<\": {weight: 5}", "unknown field `<<`"),
        ("weight: &w 5\n            # *w", ""),
    ] {
        let found = weight(text);
        match error {
            "" => assert_eq!(found, [""; 0], "{text}"),
            error => assert!(
                found.iter().any(|one| one.contains(error)),
                "{text}: {found:?}"
            ),
        }
    }
    let anchors = "\
x: &versions [{name: v1}, {name: v2}]
---
base: 1
";
    assert!(!messages(&json_with(anchors, &["check", "-"])).is_empty());
    let merged = format!(
        "{VALID}---\nrollouts:\n  - &a\n    name: a\n    versions: &v [{{name: x}}]\n    stable: x\n    strategy: {{blueGreen: {{active: x}}}}\n  - <<: *a\n    name: b\n"
    );
    let report = json_with(&merged, &["check", "-"]);
    assert_eq!(
        (messages(&report), &report["configurations"]),
        (Vec::new(), &json!(2))
    );
}

#[test]
fn configurations_are_found_wherever_envoy_and_kubernetes_have_them() {
    let broken = VALID.replace("weight: 5", "weight: 500");
    let indented = |text: &str, by: usize| {
        let gap = " ".repeat(by);
        text.lines()
            .map(|line| format!("{gap}{line}\n"))
            .collect::<String>()
    };
    let json = r#"{"rollouts": [{"name": "a", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v3", "strategy": {"canary": {"version": "v2", "weight": 500}}}]}"#;
    let base64 = "eyJyb2xsb3V0cyI6IFt7Im5hbWUiOiAiYSIsICJ2ZXJzaW9ucyI6IFt7Im5hbWUiOiAidjEifSwgeyJuYW1lIjogInYyIn1dLCAic3RhYmxlIjogInYzIiwgInN0cmF0ZWd5IjogeyJjYW5hcnkiOiB7InZlcnNpb24iOiAidjIiLCAid2VpZ2h0IjogNTAwfX19XX0=";
    let resource = |kind: &str, rest: &str| {
        format!("apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: divvy}}\n{rest}")
    };
    let envoy = |kind: &str, value: &str| {
        format!(
            "resources:\n- name: divvy\n  typed_config:\n    config:\n      vm_config: {{}}\n      configuration:\n        \"@type\": type.googleapis.com/google.protobuf.{kind}\n        value: {value}\n"
        )
    };
    for (what, text, places) in [
        (
            "a ConfigMap",
            resource(
                "ConfigMap",
                &format!(
                    "data:\n  other: x\n  divvy.yaml: |\n{}",
                    indented(&broken, 4)
                ),
            ),
            vec!["12:"],
        ),
        (
            "its JSON",
            resource(
                "ConfigMap",
                &format!("data:\n  divvy.json: |\n    {json}\n"),
            ),
            vec!["6:", "6:"],
        ),
        (
            "two keys",
            resource(
                "ConfigMap",
                &format!(
                    "data:\n  a.yaml: |\n{0}  b.yaml: |\n{0}",
                    indented(&broken, 4)
                ),
            ),
            vec!["11:", "18:"],
        ),
        (
            "an extension in a ConfigMap",
            resource(
                "ConfigMap",
                &format!(
                    "data:\n  plugin.yaml: |\n{}",
                    indented(&envoy("StringValue", &format!("'{json}'")), 4)
                ),
            ),
            vec!["13:", "13:"],
        ),
        (
            "a Secret",
            resource("Secret", &format!("data:\n  x.json: {base64}\n")),
            vec!["5:", "5:"],
        ),
        (
            "a list",
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  data:\n    x.yaml: |\n{}",
                indented(&broken, 6)
            ),
            vec!["13:"],
        ),
        (
            "EnvoyExtensionPolicy",
            resource(
                "EnvoyExtensionPolicy",
                &format!(
                    "spec:\n  wasm:\n  - name: divvy\n    code: {{}}\n    config:\n{}",
                    indented(&broken, 6)
                ),
            ),
            vec!["14:"],
        ),
        (
            "TrafficExtension",
            resource(
                "TrafficExtension",
                &format!(
                    "spec:\n  wasm:\n    url: u\n    pluginConfig:\n{}",
                    indented(&broken, 6)
                ),
            ),
            vec!["13:"],
        ),
        ("BytesValue", envoy("BytesValue", base64), vec!["8:", "8:"]),
        (
            "BytesValue without padding",
            envoy("BytesValue", base64.trim_end_matches('=')),
            vec!["8:", "8:"],
        ),
        (
            "no base64",
            envoy("BytesValue", "'{\"rollouts\": []}'"),
            vec!["8:"],
        ),
        ("Struct", envoy("Struct", "{rollouts: []}"), vec!["7:"]),
        (
            "EnvoyFilter with Struct",
            resource(
                "EnvoyFilter",
                "spec:\n  configPatches:\n  - patch:\n      value:\n        typed_config:\n          config:\n            vm_config: {}\n            name: divvy\n            configuration:\n              \"@type\": type.googleapis.com/google.protobuf.Struct\n              value: {rollouts: []}\n",
            ),
            vec!["13:"],
        ),
    ] {
        let report = json_with(&text, &["check", "-"]);
        let found = messages(&report);
        assert_eq!(found.len(), places.len(), "{what}: {report:#}");
        for (found, place) in found.iter().zip(places) {
            assert!(
                found.starts_with(place),
                "{what}: {found}, expected {place}"
            );
        }
    }
}

/// Values of YAML with the JSON that `YAMLToJSON` of sigs.k8s.io/yaml 1.6.0 makes of `a: VALUE`; `ERR` if it refuses it.
const KUBERNETES: &str = include_str!("kubernetes.tsv");

#[test]
fn values_in_a_resource_are_those_of_kubernetes() {
    let mut wrong = Vec::new();
    for row in KUBERNETES.lines() {
        let (value, expected) = row.split_once('\t').unwrap();
        // A plugin has the value in a place that the filter does not read.
        let text = format!("apiVersion: v1\nkind: X\nspec:\n  a: {value}\n");
        let file = file(".yaml", &text);
        let set = read_all(&[file.to_path_buf()]).unwrap();
        let found = match set.files[0].content() {
            Content::Documents(documents) => {
                let spec = documents[0]
                    .root
                    .get("spec")
                    .unwrap()
                    .to_json(YamlVersion::V11);
                serde_json::from_str::<Value>(&spec)
                    .map_or("ERR".to_owned(), |json| json.to_string())
            }
            _ => "ERR".to_owned(),
        };
        let same = match expected {
            "ERR" => true,
            json => {
                let number = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
                let [one, other] = [&*found, json].map(number);
                let floats = [&one, &other].map(|value| value["a"].as_f64());
                one == other || (floats[0].is_some() && floats[0] == floats[1])
            }
        };
        if !same {
            wrong.push(format!("{value:?}: {found}, not {expected}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}
