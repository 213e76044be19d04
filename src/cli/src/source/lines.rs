//! From bytes of a text to lines and columns, and back.

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// The lines of a text.
    pub fn new(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1));
        Self {
            text,
            starts: starts.collect(),
        }
    }

    /// Line and column, both from 1, columns in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// The line of this number, without its end.
    pub fn line(&self, number: usize) -> &'t str {
        let start = self.starts.get(number.saturating_sub(1));
        let rest = start.map_or("", |start| &self.text[*start..]);
        rest.lines().next().unwrap_or_default()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Where a line begins.
    pub fn start(&self, number: usize) -> usize {
        let start = self.starts.get(number.saturating_sub(1));
        start.copied().unwrap_or(self.text.len())
    }

    /// The place that serde_json means: lines from 1, columns in bytes, of which the last
    /// that was read counts.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        (self.start(line) + column.saturating_sub(1)).min(self.text.len())
    }
}
