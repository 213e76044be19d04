//! One example of each warning: what causes it, and the smallest change after which it is gone.

mod alone;
mod around;
mod build;
mod signed;

use std::collections::BTreeSet;
use std::fs;

use crate::common::{divvy, file, json, root, text};
use divvy_cli::warnings::Kind;
use serde_json::{Value, json};

/// The kind, the files that cause it, and those that do not.
type Example = (Kind, Vec<Value>, Vec<Value>);

fn examples() -> Vec<Example> {
    [alone::examples(), around::examples(), signed::examples()].concat()
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
    let keys = folder.path().join("keys").display().to_string();
    fs::write(&keys, signed::KEYS).unwrap();
    let mut args = vec!["check", "--rps", "20", "--keys-file", &keys];
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
    let edge = fs::read_to_string(root().join("envoy/edge.yaml")).unwrap();
    let elsewhere = file(
        ".yaml",
        &edge.replace("path: envoy/plugin.yaml", "path: /no/plugin.yaml"),
    );
    let output = divvy(&["check", elsewhere.to_str().unwrap()]);
    let shown = text(&output);
    let line = "reads the configuration from /no/plugin.yaml, which does not exist here: check both files together [configuration-elsewhere]\n";
    assert!(shown.contains(line), "{shown}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_file_that_a_bootstrap_names_is_checked_with_it() {
    for args in [
        &["envoy/edge.yaml"][..],
        &["envoy/edge.yaml", "envoy/plugin.yaml"],
        &["envoy/hop.yaml", "envoy/edge.yaml"],
    ] {
        let report = json(&[&["check", "--strict"], args].concat());
        assert_eq!(
            (&report["configurations"], &report["warnings"]),
            (&json!(1), &json!(0)),
            "{report:#}"
        );
    }
}
