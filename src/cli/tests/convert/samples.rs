//! The samples of Istio, Argo Rollouts, Flagger and the Gateway API, in their Go modules: none crashes, and each
//! configuration passes `divvy check --strict` or a message says what is not converted.
//!
//! `DIVVY_SAMPLES` names the folders, separated by colons: `make samples` downloads them and runs this test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{complaint, divvy, divvy_with, text};

/// Kinds of resources that are converted.
const KINDS: [&str; 6] = [
    "VirtualService",
    "Rollout",
    "Canary",
    "HTTPRoute",
    "GRPCRoute",
    "Ingress",
];

/// Files below a folder with a resource that is converted.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            files(&path, found);
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let is_of = |line: &str| {
                let kind = line.trim().strip_prefix("kind:");
                kind.is_some_and(|kind| KINDS.contains(&kind.trim()))
            };
            if text.lines().any(is_of) {
                found.push(path);
            }
        }
    }
}

#[test]
#[ignore = "needs the Go modules: make samples"]
fn every_sample_converts_or_says_what_does_not() {
    let folders = std::env::var("DIVVY_SAMPLES").expect("DIVVY_SAMPLES names folders");
    for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
        let mut all = Vec::new();
        files(Path::new(folder), &mut all);
        all.sort();
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for file in &all {
            let path = file.to_str().unwrap();
            let arguments = [
                "--identity",
                "header:x-user-id",
                "--start",
                "2026-12-01T09:00:00Z",
            ];
            let output = divvy(&[&["convert", "--routes"], &arguments[..], &[path]].concat());
            let message = complaint(&output);
            let code = output.status.code();
            assert!(matches!(code, Some(0..=2)), "{path}: {code:?} {message}");
            assert!(!message.contains("panicked"), "{path}: {message}");
            if message.contains("no resource that divvy convert reads") {
                *counts.entry("nothing to convert".to_owned()).or_default() += 1;
                continue;
            }
            assert!(!output.stdout.is_empty(), "{path}: {message}");
            let check = divvy_with(&text(&output), &["check", "--strict", "-"]);
            let is_valid = check.status.success();
            assert!(is_valid || code != Some(0), "{path}: {}", text(&check));
            let passes = if is_valid { "passes" } else { "does not pass" };
            let key = format!("exit code {}, {passes} a strict check", code.unwrap_or(-1));
            *counts.entry(key).or_default() += 1;
        }
        println!("{folder}: {} files", all.len());
        for (what, count) in counts {
            println!("  {count:4} {what}");
        }
    }
}
