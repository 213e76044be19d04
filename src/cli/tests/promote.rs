//! `divvy promote`: the gate is added, and nothing else changes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use divvy_cli::source::LoadedConfig;
use serde_json::{Value, json};

use crate::common::{complaint, divvy, file, json as report, text};

const AT: &str = "2026-12-01T12:00:00Z";

/// A configuration around the fields of its only canary, as YAML with this indentation.
fn yaml(indent: usize, canary: &str) -> String {
    let around = format!(
        "# mine\nidentity: [{{random: true}}]\nrollouts:\n  - name: checkout # a\n    versions: [{{name: v1}}, {{name: v2}}]\n    stable: v1\n    strategy:\n      canary:{canary}\n# end\n"
    );
    let lines = around.split_inclusive('\n');
    let lines = lines.map(|line| match line.trim().is_empty() {
        true => line.to_owned(),
        false => " ".repeat(indent) + line,
    });
    lines.collect()
}

/// Steps with the gates qa and ops, in blocks.
const BLOCK: &str = "
        version: v2
        start: \"2026-12-01T09:00:00Z\"
        # the steps
        steps: # these
          - {weight: 1, hold: 10m}
          - {weight: 5, gate: qa} # asks QA
          - weight: 50
            gate: ops # asks ops
          # below
          - weight: 100   # all
        # behind
        pauses: [{days: [Sat]}]";
const FLOW: &str = r#" {version: v2, start: "2026-12-01T09:00:00Z", steps: [{weight: 5, gate: qa}, {weight: 50, gate: ops}, {weight: 100}]} # c"#;

/// Promotes and returns the text of the file.
fn promoted(ending: &str, text: &str, args: &[&str]) -> String {
    let path = file(ending, text);
    let output = divvy(&[&["promote", path.to_str().unwrap(), "--at", AT], args].concat());
    assert!(output.status.success(), "{}\n{text}", complaint(&output));
    fs::read_to_string(&path).unwrap()
}

/// A change of a text.
type Change = Box<dyn Fn(&str) -> String>;

/// Adds a text behind the only place of another one.
fn behind(from: &str, added: &str) -> Change {
    let (from, added) = (from.to_owned(), added.to_owned());
    Box::new(move |text| {
        assert_eq!(text.matches(&from).count(), 1, "{text}");
        text.replace(&from, &format!("{from}{added}"))
    })
}

