//! The `divvy` command line: one module for each verb, all on the filter's own core.
//!
//! Nothing here decides: versions, shares, verdicts and configuration errors come from the
//! `divvy` crate, compiled natively.

pub mod check;
pub mod diff;
pub mod environment;
pub mod explain;
pub mod finding;
mod near;
mod palette;
mod population;
pub mod schema;
pub mod simulate;
pub mod source;
pub mod top;
pub mod warnings;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use divvy::bucket::Share;
use serde::Serialize;
use serde_json::Value;

/// Checks divvy configurations, explains decisions, and shows the effect of a change
#[derive(Debug, Parser)]
#[command(name = "divvy", version, max_term_width = 100)]
pub struct Cli {
    /// Output format: text for people or JSON for programs
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
    /// A Markdown table for pull requests; only diff has it.
    Markdown,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Reports errors and warnings in configurations
    Check(check::CheckArgs),
    /// Shows the version of a request, and each step of the decision
    Explain(explain::ExplainArgs),
    /// Lists the users who change version when one configuration replaces another
    Diff(diff::DiffArgs),
    /// Reports the versions of many users, and simulates guardrails
    Simulate(simulate::SimulateArgs),
    /// Prints the JSON Schema of a configuration, for editors
    Schema(schema::SchemaArgs),
    /// Shows traffic, shares and guardrails of running proxies
    Top(top::TopArgs),
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line. Exit code: 0 without findings, 1 with findings, 2 if the command
/// failed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.output == Format::Markdown && !matches!(cli.verb, Verb::Diff(_)) {
        let message = "--output markdown works only with divvy diff";
        Cli::command()
            .error(ErrorKind::InvalidValue, message)
            .exit();
    }
    let result = match &cli.verb {
        Verb::Check(args) => check::run(args, cli.output),
        Verb::Diff(args) => diff::run(args, cli.output),
        Verb::Explain(args) => explain::run(args, cli.output),
        Verb::Simulate(args) => simulate::run(args, cli.output),
        Verb::Schema(args) => schema::run(args),
        Verb::Top(args) => top::run(args, cli.output),
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "divvy", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        // The reader of a pipe has read enough, as `head` does.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        anstream::eprintln!("divvy: {error:#}");
        ExitCode::from(2)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit code of a verb that succeeded: 1 with findings, otherwise 0.
fn exit_code(has_findings: bool) -> ExitCode {
    ExitCode::from(u8::from(has_findings))
}

fn print_json(value: &impl Serialize, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// The time of `--at` in milliseconds since 1970; the current time without it.
fn time_or_now(at: Option<&str>) -> Result<u64> {
    let instant = match at {
        Some(text) => humantime::parse_rfc3339(text)
            .with_context(|| format!("{text:?} is not an instant such as 2026-12-01T09:00:00Z"))?,
        None => SystemTime::now(),
    };
    let since = instant.duration_since(SystemTime::UNIX_EPOCH);
    Ok(u64::try_from(
        since.context("the time is before 1970")?.as_millis(),
    )?)
}

fn percent(share: Share) -> f64 {
    f64::from(share.ppm()) / 1e4
}

/// The elements of a list in a configuration; empty if the field is missing.
fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    let list = value.get(field).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The text of a field; empty if it is missing.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The salt of a rollout, which is its name by default.
fn salt(rollout: &Value) -> &str {
    match text(rollout, "salt") {
        "" => text(rollout, "name"),
        salt => salt,
    }
}
