//! From byte offsets in a scalar's text to offsets in the file around it.

use std::sync::Arc;

use super::lines::LineIndex;
use super::tree::{Quoting, SourceScalar};

/// Maps offsets in a text to offsets in the file that contains it. Copies share their tables: a text may have many
/// documents.
#[derive(Clone, Debug)]
pub enum OffsetMap {
    /// The text is a part of the file that starts at this offset.
    From(usize),
    /// The text was folded: this offset stands for all of it.
    At(usize),
    /// The offset of each byte of the text, which has escapes in the file.
    Bytes(Arc<[usize]>),
    /// The start of each line: in the text, and in the file.
    LineIndex(Arc<[(usize, usize)]>),
    /// The first map leads to a text that is itself part of a file.
    Within(Arc<[Self; 2]>),
}

impl OffsetMap {
    /// For a scalar that starts at this offset of the file.
    pub fn new(file: &str, lines: &LineIndex<'_>, start: usize, scalar: &SourceScalar) -> Self {
        match scalar.quoting {
            Quoting::Literal => block(file, lines, start, scalar),
            Quoting::Folded => Self::At(start),
            Quoting::Plain | Quoting::Quoted => {
                let written = &file[start..scalar.end.clamp(start, file.len())];
                match written.as_bytes().first() {
                    _ if written.trim_end().contains('\n') => Self::At(start),
                    Some(quote @ (b'"' | b'\'')) => {
                        let places = byte_offsets(written, char::from(*quote)).into_iter();
                        Self::Bytes(places.map(|place| start + place).collect())
                    }
                    _ => Self::From(start),
                }
            }
        }
    }

    /// This map into a text, continued by the map of that text into the file.
    pub fn within(self, outer: &Self) -> Self {
        match outer {
            Self::From(0) => self,
            outer => Self::Within(Arc::new([self, outer.clone()])),
        }
    }

    /// The offset in the file of an offset in the text.
    pub fn in_file(&self, offset: usize) -> usize {
        match self {
            Self::From(start) => start + offset,
            Self::At(start) => *start,
            Self::Within(maps) => maps[1].in_file(maps[0].in_file(offset)),
            Self::Bytes(places) => {
                let last = places.len().saturating_sub(1);
                places.get(offset.min(last)).copied().unwrap_or_default()
            }
            Self::LineIndex(lines) => {
                let line = lines.partition_point(|(own, _)| *own <= offset);
                let (own, file) = lines
                    .get(line.saturating_sub(1))
                    .copied()
                    .unwrap_or_default();
                file + (offset - own)
            }
        }
    }
}

/// A block scalar: each of its lines is a line of the file without the indentation.
fn block(file: &str, lines: &LineIndex<'_>, start: usize, scalar: &SourceScalar) -> OffsetMap {
    // The scalar starts with its `|` or with its content.
    let (first, _) = lines.position(start);
    let header = file[start..].starts_with('|');
    let first = if header { first + 1 } else { first };
    let mut own = 0;
    let mut table = Vec::new();
    for (line, number) in scalar.text.split_inclusive('\n').zip(first..) {
        let theirs = lines.line(number);
        let indent = theirs
            .trim_end()
            .len()
            .saturating_sub(line.trim_end().len());
        table.push((own, lines.start(number) + indent));
        own += line.len();
    }
    OffsetMap::LineIndex(table.into())
}

/// For each byte of a quoted text, the offset of its character in the quoted form.
fn byte_offsets(written: &str, quote: char) -> Vec<usize> {
    let mut places = Vec::with_capacity(written.len());
    let mut at = 1;
    while let Some(next) = written.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &written[at + next.len_utf8()..];
        // Bytes in the quoted form and in the text.
        let (length, bytes) = match next {
            '\'' if quote == '\'' && rest.starts_with('\'') => (2, 1),
            next if next == quote => break,
            '\\' if quote == '"' => escape(rest),
            next => (next.len_utf8(), next.len_utf8()),
        };
        places.extend(std::iter::repeat_n(at, bytes));
        at += length;
    }
    places.push(at.min(written.len()));
    places
}

/// The length of an escape with its backslash, and the length of its character; `rest` is the
/// text after the backslash.
fn escape(rest: &str) -> (usize, usize) {
    let digits = match rest.bytes().next() {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        Some(byte) if byte.is_ascii() => return (2, 1),
        _ => return (1, 1),
    };
    let code = rest.get(1..=digits);
    let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let character = code.and_then(char::from_u32);
    (2 + digits, character.map_or(1, char::len_utf8))
}