#[test]
fn the_gate_is_added_in_the_style_of_the_file() {
    let flow = move |text: &str| format!("passed: [{{gate: {text}, at: \"{AT}\"}}]");
    let with_passed = |list: &str| {
        BLOCK.replace(
            "        # behind",
            &format!("        passed:{list}\n        # behind"),
        )
    };
    let json = |canary: &str| {
        format!(
            r#"{{"identity": [{{"random": true}}], "rollouts": [{{"name": "checkout", "versions": [{{"name": "v1"}}, {{"name": "v2"}}], "stable": "v1",
  "strategy": {{"canary": {canary}}}}}]}}"#
        )
    };
    let short = r#"{"version": "v2", "start": "2026-12-01T09:00:00Z", "steps": [{"weight": 5, "gate": "qa"}, {"weight": 100}]}"#;
    let long = "{\n      \"version\": \"v2\",\n      \"start\": \"2026-12-01T09:00:00Z\",\n      \"steps\": [{\"weight\": 5, \"gate\": \"qa\"}, {\"weight\": 100}]\n    }";
    let plugin = |config: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: divvy}}\nspec:\n  pluginConfig:\n{config}  url: oci://a/divvy\n"
        )
    };
    let map = |config: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  other: b\n  divvy.yaml: |\n{config}  last: c\n"
        )
    };
    let envoy = |config: &str| {
        format!(
            "resources:\n  - name: divvy\n    typed_config:\n      config:\n        configuration:\n          \"@type\": type.googleapis.com/google.protobuf.StringValue\n          value: |\n            {}\n        name: divvy\n        vm_config: {{}}\n",
            config.replace('\n', "\n            ")
        )
    };
    let line = "          - weight: 100   # all\n";
    let rows: Vec<(&str, String, Change)> = vec![
        (
            ".yaml",
            yaml(0, BLOCK),
            (behind(line, &format!("        {}\n", flow("qa")))),
        ),
        (
            ".yaml",
            yaml(0, FLOW),
            (behind("{weight: 100}]", &format!(", {}", flow("qa")))),
        ),
        (
            ".yaml",
            yaml(
                0,
                &with_passed("\n          - {gate: qa, at: \"2026-12-01T10:00:00Z\"} # ok"),
            ),
            (behind(
                "10:00:00Z\"} # ok\n",
                &format!("          - {{gate: ops, at: \"{AT}\"}}\n"),
            )),
        ),
        (
            ".yaml",
            yaml(
                0,
                &with_passed("\n        - gate: qa\n          at: \"2026-12-01T10:00:00Z\" # ok"),
            ),
            (behind(
                "10:00:00Z\" # ok\n",
                &format!("        - {{gate: ops, at: \"{AT}\"}}\n"),
            )),
        ),
        (
            ".yaml",
            yaml(
                0,
                &with_passed(" [{gate: qa, at: \"2026-12-01T10:00:00Z\"}]   # ok"),
            ),
            (behind("10:00:00Z\"}", &format!(", {{gate: ops, at: \"{AT}\"}}"))),
        ),
        (
            ".yaml",
            yaml(0, &with_passed(" []")),
            (behind(
                "passed: [",
                &format!("{{\"gate\": \"qa\", \"at\": \"{AT}\"}}"),
            )),
        ),
        (
            ".yaml",
            yaml(0, BLOCK).replace('\n', "\r\n"),
            (behind("# all\r\n", &format!("        {}\r\n", flow("qa")))),
        ),
        (
            ".yaml",
            format!("\u{feff}{}", yaml(0, FLOW)),
            (behind("{weight: 100}]", &format!(", {}", flow("qa")))),
        ),
        (
            ".json",
            json(short),
            (behind(
                "{\"weight\": 100}]",
                &format!(", \"passed\": [{{\"gate\": \"qa\", \"at\": \"{AT}\"}}]"),
            )),
        ),
        (
            ".json",
            json(long),
            (behind(
                "{\"weight\": 100}]",
                &format!(",\n      \"passed\": [{{\"gate\": \"qa\", \"at\": \"{AT}\"}}]"),
            )),
        ),
        (
            ".yaml",
            json(short),
            (behind(
                "{\"weight\": 100}]",
                &format!(", \"passed\": [{{\"gate\": \"qa\", \"at\": \"{AT}\"}}]"),
            )),
        ),
        (
            ".yaml",
            plugin(&yaml(4, BLOCK)),
            (behind("100   # all\n", &format!("            {}\n", flow("qa")))),
        ),
        (
            ".yaml",
            map(&yaml(4, BLOCK)),
            (behind("100   # all\n", &format!("            {}\n", flow("qa")))),
        ),
        (
            ".yaml",
            map(&yaml(4, FLOW)),
            (behind("{weight: 100}]", &format!(", {}", flow("qa")))),
        ),
        (
            ".yaml",
            envoy(&json(short)),
            (behind(
                "{\"weight\": 100}]",
                &format!(", \"passed\": [{{\"gate\": \"qa\", \"at\": \"{AT}\"}}]"),
            )),
        ),
        (
            ".yaml",
            envoy(&json(long)),
            (behind(
                "{\"weight\": 100}]",
                &format!(
                    ",\n                  \"passed\": [{{\"gate\": \"qa\", \"at\": \"{AT}\"}}]"
                ),
            )),
        ),
        // The last line has no line break.
        (
            ".yaml",
            yaml(0, BLOCK).replace(
                "\n        # behind\n        pauses: [{days: [Sat]}]\n# end\n",
                "",
            ),
            Box::new(move |text| format!("{text}\n        {}", flow("qa"))),
        ),
        // A gate that needs quotes.
        (
            ".yaml",
            yaml(0, FLOW).replace("gate: qa", "gate: \"1\""),
            (behind("{weight: 100}]", &format!(", {}", flow("\"1\"")))),
        ),
    ];
    for (ending, text, change) in rows {
        let expected = change(&text);
        assert_ne!(expected, text);
        assert_eq!(promoted(ending, &text, &[]), expected, "{text}");
    }
}

#[test]
fn gates_are_passed_one_after_the_other_until_there_is_none() {
    let path = file(".yaml", &yaml(0, BLOCK));
    let name = path.to_str().unwrap();
    for gate in ["qa", "ops"] {
        let output = divvy(&["promote", name]);
        assert!(output.status.success(), "{}", complaint(&output));
        assert!(text(&output).contains(&format!("checkout: gate {gate} is passed at 20")));
    }
    let config = LoadedConfig::read(&path, None).unwrap().raw;
    let passed = config
        .pointer("/rollouts/0/strategy/canary/passed")
        .unwrap();
    let gates: Vec<_> = passed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["gate"].clone())
        .collect();
    assert_eq!(gates, [json!("qa"), json!("ops")]);
    // By default now.
    let at = humantime::parse_rfc3339(passed[0]["at"].as_str().unwrap()).unwrap();
    let age = SystemTime::now().duration_since(at).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let output = divvy(&["promote", name]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("all gates are passed"));
}

