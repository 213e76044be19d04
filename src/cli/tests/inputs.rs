//! Inputs of `divvy check`: what is read, what is skipped, and what is a finding.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::common::{complaint, divvy, divvy_with, file, json, json_with, text};
use serde_json::Value;

/// A valid configuration in YAML.
pub const VALID: &str = "\
identity: [{header: x-user-id}]
rollouts:
  - name: a
    versions: [{name: v1}, {name: v2}]
    stable: v1
    strategy: {canary: {version: v2, weight: 5}}
";

/// Messages of the findings, each with its line and column.
pub fn messages(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|one| {
            let place = format!("{}:{}", one["line"], one["column"]);
            format!("{place}: {}", one["message"].as_str().unwrap())
        })
        .collect()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn check(folder: &tempfile::TempDir) -> Value {
    json(&["check", "--strict", folder.path().to_str().unwrap()])
}

#[test]
fn an_input_without_content_is_a_finding() {
    for input in [
        "",
        "\n\n",
        "# soon\n",
        "---\n",
        "---\n---\n# x\n",
        "\u{feff}",
        "null\n",
        "~",
    ] {
        let output = divvy_with(input, &["check", "-"]);
        assert_eq!(output.status.code(), Some(1), "{input:?}");
        let shown = text(&output);
        assert!(shown.contains("the input is empty"), "{input:?}: {shown}");
        assert!(
            shown.ends_with("0 configurations: 1 error, 0 warnings\n"),
            "{shown}"
        );
        let named = file(".yaml", input);
        let output = divvy(&["check", named.to_str().unwrap(), "envoy/divvy.yaml"]);
        assert_eq!(output.status.code(), Some(1), "{input:?} among others");
    }
    let json = file(".json", "");
    assert_eq!(
        divvy(&["check", json.to_str().unwrap()]).status.code(),
        Some(1)
    );
    // A configuration without rollouts, on purpose.
    assert_eq!(
        divvy_with("{}", &["check", "--strict", "-"]).status.code(),
        Some(0)
    );
}

#[test]
fn a_folder_without_a_configuration_is_a_finding() {
    let misspelled = folder(&[(
        "divvy.yaml",
        "identity: [{header: x-user-id}]\nrolouts:\n  - name: a\n",
    )]);
    let report = check(&misspelled);
    assert_eq!(messages(&report).len(), 1, "{report:#}");
    assert!(
        messages(&report)[0].starts_with("2:1: unknown field `rolouts`"),
        "{report:#}"
    );
    let other = folder(&[
        ("values.yaml", "replicas: 3\n"),
        ("a/b/c.json", "{\"x\": 1}"),
    ]);
    let report = check(&other);
    assert_eq!(
        messages(&report),
        ["1:1: the folder contains no divvy configuration"]
    );
    assert_eq!(report["configurations"], 0);
    // A file without one beside a file with one is not.
    let both = folder(&[("values.yaml", "replicas: 3\n"), ("x/divvy.yaml", VALID)]);
    assert_eq!(messages(&check(&both)), [""; 0]);
}

#[test]
fn a_json_file_is_read_as_json() {
    let good = r#"{"version": "1", "rollouts": []}"#;
    for (text, error) in [
        (good.to_owned(), None),
        (good.replace("[]", "[],"), Some("key must be a string")),
        (format!("# mine\n{good}"), Some("expected value")),
        (format!("// mine\n{good}"), Some("expected value")),
        (good.replace('"', "'"), Some("key must be a string")),
        (
            good.replace("\"version\"", "version"),
            Some("key must be a string"),
        ),
        (good.replace("\"1\"", "01"), Some("invalid number")),
        (good.replace("\"1\"", "+1"), Some("expected value")),
        (format!("\u{feff}{good}"), Some("expected value")),
        (format!("{good}{good}"), Some("trailing characters")),
    ] {
        for ending in [".json", ".JSON"] {
            let named = file(ending, &text);
            let report = json(&["check", named.to_str().unwrap()]);
            let found = messages(&report);
            match error {
                None => assert_eq!(found, [""; 0], "{text}"),
                Some(error) => assert!(
                    found.len() == 1 && found[0].contains("not JSON") && found[0].contains(error),
                    "{text}: {found:?}"
                ),
            }
        }
    }
    // YAML may have a byte order mark and Windows line ends.
    let windows = format!("\u{feff}{}", VALID.replace('\n', "\r\n"));
    assert_eq!(
        messages(&json_with(&windows, &["check", "--strict", "-"])),
        [""; 0]
    );
    let broken = windows.replace("weight: 5", "weight: 500");
    let found = messages(&json_with(&broken, &["check", "-"]));
    assert!(found[0].starts_with("6:46: 500 is not"), "{found:?}");
}

