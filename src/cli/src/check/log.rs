//! Collects findings with their positions.

use divvy::config::{ConfigError, ErrorKind};

use crate::finding::{Finding, Severity};
use crate::near;
use crate::source::{FoundConfig, LineIndex, LinedText, SourceFile};
use crate::warnings::Kind;

/// The findings of all files.
#[derive(Debug, Default)]
pub(super) struct FindingLog {
    pub findings: Vec<Finding>,
    /// The name and the lines of the last file.
    last: Option<(String, LinedText)>,
}

/// The place and the text of a finding.
pub(super) struct Entry<'e> {
    pub severity: Severity,
    pub kind: Option<Kind>,
    pub offset: usize,
    pub path: &'e str,
    pub message: String,
}

impl<'e> Entry<'e> {
    pub fn error(offset: usize, path: &'e str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            kind: None,
            offset,
            path,
            message: message.into(),
        }
    }

    pub fn warning(kind: Kind, offset: usize, path: &'e str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            kind: Some(kind),
            ..Self::error(offset, path, message)
        }
    }
}

impl FindingLog {
    pub fn add_error(&mut self, file: &SourceFile, found: &FoundConfig, error: &ConfigError) {
        let offset = offset_of(found, error);
        self.add(file, Entry::error(offset, &error.path, &*error.message));
        if let Some(finding) = self.findings.last_mut() {
            finding.suggestion = near::suggestion(&error.kind);
        }
    }

    pub fn add(&mut self, file: &SourceFile, entry: Entry<'_>) {
        if self
            .last
            .as_ref()
            .is_none_or(|(name, _)| *name != file.name)
        {
            self.last = Some((file.name.clone(), LinedText::new(&file.text)));
        }
        let Some((_, text)) = &self.last else { return };
        let lines = text.lines();
        let (line, column) = lines.position(entry.offset);
        self.findings.push(Finding {
            severity: entry.severity,
            warning: entry.kind,
            file: file.name.clone(),
            line,
            column,
            path: entry.path.to_owned(),
            suggestion: None,
            message: entry.message,
            source: lines.line(line).to_owned(),
        });
    }

    /// A finding about a whole file or folder.
    pub fn add_whole(&mut self, name: &str, message: impl Into<String>) {
        self.findings.push(Finding {
            severity: Severity::Error,
            warning: None,
            file: name.to_owned(),
            line: 1,
            column: 1,
            path: String::new(),
            suggestion: None,
            message: message.into(),
            source: String::new(),
        });
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
