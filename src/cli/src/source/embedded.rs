//! Text inside a scalar: where each of its bytes stands in the file.

use super::Lines;
use super::tree::{Scalar, Style};

/// From an offset in a text to one in the file that it stands in.
#[derive(Clone, Debug)]
pub enum Mapping {
    /// The text is the file, from here on.
    From(usize),
    /// All of it stands here: it was folded, so its parts have no places.
    At(usize),
    /// Byte by byte: escapes are longer in the file.
    Bytes(Vec<usize>),
    /// Line by line: where each begins in the text, and where in the file.
    Lines(Vec<(usize, usize)>),
}

impl Mapping {
    /// For a scalar that begins at `start`.
    pub fn of(file: &str, lines: &Lines<'_>, start: usize, scalar: &Scalar) -> Self {
        match scalar.style {
            Style::Literal => block(file, lines, start, scalar),
            Style::Folded => Self::At(start),
            Style::Plain | Style::Quoted => {
                let written = &file[start..scalar.end.clamp(start, file.len())];
                match written.as_bytes().first() {
                    _ if written.trim_end().contains('\n') => Self::At(start),
                    Some(quote @ (b'"' | b'\'')) => {
                        let places = places(written, char::from(*quote)).into_iter();
                        Self::Bytes(places.map(|place| start + place).collect())
                    }
                    _ => Self::From(start),
                }
            }
        }
    }

    /// Where this byte of the text stands.
    pub fn place(&self, offset: usize) -> usize {
        match self {
            Self::From(start) => start + offset,
            Self::At(start) => *start,
            Self::Bytes(places) => {
                let last = places.len().saturating_sub(1);
                places.get(offset.min(last)).copied().unwrap_or_default()
            }
            Self::Lines(lines) => {
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

/// Of a block each line is a line of the file with less indentation.
fn block(file: &str, lines: &Lines<'_>, start: usize, scalar: &Scalar) -> Mapping {
    // The scalar begins at its `|`, or with its content.
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
    Mapping::Lines(table)
}

/// Where each byte of a quoted text begins, as it is written.
fn places(written: &str, quote: char) -> Vec<usize> {
    let mut places = Vec::with_capacity(written.len());
    let mut at = 1;
    while let Some(next) = written.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &written[at + next.len_utf8()..];
        // How long it is as written, and what it stands for.
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

/// The length of an escape, whose backslash was read, and of what it stands for.
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
