//! What all verbs print and return: formats, exit codes, JSON and percentages. Must not depend on
//! other modules.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use divvy::bucket::Share;
use serde::Serialize;

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

/// The exit code of a verb that succeeded: 1 with findings, otherwise 0.
pub fn exit_code(has_findings: bool) -> ExitCode {
    ExitCode::from(u8::from(has_findings))
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl Serialize, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// A share in percent.
pub fn percent(share: Share) -> f64 {
    f64::from(share.ppm()) / 1e4
}
