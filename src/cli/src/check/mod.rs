//! `divvy check`: errors and warnings in configurations.

mod examine;
mod log;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::finding::Severity;
use crate::keys::KeysArgs;
use crate::limits;
use crate::output::{Format, exit_code, print_json};
use crate::palette::DIM;
use crate::source;

/// Arguments of `divvy check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Finds divvy configurations in plain YAML or JSON, in the resources WasmPlugin, TrafficExtension,
EnvoyExtensionPolicy, EnvoyFilter and ConfigMap and in lists of them, in Envoy's bootstrap and plugin
(ECDS) files, in YAML with several documents, and in all .yaml, .yml and .json files of a folder.

Files are read together: routes, clusters and connection managers in one are compared with the
configuration in another.

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
    #[arg(long, value_name = "NUMBER", value_parser = limits::rate)]
    pub rps: Option<f64>,
    /// The keys.
    #[command(flatten)]
    pub keys: KeysArgs,
}

/// Runs the verb.
pub fn run(args: &CheckArgs, format: Format) -> Result<ExitCode> {
    let set = source::read_all(&args.files)?;
    let report = examine::all(set, args.rps, &args.keys.ring()?);
    let findings = &report.findings;
    let errors = findings.iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    let errors = errors.count();
    let warnings = findings.len() - errors;
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => {
            let report = json!({
                "files": report.files, "configurations": report.configurations,
                "errors": errors, "warnings": warnings, "findings": findings,
                "skipped": report.skipped,
            });
            print_json(&report, &mut out)?;
        }
        Format::Text | Format::Markdown => {
            for finding in findings {
                finding.show(&mut out)?;
            }
            for skipped in &report.skipped {
                let (file, reason) = (&skipped.file, &skipped.reason);
                writeln!(out, "{DIM}{file}: skipped: {reason}{DIM:#}")?;
            }
            let configurations = counted(report.configurations, "configuration");
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
