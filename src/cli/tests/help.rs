//! The help texts: every verb has examples, which work.

use std::path::Path;
use std::process::Command;

use crate::common::{divvy, json, root, text};

const VERBS: [&str; 15] = [
    "init",
    "check",
    "explain",
    "diff",
    "simulate",
    "analyze",
    "convert",
    "promote",
    "render",
    "schema",
    "sign",
    "verify",
    "top",
    "ui",
    "admission",
];
/// Verbs of verbs.
const INNER: [&str; 7] = [
    "render plugin",
    "render envoy",
    "render istio",
    "render envoy-gateway",
    "sign override",
    "sign sticky",
    "sign key",
];

/// The commands below `Examples:`, each in one line.
fn examples(verb: &str) -> Vec<String> {
    let words: Vec<_> = verb.split(' ').chain(["--help"]).collect();
    let help = text(&divvy(&words)).replace("\\\n", " ");
    let lines = help.lines().map(str::trim);
    let commands = lines.filter(|line| line.starts_with("divvy ") || line.contains("| divvy "));
    commands.map(str::to_owned).collect()
}

#[test]
fn the_examples_of_every_help_text_work() {
    let binary = Path::new(env!("CARGO_BIN_EXE_divvy")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let scratch = tempfile::tempdir().unwrap();
    for verb in VERBS.into_iter().chain(INNER) {
        let examples = examples(verb);
        assert!(!examples.is_empty(), "{verb}");
        // The examples of top need proxies, those of ui and admission end with a signal.
        for example in examples
            .iter()
            .filter(|_| !["top", "ui", "admission"].contains(&verb))
        {
            let command = example.replace("target/", &format!("{}/", scratch.path().display()));
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &command])
                .current_dir(root())
                .env("PATH", &path);
            let output = shell.output().unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{example}: {message}");
        }
    }
    let drawn = std::fs::read_to_string(scratch.path().join("guardrail.svg")).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("Guardrail of checkout"));
}

#[test]
fn help_and_completions_of_every_shell_list_every_verb() {
    let help = text(&divvy(&["--help"]));
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let completions = text(&divvy(&["completions", shell]));
        for verb in VERBS {
            assert!(completions.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("man1");
    let output = divvy(&["man", folder.to_str().unwrap()]);
    assert!(output.status.success());
    for verb in VERBS {
        let page = std::fs::read_to_string(folder.join(format!("divvy-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{verb}: {page}");
    }
    let main = std::fs::read_to_string(folder.join("divvy.1")).unwrap();
    assert!(main.contains("divvy\\-check(1)"), "{main}");
}

#[test]
fn every_verb_prints_json() {
    let file = "envoy/divvy.yaml";
    for args in [
        &["check", file][..],
        &["explain", "-c", file, "-r", "/"],
        &["diff", file, file, "--users", "10"],
        &["simulate", "-c", file, "--users", "10"],
        &[
            "convert",
            "--random",
            "src/cli/tests/convert/istio/two-weights.yaml",
        ],
        &["schema"],
    ] {
        assert!(json(args).is_object(), "{args:?}");
    }
    let output = divvy(&["check", file, "--output", "markdown"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn top_has_exit_code_1_if_a_proxy_does_not_answer() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = divvy(&["top", "--once", &address]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output);
    let finding = format!("http://{address}/stats/prometheus does not answer: ");
    assert!(shown.contains(&finding), "{shown}");
    assert_eq!(json(&["top", "--once", &address])["agree"], true);
}
