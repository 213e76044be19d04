//! `divvy check`: finds configurations in all forms of files, and reports errors with positions.

use crate::common::{complaint, divvy, divvy_with, file, json, json_with, text};
use crate::writer::Written;
use serde_json::{Value, json};

const WASM_PLUGIN: &str = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: divvy}
spec:
  url: oci://registry/divvy:1
  pluginConfig:
    ";

const PLUGIN: &str = "\
resources:
  - name: divvy
    typed_config:
      config:
        name: divvy
        configuration:
          \"@type\": type.googleapis.com/google.protobuf.StringValue
          value: |
            ";

/// A configuration in each form of a file.
fn forms(config: &Value) -> Vec<(&'static str, Written)> {
    let mut yaml = Written::after("# comment\n");
    yaml.yaml(config, "", 0);
    let mut json = Written::default();
    json.json(config, "", 0);
    let mut istio = Written::after(WASM_PLUGIN);
    istio.yaml(config, "", 4);
    let mut envoy = Written::after(PLUGIN);
    envoy.json(config, "", 12);
    let all = [
        ("yaml", yaml),
        ("json", json),
        ("WasmPlugin", istio),
        ("ECDS", envoy),
    ];
    all.into_iter()
        .map(|(name, mut form)| {
            form.text.push('\n');
            (name, form)
        })
        .collect()
}

#[test]
fn each_error_has_its_path_and_position_in_every_form_of_a_file() {
    let rows = divvy_cases::broken();
    assert!(rows.len() >= 60);
    // One run for each form: all files of a folder.
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (nth, (config, error)) in rows.iter().enumerate() {
        let (path, message) = error.split_once(": ").unwrap();
        let path = if path == "configuration" { "" } else { path };
        for (name, form) in forms(config) {
            let ending = if name == "json" { "json" } else { "yaml" };
            let file = folder.path().join(format!("{nth:03}-{name}.{ending}"));
            std::fs::write(&file, &form.text).unwrap();
            expected.push((
                file.display().to_string(),
                path,
                message,
                form.place(path, message),
            ));
        }
    }
    let report = json(&["check", folder.path().to_str().unwrap()]);
    let findings = report["findings"].as_array().unwrap();
    for (file, path, message, (line, column)) in expected {
        let first = findings.iter().find(|finding| finding["file"] == *file);
        let first = first.unwrap_or_else(|| panic!("nothing about {file}"));
        assert_eq!(
            (
                &first["path"],
                &first["message"],
                &first["line"],
                &first["column"]
            ),
            (&json!(path), &json!(message), &json!(line), &json!(column)),
            "{file}"
        );
    }
}

