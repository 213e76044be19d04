//! `divvy promote`: passes a gate of a canary, in the file that has its configuration.

mod edit;
mod gates;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use similar::TextDiff;

use crate::limits;
use crate::output::{Format, print_json};
use crate::place::write_atomically;
use crate::source::LoadedConfig;
use edit::Edited;
use gates::OpenGate;

/// Arguments of `divvy promote`.
#[derive(Args, Debug)]
#[command(after_help = "\
Adds the gate with its instant to `passed` of the canary and prints the difference. Everything else in the
file stays as it is, comments too. FILE is anything in which divvy check finds a configuration as YAML or JSON:
a plain file, a WasmPlugin, a ConfigMap, a plugin file of Envoy.

Examples:
  divvy promote envoy/examples/ramp.yaml --dry-run
  divvy promote envoy/examples/ramp.yaml search --gate qa --at 2026-12-01T12:00:00Z --dry-run")]
pub struct PromoteArgs {
    /// The file with the configuration
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The rollout; by default the only one that has a gate that is not passed
    #[arg(value_name = "ROLLOUT")]
    pub rollout: Option<String>,
    /// The gate; by default the first that is not passed
    #[arg(long, value_name = "NAME")]
    pub gate: Option<String>,
    /// When the next step begins; by default now
    #[arg(long, value_name = "INSTANT", value_parser = limits::instant)]
    pub at: Option<String>,
    /// Prints the difference alone
    #[arg(long)]
    pub dry_run: bool,
    /// Name of the plugin, if the file has several configurations
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
}

/// Runs the verb.
pub fn run(args: &PromoteArgs, format: Format) -> Result<ExitCode> {
    if args.file.as_os_str() == "-" {
        bail!("promote changes a file: standard input is not one");
    }
    let (source, found) = LoadedConfig::find(&args.file, args.plugin.as_deref())?;
    let config = LoadedConfig::of(&source, &found)?;
    let gate = gates::choose(&config.raw, args.rollout.as_deref(), args.gate.as_deref())?;
    let now = || humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let at = args.at.clone().unwrap_or_else(now);
    let edited = edit::pass(&source, &found, &gate, &at)
        .with_context(|| format!("{}: cannot be changed without side effects", source.name))?;
    let diff = difference(&source.name, &edited);
    if !args.dry_run {
        // A link stays a link.
        let path = fs::canonicalize(&args.file)?;
        let bytes = fs::read(&path)?;
        // The text was read without it.
        let mark = match bytes.starts_with(b"\xef\xbb\xbf") && !edited.new.starts_with('\u{feff}') {
            true => "\u{feff}",
            false => "",
        };
        if bytes.get(mark.len()..) != Some(edited.old.as_bytes()) {
            bail!("{}: has changed since it was read", source.name);
        }
        write_atomically(&path, &format!("{mark}{}", edited.new))?;
    }
    let mut out = anstream::stdout().lock();
    let OpenGate { rollout, name, .. } = &gate;
    if format == Format::Json {
        let report = json!({
            "file": source.name, "rollout": rollout, "gate": name, "at": at, "diff": diff,
            "written": !args.dry_run,
        });
        print_json(&report, &mut out)?;
    } else {
        write!(out, "{diff}")?;
        let done = if args.dry_run {
            "would be passed"
        } else {
            "is passed"
        };
        writeln!(out, "{rollout}: gate {name} {done} at {at}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines that differ, as `diff -u` prints them.
fn difference(name: &str, edited: &Edited) -> String {
    let diff = TextDiff::from_lines(&*edited.old, &*edited.new);
    let mut unified = diff.unified_diff();
    unified.header(name, name).to_string()
}
