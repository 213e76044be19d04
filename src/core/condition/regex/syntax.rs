//! The syntax of patterns: code points for literals, `.` and classes, and ASCII for `\d`, `\w`,
//! `\s`, `\b` and `(?i)`.
//!
//! The translation that comes with the parser offers either all of Unicode, with tables of
//! hundreds of kilobytes, or bytes.

use std::fmt::Display;

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassAsciiKind, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet,
    ClassSetItem, Flag, Flags, RepetitionKind, RepetitionRange,
};
use regex_syntax::hir::{
    Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, HirKind, Look, Repetition,
};

/// Maximum size of a pattern in states. Each code point, class, assertion and branch is one
/// state, and so is each copy of it that a counted repetition makes.
pub const MAX_STATES: usize = 3_276;
/// Number of ranges of a class that count as one more state.
const RANGES_PER_STATE: usize = 3;

/// Parses a pattern; the result matches only at the end of a value.
///
/// # Errors
/// What is wrong with the pattern.
pub(super) fn parse(pattern: &str, ignore_case: bool) -> Result<Hir, String> {
    let refused =
        |reason: &dyn Display| format!("{pattern:?} is not a regular expression: {reason}");
    let ast = ParserBuilder::new().build().parse(pattern);
    let ast = ast.map_err(|error| refused(error.kind()))?;
    let mut mode = Mode {
        ignore_case,
        ..Mode::default()
    };
    let expression = mode.translate(&ast).map_err(|reason| refused(&reason))?;
    if states(&expression) > MAX_STATES {
        return Err(format!(
            "{pattern:?} is too large: it has more than {MAX_STATES} states"
        ));
    }
    Ok(Hir::concat(vec![expression, Hir::look(Look::End)]))
}

/// The flags that are set at one place of a pattern. `u` has no effect.
#[derive(Clone, Copy, Default)]
struct Mode {
    ignore_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    crlf: bool,
    swap_greed: bool,
}

impl Mode {
    fn set(&mut self, flags: &Flags) {
        for (flag, field) in [
            (Flag::CaseInsensitive, &mut self.ignore_case),
            (Flag::MultiLine, &mut self.multi_line),
            (Flag::DotMatchesNewLine, &mut self.dot_matches_newline),
            (Flag::CRLF, &mut self.crlf),
            (Flag::SwapGreed, &mut self.swap_greed),
        ] {
            if let Some(value) = flags.flag_state(flag) {
                *field = value;
            }
        }
    }

    /// Translates a part of a pattern, and sets the flags that are in force behind it. As deep
    /// as the parser lets groups and repetitions nest: 250.
    fn translate(&mut self, ast: &Ast) -> Result<Hir, &'static str> {
        Ok(match ast {
            Ast::Empty(_) => Hir::empty(),
            Ast::Flags(set) => {
                self.set(&set.flags);
                Hir::empty()
            }
            Ast::Literal(literal) => self.literal(literal.c),
            Ast::Dot(_) => Hir::dot(match (self.dot_matches_newline, self.crlf) {
                (true, _) => Dot::AnyChar,
                (false, true) => Dot::AnyCharExceptCRLF,
                (false, false) => Dot::AnyCharExceptLF,
            }),
            Ast::Assertion(assertion) => Hir::look(self.look(&assertion.kind)),
            Ast::ClassUnicode(_) => return Err(UNICODE_CLASS),
            Ast::ClassPerl(class) => Hir::class(Class::Unicode(perl_class(class))),
            Ast::ClassBracketed(class) => Hir::class(Class::Unicode(self.class(class)?)),
            Ast::Repetition(repetition) => {
                let (min, max) = bounds(&repetition.op.kind);
                Hir::repetition(Repetition {
                    min,
                    max,
                    greedy: repetition.greedy != self.swap_greed,
                    sub: Box::new(self.translate(&repetition.ast)?),
                })
            }
            Ast::Group(group) => {
                let mut inner = *self;
                if let Some(flags) = group.flags() {
                    inner.set(flags);
                }
                inner.translate(&group.ast)?
            }
            Ast::Alternation(alternation) => Hir::alternation(self.all(&alternation.asts)?),
            Ast::Concat(concat) => Hir::concat(self.all(&concat.asts)?),
        })
    }

    fn all(&mut self, asts: &[Ast]) -> Result<Vec<Hir>, &'static str> {
        asts.iter().map(|ast| self.translate(ast)).collect()
    }

    fn literal(self, literal: char) -> Hir {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(literal, literal)]);
        if self.ignore_case {
            fold(&mut class);
        }
        // A class of one code point becomes a literal.
        Hir::class(Class::Unicode(class))
    }

    const fn look(self, kind: &AssertionKind) -> Look {
        match kind {
            AssertionKind::StartLine if self.multi_line && self.crlf => Look::StartCRLF,
            AssertionKind::StartLine if self.multi_line => Look::StartLF,
            AssertionKind::StartLine | AssertionKind::StartText => Look::Start,
            AssertionKind::EndLine if self.multi_line && self.crlf => Look::EndCRLF,
            AssertionKind::EndLine if self.multi_line => Look::EndLF,
            AssertionKind::EndLine | AssertionKind::EndText => Look::End,
            AssertionKind::WordBoundary => Look::WordAscii,
            AssertionKind::NotWordBoundary => Look::WordAsciiNegate,
            AssertionKind::WordBoundaryStart | AssertionKind::WordBoundaryStartAngle => {
                Look::WordStartAscii
            }
            AssertionKind::WordBoundaryEnd | AssertionKind::WordBoundaryEndAngle => {
                Look::WordEndAscii
            }
            AssertionKind::WordBoundaryStartHalf => Look::WordStartHalfAscii,
            AssertionKind::WordBoundaryEndHalf => Look::WordEndHalfAscii,
        }
    }

    fn class(self, bracketed: &ClassBracketed) -> Result<ClassUnicode, &'static str> {
        let ClassSet::Item(item) = &bracketed.kind else {
            return Err("set operations in a character class are not supported");
        };
        let items = match item {
            ClassSetItem::Union(union) => union.items.as_slice(),
            item => std::slice::from_ref(item),
        };
        let mut class = ClassUnicode::empty();
        for item in items {
            class.union(&class_item(item)?);
        }
        if self.ignore_case {
            fold(&mut class);
        }
        if bracketed.negated {
            class.negate();
        }
        Ok(class)
    }
}