#[test]
fn the_difference_is_printed_and_a_dry_run_writes_nothing() {
    let before = yaml(0, BLOCK);
    let path = file(".yaml", &before);
    let name = path.to_str().unwrap();
    let output = divvy(&["promote", name, "--at", AT, "--dry-run"]);
    let shown = text(&output);
    let added = format!("+        passed: [{{gate: qa, at: \"{AT}\"}}]\n");
    assert!(
        shown.starts_with(&format!("--- {name}\n+++ {name}\n@@ ")),
        "{shown}"
    );
    assert!(shown.contains(&added), "{shown}");
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.starts_with(['+', '-']))
            .count(),
        3,
        "{shown}"
    );
    assert!(
        shown.ends_with(&format!("checkout: gate qa would be passed at {AT}\n")),
        "{shown}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let report: Value = report(&["promote", name, "checkout", "--gate", "ops", "--at", AT]);
    assert_eq!(report["gate"], "ops");
    assert_eq!(report["written"], true);
    assert!(report["diff"].as_str().unwrap().contains("gate: ops"));
    assert_ne!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn what_cannot_be_changed_alone_is_refused_and_left_as_it_is() {
    let aliased = yaml(0, FLOW).replace("canary: {", "canary: &c {")
        + "  - name: other\n    versions: [{name: v1}, {name: v2}]\n    stable: v1\n    strategy: {canary: *c}\n";
    let aliased = aliased.replace("# end\n", "");
    let encoded = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  divvy.json: eyJpZGVudGl0eSI6IFt7InJhbmRvbSI6IHRydWV9XSwgInJvbGxvdXRzIjogW3sibmFtZSI6ICJhIiwgInZlcnNpb25zIjogW3sibmFtZSI6ICJ2MSJ9LCB7Im5hbWUiOiAidjIifV0sICJzdGFibGUiOiAidjEiLCAic3RyYXRlZ3kiOiB7ImNhbmFyeSI6IHsidmVyc2lvbiI6ICJ2MiIsICJzdGFydCI6ICIyMDI2LTEyLTAxVDA5OjAwOjAwWiIsICJzdGVwcyI6IFt7IndlaWdodCI6IDUsICJnYXRlIjogInFhIn0sIHsid2VpZ2h0IjogMTAwfV19fX1dfQ==\n";
    let fixed = yaml(0, " {version: v2, weight: 5}");
    let gone = yaml(0, FLOW).replace("weight: 5,", "weight: 500,");
    for (before, args, message) in [
        (aliased.as_str(), &["other"][..], "add the gate by hand"),
        (&aliased, &["checkout"], "add the gate by hand"),
        (encoded, &[], "add the gate by hand"),
        (&fixed, &[], "no rollout has a step with a gate"),
        (&gone, &[], "see divvy check"),
        (
            &yaml(0, FLOW),
            &["--gate", "load"],
            "no rollout has a step with the gate load; there are qa, ops",
        ),
        (
            &yaml(0, FLOW),
            &["shop"],
            "the configuration has no rollout shop; it has checkout",
        ),
        (&yaml(0, FLOW), &["--at", "now"], "is not an instant"),
        (
            &yaml(0, FLOW),
            &["--at", "2026-12-01T12:00:00+01:00"],
            "is not an instant",
        ),
        (
            &yaml(0, FLOW),
            &["--at", "1969-12-01T12:00:00Z"],
            "is not an instant",
        ),
        ("{{ template }}", &[], ""),
        ("", &[], ""),
    ] {
        let path = file(".yaml", before);
        let output = divvy(&[&["promote", path.to_str().unwrap()], args].concat());
        assert_eq!(output.status.code(), Some(2), "{before}");
        let found = complaint(&output);
        assert!(found.contains(message), "{args:?} {found}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
    let output = divvy(&["promote", "-"]);
    assert!(complaint(&output).contains("promote changes a file"));
}

#[test]
fn permissions_and_links_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    fs::write(&path, yaml(0, FLOW)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("a.yaml", &link).unwrap();
    let output = divvy(&["promote", link.to_str().unwrap()]);
    assert!(output.status.success(), "{}", complaint(&output));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(fs::read_to_string(&path).unwrap().contains("passed"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