#[test]
fn files_that_are_not_divvys_are_skipped_with_their_reason() {
    let all = folder(&[
        ("a/divvy.yaml", VALID),
        // A quoted text whose second line is indented as its key, which kubectl reads.
        (
            "crd.yaml",
            "kind: CustomResourceDefinition\napiVersion: apiextensions.k8s.io/v1\nspec:\n  description: 'first\n  second'\n",
        ),
        ("template.yaml", "spec: {{ .Values.spec }}\n"),
        (
            "block.yaml",
            "{{- if .Values.on }}\nrollouts: 5\n{{- end }}\n",
        ),
        ("tsconfig.json", "{\n // mine\n \"x\": 1}"),
        ("broken.yaml", "a: [1\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: shop\n"),
        (
            "chart/templates/plugin.yaml",
            "pluginName: divvy\nx: {{ .x }}\n",
        ),
        (
            "patch.yaml",
            "apiVersion: a/v1\nkind: WasmPlugin\nspec: {pluginConfig: {rollouts: 5}}\n",
        ),
        ("notes.txt", "rollouts: 5"),
        ("list.yaml", "- 1\n- 2\n"),
        ("text.yaml", "just words\n"),
        (".hidden/x.yaml", "rollouts: 5\n"),
    ]);
    symlink("/nowhere/at/all", all.path().join("z.yaml")).unwrap();
    symlink(all.path(), all.path().join("loop")).unwrap();
    fs::write(all.path().join("latin1.yaml"), b"name: caf\xe9\n").unwrap();
    let report = check(&all);
    assert_eq!(messages(&report), [""; 0], "{report:#}");
    assert_eq!(report["configurations"], 1);
    let skipped = report["skipped"].as_array().unwrap().iter();
    let skipped: Vec<_> = skipped
        .map(|one| {
            let path = one["file"].as_str().unwrap();
            let name = path.rsplit('/').next().unwrap().to_owned();
            (name, one["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    for (name, reason) in [
        ("template.yaml", "is a template"),
        ("block.yaml", "is a template"),
        ("tsconfig.json", "line 2 is not JSON"),
        ("broken.yaml", "is not YAML"),
        ("templates", "are Helm templates"),
        ("patch.yaml", "is a Kustomize patch"),
        ("z.yaml", "is a link to a file that does not exist"),
        ("latin1.yaml", "is not UTF-8"),
    ] {
        let found = skipped.iter().find(|(file, _)| file == name);
        let found = found.unwrap_or_else(|| panic!("{name}: {skipped:?}"));
        assert!(found.1.contains(reason), "{found:?}");
    }
    assert_eq!(skipped.len(), 8, "{skipped:?}");
    let output = divvy(&["check", all.path().to_str().unwrap()]);
    assert!(
        text(&output).contains("z.yaml: skipped: is a link"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_file_that_is_divvys_and_broken_is_a_finding_in_a_folder_too() {
    for broken in ["rollouts: [\n", "name: divvy\nx: [\n", "\"rollouts\": [\n"] {
        let all = folder(&[("a.yaml", VALID), ("b.yaml", broken)]);
        let report = check(&all);
        assert!(messages(&report)[0].contains("not YAML"), "{report:#}");
    }
}

#[test]
fn input_that_would_exhaust_the_machine_is_refused() {
    let deep = format!("rollouts: {}", "[".repeat(100_000));
    let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|nth| {
            let alias = format!("*a{},", nth - 1).repeat(9);
            format!("a{nth}: &a{nth} [{alias}]\n")
        }))
        .collect();
    for (text, message) in [
        (deep, "nested more than 200 deep"),
        (bomb, "1,000,000 nodes"),
    ] {
        let found = messages(&json_with(&text, &["check", "-"]));
        assert!(found[0].contains(message), "{found:?}");
    }
    let device = divvy(&["check", "/dev/zero"]);
    assert_eq!(device.status.code(), Some(2));
    assert!(
        complaint(&device).contains("is not a regular file"),
        "{}",
        complaint(&device)
    );
    // What the shell connects is read.
    let shell = std::process::Command::new("bash")
        .args([
            "-c",
            &format!(
                "{} check <(printf 'rollouts: []')",
                env!("CARGO_BIN_EXE_divvy")
            ),
        ])
        .output()
        .unwrap();
    assert!(shell.status.success(), "{}", complaint(&shell));
}

/// Each document was once searched with a copy of the whole text.
#[test]
fn many_documents_end_in_time() {
    let text = "---\n{}\n".repeat(50_000);
    let in_map: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let in_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a.yaml: |\n{in_map}    ---\n    rollouts: 5\n"
    );
    for (text, found) in [
        (&text, "more than 10000 configurations"),
        (&in_map, "is a number: write a list"),
    ] {
        let report = json_with(text, &["check", "-"]);
        let found_here = messages(&report);
        assert_eq!(found_here.len(), 1, "{found_here:?}");
        assert!(found_here[0].contains(found), "{found_here:?}");
    }
    let output = divvy_with(&text, &["explain", "-", "-r", "GET /"]);
    assert!(complaint(&output).contains("several divvy configurations"));
}

#[test]
fn a_folder_with_links_in_a_circle_or_a_closed_folder_is_checked() {
    let all = folder(&[("divvy.yaml", VALID), ("closed/x.yaml", VALID)]);
    symlink(all.path().join("z.yaml"), all.path().join("z.yaml")).unwrap();
    symlink(all.path().join("divvy.yaml/x"), all.path().join("y.yaml")).unwrap();
    let report = check(&all);
    assert_eq!(
        (&report["configurations"], messages(&report).len()),
        (&Value::from(2), 0)
    );
    assert_eq!(report["skipped"].as_array().unwrap().len(), 2, "{report:#}");
    let closed = all.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_err() {
        let report = check(&all);
        assert_eq!(report["configurations"], 1);
        assert!(
            messages(&report)[0].contains("cannot be read"),
            "{report:#}"
        );
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

/// What cannot be written is not a success.
#[test]
fn a_full_disk_is_an_error_of_every_verb() {
    let file = || fs::File::options().write(true).open("/dev/full").unwrap();
    for words in [
        &["check", "envoy/divvy.yaml"][..],
        &["explain", "envoy/divvy.yaml", "-r", "GET /"],
        &[
            "diff",
            "envoy/divvy.yaml",
            "envoy/divvy.yaml",
            "--users",
            "9",
        ],
        &["simulate", "envoy/divvy.yaml", "--users", "9"],
        &[
            "simulate",
            "envoy/divvy.yaml",
            "--users",
            "9",
            "--plot",
            "/dev/full",
        ],
        &[
            "convert",
            "--random",
            "src/cli/tests/convert/istio/two-weights.yaml",
        ],
        &["promote", "envoy/examples/ramp.yaml", "--dry-run"],
        &[
            "init",
            "--random",
            "--versions",
            "v1,v2",
            "--platform",
            "envoy",
        ],
        &["render", "plugin", "envoy/divvy.yaml"],
        &["render", "istio", "--gateway", "shop", "envoy/divvy.yaml"],
        &["schema"],
        &["completions", "bash"],
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_divvy"));
        command.args(words).current_dir(crate::common::root());
        let output = command.stdout(file()).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            complaint(&output)
        );
    }
}

#[test]
fn a_file_that_splits_without_divvy_gets_a_hint() {
    for (kind, spec) in [
        (
            "VirtualService",
            "{hosts: [a], http: [{route: [{destination: {host: a, subset: v1}, weight: 80}]}]}",
        ),
        ("Rollout", "{strategy: {canary: {steps: [{setWeight: 5}]}}}"),
        (
            "HTTPRoute",
            "{rules: [{backendRefs: [{name: a, weight: 9}, {name: b, weight: 1}]}]}",
        ),
    ] {
        let text =
            format!("apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: reviews}}\nspec: {spec}\n");
        let found = messages(&json_with(&text, &["check", "-"]));
        let expected =
            format!("1:1: the file contains no divvy configuration; {kind} reviews splits");
        assert!(found[0].starts_with(&expected), "{found:?}");
        // Beside a configuration the file is one of the surroundings.
        let routes = file(".yaml", &text);
        let both = json(&["check", "envoy/divvy.yaml", routes.to_str().unwrap()]);
        assert_eq!(both["errors"], 0, "{both:#}");
    }
}
