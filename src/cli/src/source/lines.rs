//! From byte offsets in a text to lines and columns, and back.

use std::sync::Arc;

/// The offsets at which the lines of a text start.
#[derive(Clone, Debug)]
pub struct LineIndex<'t> {
    text: &'t str,
    starts: Arc<[usize]>,
}

/// A text with the starts of its lines. Copies share both.
#[derive(Clone, Debug)]
pub struct LinedText {
    text: Arc<str>,
    starts: Arc<[usize]>,
}

impl LinedText {
    /// The text with its lines.
    pub fn new(text: &str) -> Self {
        let LineIndex { starts, .. } = LineIndex::new(text);
        Self {
            text: text.into(),
            starts,
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its lines.
    pub fn lines(&self) -> LineIndex<'_> {
        LineIndex {
            text: &self.text,
            starts: Arc::clone(&self.starts),
        }
    }
}

impl<'t> LineIndex<'t> {
    /// The lines of this text.
    pub fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n');
        let starts = std::iter::once(0).chain(ends.map(|(end, _)| end + 1));
        Self {
            text,
            starts: starts.collect(),
        }
    }

    /// Line and column of an offset, both from 1; columns are characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// The text of a line, numbered from 1, without its line break.
    pub fn line(&self, number: usize) -> &'t str {
        let rest = &self.text[self.start(number)..];
        rest.lines().next().unwrap_or_default()
    }

    /// The offset at which a line starts, numbered from 1.
    pub fn start(&self, number: usize) -> usize {
        let start = self.starts.get(number.saturating_sub(1));
        start.copied().unwrap_or(self.text.len())
    }

    /// The offset of a position in an error of serde_json: lines from 1, columns in bytes, the
    /// column of the last byte that was read.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.start(line);
        (start + column.saturating_sub(1)).min(self.text.len())
    }
}
