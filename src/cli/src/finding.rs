//! An error or a warning at a place of a file. Must not depend on the verbs.

use std::io::{self, Write};

use anstyle::AnsiColor;
use serde::Serialize;

use crate::palette::{BOLD, DIM};
use crate::warnings::Kind;

/// Columns of a source line that are shown; a whole configuration may be one line.
const WIDTH: usize = 100;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The filter refuses the configuration.
    Error,
    /// The filter accepts the configuration, which probably does not do what it means.
    Warning,
}

/// An error or a warning.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// The kind of a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<Kind>,
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path in the configuration.
    pub path: String,
    /// The message.
    pub message: String,
    /// The spelling that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The line of the file.
    pub source: String,
}

impl Finding {
    /// Writes `file:line:column: path: message`, and the line with a mark below the column.
    pub fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let (color, label) = match self.severity {
            Severity::Error => (AnsiColor::Red, ""),
            Severity::Warning => (AnsiColor::Yellow, "warning"),
        };
        let mark = color.on_default().bold();
        let label = match label {
            "" => String::new(),
            label => format!("{mark}{label}{mark:#}: "),
        };
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        let path = match &*self.path {
            "" => "configuration",
            path => path,
        };
        write!(out, "{BOLD}{file}:{line}:{column}:{BOLD:#} {label}")?;
        write!(out, "{mark}{path}{mark:#}: {message}")?;
        match self.warning {
            Some(kind) => writeln!(out, " {DIM}[{}]{DIM:#}", kind.name())?,
            None => writeln!(out)?,
        }
        let skipped = column.saturating_sub(WIDTH * 3 / 5);
        let shown: String = self.source.chars().skip(skipped).take(WIDTH).collect();
        if shown.trim().is_empty() {
            return Ok(());
        }
        let shown = shown.replace('\t', " ");
        let indent = column.saturating_sub(skipped + 1);
        let hint = self.suggestion.as_deref().unwrap_or_default();
        let pointer = format!("{:indent$}{mark}^{mark:#} {hint}", "");
        writeln!(out, "{DIM}{line:>5} |{DIM:#} {shown}")?;
        writeln!(out, "{DIM}      |{DIM:#} {}", pointer.trim_end())
    }
}
