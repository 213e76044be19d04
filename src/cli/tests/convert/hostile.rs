//! Hostile input: no crash, no endless work, and a message.

use std::fs;

use super::sources;
use crate::common::{complaint, divvy, divvy_with, root};

/// Asserts that the command ends by itself with a code of its own.
fn ends(input: &str, what: &str) {
    let output = divvy_with(input, &["convert", "--random", "--routes", "-"]);
    let code = output.status.code();
    let message = complaint(&output);
    assert!(matches!(code, Some(0..=2)), "{what}: {code:?} {message}");
    assert!(!message.contains("panicked"), "{what}: {message}");
    assert_ne!((code, &*message), (Some(2), ""), "{what}");
}

#[test]
fn bombs_and_depth_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let references = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{references}]\n");
    }
    ends(&bomb, "bomb");
    let deep = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {}{}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    ends(&deep, "depth");
    let lists = "{apiVersion: v1, kind: List, items: [".repeat(90) + &"]}".repeat(90);
    ends(&lists, "lists in lists");
    ends("\u{feff}\u{0}\u{1}", "control characters");
    ends("", "nothing");
}

/// `apiVersion`, `kind`, and the fields that lead to what is converted.
const SOURCES: [(&str, &str, &str); 6] = [
    (
        "networking.istio.io/v1",
        "VirtualService",
        "spec: {hosts: [a], http: @}",
    ),
    (
        "argoproj.io/v1alpha1",
        "Rollout",
        "spec: {strategy: {canary: {steps: @}}}",
    ),
    (
        "flagger.app/v1beta1",
        "Canary",
        "spec: {analysis: {interval: 1m, stepWeights: @, metrics: @}}",
    ),
    ("networking.k8s.io/v1", "Ingress", "spec: {rules: @}"),
    (
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "spec: {rules: @}",
    ),
    (
        "gateway.networking.k8s.io/v1",
        "GRPCRoute",
        "spec: {rules: @}",
    ),
];

#[test]
fn hostile_parts_of_each_source_do_not_crash() {
    let bomb = format!(
        "[&a [{0}], &b [{1}], &c [{2}], *c]",
        "x, ".repeat(999),
        "*a, ".repeat(999),
        "*b, ".repeat(999)
    );
    let deep = format!("{}{}", "[{a: ".repeat(400), "}]".repeat(400));
    let huge = "9".repeat(5000);
    let wide = format!(
        "[{}]",
        "{route: [{weight: 1e308}, {weight: -9223372036854775809}]}, ".repeat(500)
    );
    let binary = "!!binary \"//79\"".to_owned();
    let loops = "&a [*a]".to_owned();
    for part in [&bomb, &deep, &huge, &wide, &binary, &loops] {
        for (version, kind, fields) in SOURCES {
            let fields = fields.replacen('@', part, 1).replace('@', "[]");
            let whole = format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a, annotations: {{nginx.ingress.kubernetes.io/canary: \"true\"}}}}\n{fields}\n"
            );
            ends(&whole, kind);
            ends(&whole[..whole.len() / 2], kind);
        }
        let clusters = format!("virtual_hosts: [{{name: a, domains: [\"*\"], routes: {part}}}]\n");
        ends(&clusters, "Envoy");
    }
}

#[test]
fn many_routes_end_in_time() {
    let route = "    - match: [{headers: {x-a: {exact: a}}}]\n      route: [{destination: {host: a, subset: v1}, weight: 1}, {destination: {host: a, subset: v2}, weight: 1}]\n";
    let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n  http:\n";
    ends(&format!("{head}{}", route.repeat(900)), "many routes");
}

#[test]
fn sources_with_a_part_replaced_or_cut_off_do_not_crash() {
    let odd = [
        "[]",
        "{}",
        "~",
        "-1",
        "1e999",
        "\"\\0\"",
        "\"\\ud800\"",
        "99999999999999999999",
        "\"*\"",
        "&a *a",
        "\u{1f600}",
        "[[[]]]",
        "{a: {b: []}}",
        "!!binary aGk=",
        "\"\"",
        "(",
        "0x7fffffffffffffff",
    ];
    for source in sources() {
        let text = fs::read_to_string(root().join(&source)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // One process reads all variants as files of a folder.
        let folder = tempfile::tempdir().unwrap();
        for (index, line) in lines.iter().enumerate() {
            let cut = lines[..index].join("\n");
            fs::write(folder.path().join(format!("cut-{index}.yaml")), cut).unwrap();
            let Some((key, _)) = line.split_once(": ") else {
                continue;
            };
            for value in odd.iter().cycle().skip(index).take(4) {
                let mut changed: Vec<String> =
                    lines.iter().map(|line| (*line).to_owned()).collect();
                changed[index] = format!("{key}: {value}");
                let name = format!("odd-{index}-{}.yaml", value.len());
                fs::write(folder.path().join(name), changed.join("\n")).unwrap();
            }
        }
        let path = folder.path().to_str().unwrap();
        let output = divvy(&["convert", "--random", "--routes", path]);
        let message = complaint(&output);
        assert!(
            matches!(output.status.code(), Some(0..=2)),
            "{}: {message}",
            source.display()
        );
        assert!(
            !message.contains("panicked"),
            "{}: {message}",
            source.display()
        );
    }
}