const UNICODE_CLASS: &str = "Unicode character classes are not supported";

fn class_item(item: &ClassSetItem) -> Result<ClassUnicode, &'static str> {
    Ok(match item {
        ClassSetItem::Literal(literal) => {
            ClassUnicode::new([ClassUnicodeRange::new(literal.c, literal.c)])
        }
        ClassSetItem::Range(range) => {
            ClassUnicode::new([ClassUnicodeRange::new(range.start.c, range.end.c)])
        }
        ClassSetItem::Ascii(class) => ascii_class(&class.kind, class.negated),
        ClassSetItem::Perl(class) => perl_class(class),
        ClassSetItem::Unicode(_) => return Err(UNICODE_CLASS),
        ClassSetItem::Empty(_) => ClassUnicode::empty(),
        ClassSetItem::Bracketed(_) | ClassSetItem::Union(_) => {
            return Err("nested character classes are not supported");
        }
    })
}

fn perl_class(class: &ClassPerl) -> ClassUnicode {
    let kind = match class.kind {
        ClassPerlKind::Digit => ClassAsciiKind::Digit,
        ClassPerlKind::Space => ClassAsciiKind::Space,
        ClassPerlKind::Word => ClassAsciiKind::Word,
    };
    ascii_class(&kind, class.negated)
}

fn ascii_class(kind: &ClassAsciiKind, negated: bool) -> ClassUnicode {
    let ranges: &[(char, char)] = match kind {
        ClassAsciiKind::Alnum => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        ClassAsciiKind::Alpha => &[('A', 'Z'), ('a', 'z')],
        ClassAsciiKind::Ascii => &[('\0', '\x7f')],
        ClassAsciiKind::Blank => &[('\t', '\t'), (' ', ' ')],
        ClassAsciiKind::Cntrl => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        ClassAsciiKind::Digit => &[('0', '9')],
        ClassAsciiKind::Graph => &[('!', '~')],
        ClassAsciiKind::Lower => &[('a', 'z')],
        ClassAsciiKind::Print => &[(' ', '~')],
        ClassAsciiKind::Punct => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        ClassAsciiKind::Space => &[('\t', '\r'), (' ', ' ')],
        ClassAsciiKind::Upper => &[('A', 'Z')],
        ClassAsciiKind::Word => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        ClassAsciiKind::Xdigit => &[('0', '9'), ('A', 'F'), ('a', 'f')],
    };
    let ranges = ranges.iter();
    let mut class =
        ClassUnicode::new(ranges.map(|(start, end)| ClassUnicodeRange::new(*start, *end)));
    if negated {
        class.negate();
    }
    class
}

/// Adds the ASCII letters of the other case. Of a range with letters of both cases only the
/// lower-case ones are folded.
fn fold(class: &mut ClassUnicode) {
    let overlap = |range: &ClassUnicodeRange, first: char, last: char| {
        let (start, end) = (range.start().max(first), range.end().min(last));
        (start <= end).then_some((start, end))
    };
    let other_case = |range: &ClassUnicodeRange| match overlap(range, 'a', 'z') {
        Some((start, end)) => Some(ClassUnicodeRange::new(
            start.to_ascii_uppercase(),
            end.to_ascii_uppercase(),
        )),
        None => overlap(range, 'A', 'Z').map(|(start, end)| {
            ClassUnicodeRange::new(start.to_ascii_lowercase(), end.to_ascii_lowercase())
        }),
    };
    let folded = ClassUnicode::new(class.ranges().iter().filter_map(other_case));
    class.union(&folded);
}

const fn bounds(kind: &RepetitionKind) -> (u32, Option<u32>) {
    match kind {
        RepetitionKind::ZeroOrOne => (0, Some(1)),
        RepetitionKind::ZeroOrMore => (0, None),
        RepetitionKind::OneOrMore => (1, None),
        RepetitionKind::Range(RepetitionRange::Exactly(count)) => (*count, Some(*count)),
        RepetitionKind::Range(RepetitionRange::AtLeast(min)) => (*min, None),
        RepetitionKind::Range(RepetitionRange::Bounded(min, max)) => (*min, Some(*max)),
    }
}

/// The size of an expression in states.
fn states(expression: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(states).fold(0, usize::saturating_add);
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).chars().count(),
        HirKind::Class(Class::Unicode(class)) => {
            (class.ranges().len() / RANGES_PER_STATE).saturating_add(1)
        }
        HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min).max(1);
            let copies = usize::try_from(copies).unwrap_or(usize::MAX);
            states(&repetition.sub)
                .saturating_mul(copies)
                .saturating_add(1)
        }
        HirKind::Capture(capture) => states(&capture.sub),
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(parts) => sum(parts).saturating_add(parts.len()),
    }
}
