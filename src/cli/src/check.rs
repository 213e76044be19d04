//! `divvy check`: errors and warnings in configurations.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use divvy::config::{self, ConfigError, ErrorKind};
use serde_json::json;

use crate::finding::{Finding, Severity};
use crate::near;
use crate::output::{Format, exit_code, print_json};
use crate::source::{self, FoundConfig, LineIndex, SourceFile};
use crate::warnings::{self, Surroundings};

/// Arguments of `divvy check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Finds divvy configurations in plain YAML or JSON, in WasmPlugin and TrafficExtension resources and
lists of them, in Envoy's bootstrap, plugin (ECDS) and EnvoyFilter, in YAML with several documents,
and in all .yaml, .yml and .json files of a folder.

Exit code 0: no errors; 1: errors; 2: a file cannot be read.

Examples:
  divvy check envoy/divvy.yaml
  divvy check --rps 20 envoy/edge.yaml envoy/plugin.yaml
  divvy check --strict --output json envoy/examples
  cat envoy/divvy.yaml | divvy check -")]
pub struct CheckArgs {
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Exit code 1 also for warnings
    #[arg(long)]
    pub strict: bool,
    /// Requests per second of a rollout in one proxy; warns if its guardrail sees too few
    #[arg(long, value_name = "NUMBER")]
    pub rps: Option<f64>,
}

/// Runs the verb.
pub fn run(args: &CheckArgs, format: Format) -> Result<ExitCode> {
    let files = source::read_all(&args.files)?;
    let mut findings = Vec::new();
    let mut configurations = 0;
    for file in &files {
        configurations += check(file, args.rps, &mut findings);
    }
    let errors = findings.iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    let errors = errors.count();
    let warnings = findings.len() - errors;
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => {
            let report = json!({
                "files": files.len(), "configurations": configurations,
                "errors": errors, "warnings": warnings, "findings": findings,
            });
            print_json(&report, &mut out)?;
        }
        Format::Text | Format::Markdown => {
            for finding in &findings {
                finding.show(&mut out)?;
            }
            let configurations = counted(configurations, "configuration");
            let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
            writeln!(out, "{configurations}: {errors}, {warnings}")?;
        }
    }
    Ok(exit_code(errors > 0 || (args.strict && warnings > 0)))
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Checks all configurations of a file. The number of configurations.
fn check(file: &SourceFile, rps: Option<f64>, findings: &mut Vec<Finding>) -> usize {
    let mut log = FindingLog {
        file,
        lines: &LineIndex::new(&file.text),
        findings,
    };
    let documents = match file.documents() {
        Ok(documents) => documents,
        Err(error) => {
            log.add(Severity::Error, error.offset, "", error.message);
            return 0;
        }
    };
    let found = file.find(&documents);
    // With config_discovery Envoy reads the filter from another file.
    let mut discovers = false;
    for document in &documents {
        document.walk(&mut |node| discovers |= node.get("config_discovery").is_some());
    }
    if found.is_empty() && file.named && !discovers {
        let message = "the file contains no divvy configuration".to_owned();
        log.add(Severity::Error, 0, "", message);
    }
    let surroundings = Surroundings::new(&documents);
    for found in &found {
        match found {
            Ok(found) => check_one(found, &surroundings, rps, &mut log),
            Err(error) => log.add(Severity::Error, error.offset, "", error.message.clone()),
        }
    }
    found.len()
}

fn check_one(
    found: &FoundConfig,
    surroundings: &Surroundings,
    rps: Option<f64>,
    log: &mut FindingLog<'_>,
) {
    let policy = match config::parse(&found.bytes) {
        Ok(policy) => policy,
        Err(errors) => {
            for error in errors.iter() {
                log.add_error(found, error);
            }
            if errors.further() > 0 {
                let message = format!("and {} more", errors.further());
                log.add(Severity::Error, found.offset_of("", None), "", message);
            }
            return;
        }
    };
    let raw = serde_json::from_slice(&found.bytes).unwrap_or_default();
    for warning in warnings::find(&policy, &raw, surroundings, rps) {
        let offset = found.offset_of(&warning.path, None);
        log.add(Severity::Warning, offset, &warning.path, warning.message);
    }
}

/// The offset of an error in the file.
fn offset_of(found: &FoundConfig, error: &ConfigError) -> usize {
    match &error.kind {
        ErrorKind::Syntax { line, column } => {
            let text = String::from_utf8_lossy(&found.bytes);
            let offset = LineIndex::new(&text).offset(*line, *column);
            found.offsets.in_file(offset)
        }
        ErrorKind::DuplicateKey => found.key_offset(&error.path),
        ErrorKind::UnknownField { field, .. } => found.offset_of(&error.path, Some(field)),
        _ => found.offset_of(&error.path, None),
    }
}

/// Collects the findings of a file.
struct FindingLog<'r> {
    file: &'r SourceFile,
    lines: &'r LineIndex<'r>,
    findings: &'r mut Vec<Finding>,
}

impl FindingLog<'_> {
    fn add_error(&mut self, found: &FoundConfig, error: &ConfigError) {
        let offset = offset_of(found, error);
        self.add(Severity::Error, offset, &error.path, error.message.clone());
        if let Some(finding) = self.findings.last_mut() {
            finding.suggestion = near::suggestion(&error.kind);
        }
    }

    fn add(&mut self, severity: Severity, offset: usize, path: &str, message: String) {
        let (line, column) = self.lines.position(offset);
        self.findings.push(Finding {
            severity,
            file: self.file.name.clone(),
            line,
            column,
            path: path.to_owned(),
            suggestion: None,
            message,
            source: self.lines.line(line).to_owned(),
        });
    }
}
