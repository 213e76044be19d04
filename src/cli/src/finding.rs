//! What is wrong, or looks wrong, at a place of a file.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The filter refuses it.
    Error,
    /// The filter takes it, and it does not do what it seems to say.
    Warning,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Where in the configuration.
    pub path: String,
    /// What.
    pub message: String,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The line as it stands in the file.
    pub source: String,
}

impl Finding {
    /// For people: `file:line:column: path: message`, and the line.
    pub fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        let color = match self.severity {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
        };
        let marked = color.on_default().bold();
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
        let warning = match self.severity {
            Severity::Error => String::new(),
            Severity::Warning => format!("{marked}warning{marked:#}: "),
        };
        let place = format!("{file}:{line}:{column}:");
        writeln!(
            out,
            "{bold}{place}{bold:#} {warning}{marked}{path}{marked:#}: {message}"
        )?;
        // A whole configuration may stand in one line.
        let from = column.saturating_sub(60);
        let shown: String = self.source.chars().skip(from).take(100).collect();
        if shown.trim().is_empty() {
            return Ok(());
        }
        let shown = shown.replace('\t', " ");
        let gap = " ".repeat(column.saturating_sub(1).saturating_sub(from));
        let hint = self.suggestion.as_deref().unwrap_or_default();
        writeln!(out, "{dim}{line:>5} |{dim:#} {shown}")?;
        writeln!(
            out,
            "{dim}      |{dim:#} {}",
            format!("{gap}{marked}^{marked:#} {hint}").trim_end()
        )
    }
}