#[test]
fn an_error_is_shown_with_its_line_and_a_suggestion() {
    let output = divvy_with("identity: []\nrolouts: []\n", &["check", "-"]);
    let keys = "`version`, `identity`, `ignoreIdentities`, `trust`, `holdout`, `headers`, \
                `responseHeader`, `overrides`, `overridesAfter`, `rollouts`";
    let expected = format!(
        "-:2:1: configuration: unknown field `rolouts`, expected one of {keys}\n    2 | rolouts: \
         []\n      | ^ did you mean `rollouts`?\n1 configuration: 1 error, 0 warnings\n"
    );
    assert_eq!(text(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

/// The first finding of a text: `line:column: path: message`.
fn first(text: &str) -> String {
    let report = json_with(text, &["check", "-"]);
    let finding = &report["findings"][0];
    let part = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let place = format!("{}:{}", finding["line"], finding["column"]);
    format!("{place}: {}: {}", part("path"), part("message"))
}

#[test]
fn positions_in_embedded_text_are_those_of_the_file() {
    let around = |value: &str| {
        let kind = "\"@type\": type.googleapis.com/google.protobuf.StringValue";
        format!("name: divvy\nvm_config: {{}}\nconfiguration:\n  {kind}\n  value: {value}\n")
    };
    let is_number = "version: is a number: write a string";
    for (value, expected) in [
        ("|\n    {\"version\": 7}", format!("6:17: {is_number}")),
        (
            "|-\n    {\n    \"version\":\n\n      7}",
            format!("9:7: {is_number}"),
        ),
        ("|2\n    {\"version\": 7}", format!("6:17: {is_number}")),
        ("'{\"version\": 7}'", format!("5:23: {is_number}")),
        (
            "'{\"it''s\": 7}'",
            "5:12: : unknown field `it's`, expected one of".to_owned(),
        ),
        ("\"{\\\"version\\\": 7}\"", format!("5:25: {is_number}")),
        (
            "\"{\\\"\\u0076ersion\\\": 7}\"",
            format!("5:30: {is_number}"),
        ),
        // Only the start of folded text has a position.
        (
            ">\n    {\"version\": 7}",
            "5:10: version: is a number".to_owned(),
        ),
        (
            "|\n    {\"version\" 7}",
            "6:16: : is not JSON: expected `:`".to_owned(),
        ),
        (
            "|\n    version: 7",
            "6:5: : is not JSON: expected value; write a JSON object".to_owned(),
        ),
        (
            "{version: 7}",
            "5:10: : value is YAML, which Envoy passes on as an empty text".to_owned(),
        ),
        ("", "4:3: : value is missing".to_owned()),
    ] {
        let value = if value.is_empty() {
            around("").replace("  value: \n", "")
        } else {
            around(value)
        };
        let found = first(&value);
        assert!(found.starts_with(&expected), "{value}\n{found}\n{expected}");
    }
}

#[test]
fn a_syntax_error_has_its_position() {
    for (text, expected) in [
        ("a: 1\nb: [1, 2\n", "2:4: : not YAML: "),
        (
            "{\n \"a\": 1,\n \"b\" 2\n}",
            "3:6: : not JSON: expected `:`",
        ),
        ("a: *b\n", "1:4: : not YAML: "),
        ("- 1\n", "1:1: : is a list: write an object"),
    ] {
        let found = first(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn the_position_of_a_duplicate_key_is_that_of_the_second_one() {
    let twice = "version: is a duplicate key";
    assert_eq!(first("version: a\nversion: b\n"), format!("2:1: {twice}"));
    assert_eq!(
        first("{\"version\": \"a\",\n \"version\": \"b\"}"),
        format!("2:2: {twice}")
    );
}

#[test]
fn configurations_are_found_in_resources_and_lists() {
    let plugin = format!("{WASM_PLUGIN}{{rollouts: []}}\n");
    let extension = "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: \
                     {name: divvy}\nspec: {wasm: {url: u, pluginConfig: {rollouts: []}}}\n";
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: extensions.istio.io/v1alpha1\n  \
                kind: WasmPlugin\n  spec: {pluginConfig: {rollouts: []}}\n- {apiVersion: v1, kind: \
                Service, spec: {}}\n";
    let filter = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec: \
                  {configPatches: [{patch: {value: {typed_config: {config: {name: divvy, \
                  vm_config: {}, configuration: {\"@type\": \
                  type.googleapis.com/google.protobuf.StringValue, value: \"{}\"}}}}}}]}\n";
    let both = format!("{plugin}---\n{extension}");
    for (text, configurations) in [
        ("{}", 1),
        ("{rollouts: []}", 1),
        ("rollouts: []\n---\nrollouts: []\n", 2),
        (&*plugin, 1),
        (extension, 1),
        (&*both, 2),
        (list, 1),
        (filter, 1),
        ("a: &a {rollouts: []}\n", 1),
    ] {
        let report = json_with(text, &["check", "-"]);
        assert_eq!(report["configurations"], configurations, "{text}");
        let bad = i32::from(text.starts_with("a:"));
        assert_eq!(report["errors"], bad, "{text}: {report:#}");
    }
}

#[test]
fn other_files_of_a_folder_are_ignored_and_a_named_file_must_contain_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n",
        ),
        ("values.yml", "replicas: 3\n"),
        ("package.json", "{\"name\": \"shop\"}"),
        ("divvy.yaml", "rollouts: []\n"),
        ("notes.txt", "rollouts: 5\n"),
        // A Kustomize patch, incomplete without its base.
        (
            "patch.yaml",
            "apiVersion: a/v1\nkind: WasmPlugin\nspec: {pluginConfig: {rollouts: [{}]}}\n",
        ),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let report = json(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(
        (&report["configurations"], &report["errors"]),
        (&json!(1), &json!(0))
    );
    let named = folder.path().join("deployment.yaml");
    let output = divvy(&["check", named.to_str().unwrap()]);
    assert!(text(&output).contains("the file contains no divvy configuration"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn no_is_a_flag_in_a_kubernetes_resource() {
    let rollout = "{rollouts: [{name: a, versions: [{name: x}], stable: x, rules: [{name: r, \
                   use: x, when: {header: c, in: [de, no]}}], strategy: {blueGreen: {active: x}}}]}";
    assert_eq!(json_with(rollout, &["check", "-"])["errors"], 0);
    let found = first(&format!("{WASM_PLUGIN}{rollout}\n"));
    assert!(
        found.contains("when.in[1]: is true or false: write a string"),
        "{found}"
    );
}

#[test]
fn an_unreadable_file_and_a_wrong_argument_have_exit_code_2() {
    for args in [
        &["check", "no/such/file.yaml"][..],
        &["check"],
        &["chek"],
        &["check", "src/cli/tests/common"],
    ] {
        let output = divvy(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!complaint(&output).is_empty());
    }
}

#[test]
fn output_to_a_pipe_has_no_colours() {
    let bad = file(".yaml", "rolouts: []\n");
    let output = divvy(&["check", bad.to_str().unwrap()]);
    assert!(!text(&output).contains('\u{1b}'));
}

/// The YAML and JSON code blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for language in ["```yaml\n", "```json\n"] {
        let rest = page.split(language).skip(1);
        blocks.extend(
            rest.filter_map(|rest| rest.split("```").next())
                .map(str::to_owned),
        );
    }
    blocks
}

#[test]
fn every_shipped_configuration_and_every_example_of_a_page_passes() {
    // Whole folders, which also contain other resources. The clusters of envoy/gateway are not in the
    // bootstraps beside it.
    let gateway = json(&["check", "--strict", "envoy/gateway"]);
    assert_eq!(gateway["findings"], json!([]), "{gateway:#}");
    let entries = std::fs::read_dir(crate::common::root().join("envoy")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name != "gateway" && !name.ends_with(".md"));
    let paths: Vec<_> = names.map(|name| format!("envoy/{name}")).collect();
    let mut args = vec!["check", "--strict", "istio"];
    args.extend(paths.iter().map(String::as_str));
    let report = json(&args);
    assert!(
        report["configurations"].as_u64().unwrap() >= 21,
        "{report:#}"
    );
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let mut pages = vec![crate::common::root().join("README.md")];
    let mut folders =
        Vec::from(["envoy", "istio"].map(|folder| crate::common::root().join(folder)));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in blocks(&text) {
            if block.contains("rollouts:") || block.contains("\"rollouts\"") {
                let report = json_with(&block, &["check", "-"]);
                assert_eq!(
                    report["errors"],
                    0,
                    "{}: {block}\n{report:#}",
                    page.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "{checked}");
}
