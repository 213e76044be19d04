//! `divvy check`: is this right?

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use divvy::config;
use serde_json::json;

use crate::finding::{Finding, Severity};
use crate::source::{self, File, Found, Lines, Trouble};
use crate::{Format, Outcome, near, warnings};

/// Says all that is wrong with configurations, wherever they stand
#[derive(Args, Debug)]
#[command(after_help = "\
Finds divvy's configuration in plain YAML or JSON, in WasmPlugin and TrafficExtension resources
and lists of them, in Envoy's bootstrap, plugin (ECDS) and EnvoyFilter, in YAML of several
documents, and in all .yaml, .yml and .json files of a folder.

Exit code 0: nothing is wrong; 1: something is; 2: a file cannot be read.

Examples:
  divvy check envoy/divvy.yaml
  divvy check --rps 20 envoy/edge.yaml envoy/plugin.yaml
  divvy check --strict --output json envoy/examples
  cat envoy/divvy.yaml | divvy check -")]
pub struct Check {
    /// Files, folders, or - for the standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Warnings are findings too: exit code 1
    #[arg(long)]
    pub strict: bool,
    /// Requests a second that a rollout gets in one proxy: can its guardrail judge?
    #[arg(long, value_name = "NUMBER")]
    pub rps: Option<f64>,
}

/// Runs it.
pub fn run(args: &Check, format: Format) -> Result<Outcome> {
    let files = source::read_all(&args.files)?;
    let mut findings = Vec::new();
    let mut configurations = 0;
    for file in &files {
        configurations += check(file, args.rps, &mut findings);
    }
    let errors = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count();
    let warnings = findings.len() - errors;
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => {
            let report = json!({
                "files": files.len(), "configurations": configurations,
                "errors": errors, "warnings": warnings, "findings": findings,
            });
            writeln!(out, "{report:#}")?;
        }
        Format::Text | Format::Markdown => {
            for finding in &findings {
                finding.show(&mut out)?;
            }
            let found = counted(configurations, "configuration");
            let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
            writeln!(out, "{found}: {errors}, {warnings}")?;
        }
    }
    let bad = errors > 0 || (args.strict && warnings > 0);
    Ok(Outcome::findings(bad))
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Checks all configurations of a file; how many there are.
pub fn check(file: &File, rps: Option<f64>, findings: &mut Vec<Finding>) -> usize {
    let lines = Lines::new(&file.text);
    let mut report = Report {
        file,
        lines: &lines,
        findings,
    };
    let documents = match file.documents() {
        Ok(documents) => documents,
        Err(error) => {
            report.add(Severity::Error, error.at, "", error.message);
            return 0;
        }
    };
    let all = file.find().unwrap_or_default();
    // Envoy may get the filter from another file.
    let mut discovers = false;
    for document in &documents {
        document.walk(&mut |node| discovers |= node.get("config_discovery").is_some());
    }
    if all.is_empty() && file.named && !discovers {
        let message = "there is no divvy configuration in it".to_owned();
        report.add(Severity::Error, 0, "", message);
    }
    let surroundings = warnings::Surroundings::of(&documents);
    for found in &all {
        match found {
            Ok(found) => one(found, &surroundings, rps, &mut report),
            Err(Trouble { at, message }) => {
                report.add(Severity::Error, *at, "", message.clone());
            }
        }
    }
    all.len()
}

fn one(
    found: &Found,
    surroundings: &warnings::Surroundings,
    rps: Option<f64>,
    report: &mut Report<'_>,
) {
    let policy = match config::parse(&found.bytes) {
        Ok(policy) => policy,
        Err(errors) => {
            for error in errors.iter() {
                let at = place(found, &error.path, &error.message);
                let message = match found.tree {
                    Some(_) => error.message.clone(),
                    None => without_place(&error.message),
                };
                report.add(Severity::Error, at, &error.path, message);
            }
            if errors.further() > 0 {
                let message = format!("and {} more", errors.further());
                report.add(Severity::Error, found.place("", None), "", message);
            }
            return;
        }
    };
    let raw = serde_json::from_slice(&found.bytes).unwrap_or_default();
    for warning in warnings::of(&policy, &raw, surroundings, rps) {
        let at = found.place(&warning.path, None);
        report.add(Severity::Warning, at, &warning.path, warning.message);
    }
}

/// Where an error stands in the file.
fn place(found: &Found, path: &str, message: &str) -> usize {
    if found.tree.is_none() {
        // It is no JSON: where not, its reader says.
        let text = String::from_utf8_lossy(&found.bytes);
        let error = serde_json::from_str::<serde::de::IgnoredAny>(&text).err();
        let offset = error.map(|error| Lines::new(&text).offset(error.line(), error.column()));
        return found.mapping.place(offset.unwrap_or_default());
    }
    if message.starts_with("this key stands here twice") {
        return found.key_place(path);
    }
    found.place(path, near::unknown_key(message))
}

/// What the reader of JSON says, without lines and columns that are not the file's.
fn without_place(message: &str) -> String {
    let Some((before, rest)) = message.split_once(" at line ") else {
        return message.to_owned();
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix(" column ").unwrap_or(rest);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

struct Report<'r> {
    file: &'r File,
    lines: &'r Lines<'r>,
    findings: &'r mut Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, severity: Severity, at: usize, path: &str, message: String) {
        let (line, column) = self.lines.position(at);
        self.findings.push(Finding {
            severity,
            file: self.file.name.clone(),
            line,
            column,
            path: path.to_owned(),
            suggestion: near::suggestion(&message),
            message,
            source: self.lines.line(line).to_owned(),
        });
    }
}
