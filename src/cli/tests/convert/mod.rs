//! `divvy convert`: the sources in the folders here, each with its expected output and messages.
//!
//! `DIVVY_BLESS=1` writes the expected files. The first line of a source may name arguments: `# args: --random`.

mod hostile;
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{complaint, divvy, divvy_with, root, text};

/// The sources, relative to the root of the repository.
pub fn sources() -> Vec<PathBuf> {
    let folder = root().join("src/cli/tests/convert");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let files = fs::read_dir(path).unwrap();
            found.extend(files.map(|file| file.unwrap().path()));
        }
    }
    let relative = |path: PathBuf| path.strip_prefix(root()).unwrap().to_owned();
    let mut found: Vec<_> = found.into_iter().map(relative).collect();
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    found.sort();
    found
}

/// The arguments for a source: those of its first line, or an identity.
fn arguments(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(root().join(source)).unwrap();
    let first = text.lines().next().unwrap_or_default();
    let arguments = first.strip_prefix("# args: ");
    let arguments = arguments.unwrap_or("--identity header:x-user-id");
    arguments.split(' ').map(str::to_owned).collect()
}

fn convert(source: &Path, more: &[&str]) -> std::process::Output {
    let arguments = arguments(source);
    let mut all = vec!["convert"];
    all.extend(arguments.iter().map(String::as_str));
    all.extend(more);
    all.push(source.to_str().unwrap());
    divvy(&all)
}

#[test]
fn each_source_has_the_expected_output_and_messages() {
    let bless = std::env::var_os("DIVVY_BLESS").is_some();
    let mut different = Vec::new();
    for source in sources() {
        let output = convert(&source, &["--routes"]);
        let code = output.status.code().unwrap();
        let found = format!(
            "{}\n# exit code {code}, standard error:\n{}",
            String::from_utf8(output.stdout.clone()).unwrap(),
            complaint(&output)
        );
        let expected = root().join(source.with_extension("expected"));
        if bless {
            fs::write(&expected, &found).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            different.push(format!("{}:\n{found}", source.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn each_configuration_passes_a_strict_check_with_its_routes() {
    for source in sources() {
        let output = convert(&source, &["--routes"]);
        let written = text(&output);
        let check = divvy_with(&written, &["check", "--strict", "-"]);
        let found = text(&check);
        assert!(
            check.status.success(),
            "{}: {found}{written}",
            source.display()
        );
    }
}

/// The texts of a configuration, without keys.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(elements) => elements.iter().for_each(|one| texts(one, found)),
        Value::Object(fields) => fields.values().for_each(|one| texts(one, found)),
        _ => {}
    }
}

#[test]
fn a_configuration_has_no_text_that_the_source_or_the_user_did_not_write() {
    for source in sources() {
        let written = fs::read_to_string(root().join(&source)).unwrap();
        // Without quotes and escapes, in any case, with the characters that names have.
        let plain = |text: &str| {
            let text = text.replace(['\\', '"', '\''], "").to_ascii_lowercase();
            text.replace(".*", "")
        };
        let given = plain(&written) + &arguments(&source).join(" ");
        let output = convert(&source, &["--output", "json"]);
        let report: Value = serde_json::from_str(&text(&output)).unwrap();
        let mut found = Vec::new();
        texts(&report["configuration"], &mut found);
        for found in found {
            // A search becomes a match of the whole value.
            let inner = found
                .strip_prefix(".*(?:")
                .and_then(|rest| rest.strip_suffix(").*"));
            let found = inner.map_or(found.clone(), str::to_owned);
            // A duration may have another unit.
            let digits = found.trim_end_matches(['m', 's', 'h']);
            let is_duration = digits.len() < found.len() && digits.parse::<u32>().is_ok();
            let is_generated = is_duration || found == "{version}"
                || found.starts_with("match-")
                || found.starts_with("pause-")
                || GENERATED.contains(&&*found)
                // Names of a service in the cluster.
                || found.contains(".svc");
            // Flagger gives its services these names.
            let ends = ["-primary", "-canary"];
            let found = ends
                .iter()
                .find_map(|end| found.strip_suffix(end))
                .unwrap_or(&found)
                .to_owned();
            let name = found.rsplit_once('-').map_or(&*found, |(name, number)| {
                if number.parse::<u32>().is_ok() {
                    name
                } else {
                    &found
                }
            });
            // The path of a gRPC method and the names of a service have several texts of the source.
            let mut parts = found.split(['/', '.']);
            let is_known =
                given.contains(&plain(name)) || parts.all(|part| given.contains(&plain(part)));
            assert!(is_generated || is_known, "{}: {found}", source.display());
        }
    }
}

/// Names of rules that have none in the source, words of ingress-nginx, and Argo's word for pods without a service.
const GENERATED: [&str; 10] = [
    "stable",
    "match",
    "header-always",
    "header-never",
    "header-value",
    "header-pattern",
    "cookie-always",
    "cookie-never",
    "always",
    "never",
];

#[test]
fn an_identity_or_a_random_draw_is_required_and_never_guessed() {
    let source = "src/cli/tests/convert/istio/two-weights.yaml";
    let output = divvy(&["convert", source]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        complaint(&output).contains("--identity"),
        "{}",
        complaint(&output)
    );
    for wrong in ["x-user-id", "header:", "claim:sub", ""] {
        let output = divvy(&["convert", "--identity", wrong, source]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
    for (given, expected) in [
        (vec!["--random"], "identity:\n  - {random: true}\n"),
        (
            vec![
                "--identity",
                "jwt:sub",
                "--identity",
                "cookie:uid",
                "--random",
            ],
            "identity:\n  - {jwtClaim: sub}\n  - {cookie: uid}\n  - {random: true}\n",
        ),
        (
            vec!["--identity", "query:uid"],
            "identity:\n  - {query: uid}\n",
        ),
    ] {
        let all = [&["convert"], &given[..], &[source]].concat();
        let written = text(&divvy(&all));
        assert!(written.starts_with(expected), "{written}");
    }
}

/// An option without effect is not a success.
#[test]
fn a_version_or_an_instant_that_cannot_be_is_refused() {
    let source = "src/cli/tests/convert/istio/two-weights.yaml";
    for (option, message) in [
        (
            "--stable=v9",
            "no rollout has a version of this name; there are: v1, v2",
        ),
        ("--stable=", "no rollout has a version of this name"),
        ("--start=nan", "is not an instant"),
        ("--start=2026-12-01", "is not an instant"),
        ("--start=", "is not an instant"),
    ] {
        let output = divvy(&["convert", "--random", option, source]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(
            complaint(&output).contains(message),
            "{}",
            complaint(&output)
        );
        assert!(output.stdout.is_empty(), "{option}");
    }
    let output = divvy(&["convert", "--random", "--stable=v2", source]);
    assert!(text(&output).contains("stable: v2"));
}

#[test]
fn lists_folders_and_standard_input_are_read() {
    let folder = "src/cli/tests/convert/istio";
    let whole = text(&divvy(&["convert", "--random", folder]));
    let source = fs::read_to_string(root().join(folder).join("two-weights.yaml")).unwrap();
    let piped = divvy_with(&source, &["convert", "--random", "-"]);
    assert_eq!(piped.status.code(), Some(0));
    let rollout = "    match:\n      - {hosts: [reviews.shop.svc.cluster.local, reviews.shop.svc, reviews.shop, reviews]}\n";
    for written in [&whole, &text(&piped)] {
        assert!(written.contains(rollout), "{written}");
    }
    let documents: Vec<String> = source
        .split("---\n")
        .map(|document| {
            let lines = document.lines().filter(|line| !line.starts_with('#'));
            let lines: Vec<_> = lines.map(|line| format!("    {line}")).collect();
            format!("  -\n{}\n", lines.join("\n"))
        })
        .collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}", documents.concat());
    let listed = divvy_with(&list, &["convert", "--random", "-"]);
    assert!(text(&listed).contains(rollout), "{}", complaint(&listed));
    let nothing = divvy_with(
        "kind: Service\napiVersion: v1\n",
        &["convert", "--random", "-"],
    );
    assert_eq!(nothing.status.code(), Some(2));
    assert!(complaint(&nothing).contains("no resource that divvy convert reads"));
}

#[test]
fn two_splits_of_the_same_requests_are_reported() {
    let service = |name: &str, weight: u32| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{hosts: [a.example.com], gateways: [{name}], http: [{{route: [{{destination: {{host: v1}}, weight: \
             {weight}}}, {{destination: {{host: v2}}, weight: 10}}]}}]}}\n"
        )
    };
    let both = format!("{}---\n{}", service("one", 90), service("two", 40));
    let output = divvy_with(&both, &["convert", "--random", "-"]);
    assert_eq!(output.status.code(), Some(2));
    let message = complaint(&output);
    assert!(
        message.contains("VirtualService shop/two: impossible: rollout one has the same requests"),
        "{message}"
    );
}
