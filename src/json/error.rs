//! Configuration errors: what is wrong, and at which path. A leaf.

use std::cell::Cell;
use std::fmt;

/// Maximum number of errors that are kept. A configuration of 1 MiB can have more errors than
/// the memory of a proxy may hold.
const MAX_ERRORS: usize = 200;
/// Maximum length of a path, in bytes. Keys can be as long as the configuration.
const MAX_PATH_BYTES: usize = 300;
/// Maximum length of a message, in bytes. Messages quote values of the configuration.
const MAX_MESSAGE_BYTES: usize = 600;
/// Maximum length of a name in [`ErrorKind::UnknownName`], in bytes. No valid name is longer.
const MAX_NAME_BYTES: usize = 64;

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the value, such as `rollouts[0].strategy.canary.version`; empty for the
    /// whole configuration.
    pub path: String,
    /// The kind of error, for code.
    pub kind: ErrorKind,
    /// What is wrong and what to write instead, for people.
    pub message: String,
}

/// What kind of error it is. No code has to parse a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not JSON from this position on; line and column count from 1, the column in
    /// bytes.
    Syntax {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An object has a key twice. The path is that of the second one.
    DuplicateKey,
    /// An object has a field that it cannot have.
    UnknownField {
        /// The key of the field.
        field: String,
        /// The keys that the object can have.
        known: Vec<&'static str>,
    },
    /// An object lacks a field that it needs.
    MissingField,
    /// A value has the wrong JSON type.
    WrongType,
    /// A string is not one of a list of names.
    UnknownName {
        /// The string.
        name: String,
        /// The names.
        known: Vec<String>,
    },
    /// Any other error.
    Invalid,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.as_str() {
            "" => "configuration",
            path => path,
        };
        write!(f, "{path}: ")?;
        if let ErrorKind::Syntax { line, column } = self.kind {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The errors of a configuration, in the order in which they were found; one a line when
/// displayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    kept: Vec<ConfigError>,
    /// Number of errors that were not kept.
    further: usize,
}

impl Errors {
    fn push(&mut self, error: impl FnOnce() -> ConfigError) {
        if self.kept.len() < MAX_ERRORS {
            self.kept.push(error());
        } else {
            self.further = self.further.saturating_add(1);
        }
    }

    /// The first error.
    pub fn into_first(self) -> Option<ConfigError> {
        self.kept.into_iter().next()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The number of errors, with those that were not kept.
    pub fn count(&self) -> usize {
        self.kept.len().saturating_add(self.further)
    }

    /// The number of errors beyond the 200 that [`iter`](Self::iter) returns.
    pub const fn further(&self) -> usize {
        self.further
    }

    /// The first 200 errors.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.kept.iter()
    }

    /// The value, if there are no errors.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.kept.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        match self.further {
            0 => Ok(()),
            further => write!(f, "\nand {further} more"),
        }
    }
}

impl std::error::Error for Errors {}

/// The text of a value, cut at this number of bytes.
fn shorten(value: &dyn fmt::Display, bytes: usize) -> String {
    struct Buffer {
        text: String,
        left: usize,
    }

    impl fmt::Write for Buffer {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let end = part.floor_char_boundary(self.left);
            self.left = self.left.saturating_sub(part.len());
            self.text.push_str(part.get(..end).unwrap_or_default());
            if end < part.len() {
                self.text.push('…');
                return Err(fmt::Error);
            }
            Ok(())
        }
    }

    let mut buffer = Buffer {
        text: String::new(),
        left: bytes,
    };
    // The only error is that the buffer is full.
    let _ = fmt::Write::write_fmt(&mut buffer, format_args!("{value}"));
    buffer.text
}

/// The path of a value in a configuration, and the list to which its errors are added. The text
/// of the path is written only for an error.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    /// `None`: errors are dropped.
    errors: Option<&'a Cell<Errors>>,
    step: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    /// The whole configuration.
    Root,
    /// A field of an object.
    Field(&'a Segment<'a>, &'a str),
    /// An element of a list.
    Index(&'a Segment<'a>, usize),
}

impl<'a> Path<'a> {
    /// A path whose errors are dropped.
    pub const SILENT: Self = Self {
        errors: None,
        step: Segment::Root,
    };

    /// The path of the whole configuration.
    pub const fn root(errors: &'a Cell<Errors>) -> Self {
        Self {
            errors: Some(errors),
            step: Segment::Root,
        }
    }

    const fn with(&self, step: Segment<'a>) -> Self {
        Self {
            errors: self.errors,
            step,
        }
    }

    /// The path of a field of the object at this path.
    pub const fn field(&'a self, name: &'a str) -> Self {
        self.with(Segment::Field(&self.step, name))
    }

    /// The path of an element of the list at this path.
    pub const fn index(&'a self, index: usize) -> Self {
        self.with(Segment::Index(&self.step, index))
    }

    /// The same path, whose errors are added to another list.
    pub const fn collecting_in<'b>(&self, errors: &'b Cell<Errors>) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            errors: Some(errors),
            step: self.step,
        }
    }

    /// The index of an element of a list.
    pub const fn last_index(&self) -> Option<usize> {
        match self.step {
            Segment::Index(_, index) => Some(index),
            _ => None,
        }
    }

    /// Adds an error about this value.
    pub fn error(&self, message: impl fmt::Display) {
        self.error_of_kind(ErrorKind::Invalid, message);
    }

    /// Adds an error of a kind that code reacts to.
    pub fn error_of_kind(&self, kind: ErrorKind, message: impl fmt::Display) {
        self.push(kind, &message);
    }

    fn push(&self, kind: ErrorKind, message: &dyn fmt::Display) {
        self.update(|errors| {
            errors.push(|| ConfigError {
                path: shorten(&self.step, MAX_PATH_BYTES),
                kind,
                message: shorten(message, MAX_MESSAGE_BYTES),
            });
        });
    }

    /// Adds an error of another list.
    pub fn add(&self, error: ConfigError) {
        self.update(|errors| errors.push(|| error));
    }

    fn update<T: Default>(&self, change: impl FnOnce(&mut Errors) -> T) -> T {
        let Some(cell) = self.errors else {
            return T::default();
        };
        let mut errors = cell.take();
        let result = change(&mut errors);
        cell.set(errors);
        result
    }

    /// Adds the error that a string is not one of a list of names.
    pub fn unknown_name<'n>(&self, name: &str, known: impl Iterator<Item = &'n str>) {
        let mut names = Vec::new();
        for known in known {
            names.push(known);
        }
        self.not_one_of(name, &names);
    }

    /// Once in the module, not once per kind of list.
    #[inline(never)]
    fn not_one_of(&self, name: &str, known: &[&str]) {
        let known = known.iter().map(|known| shorten(known, MAX_NAME_BYTES));
        let known: Vec<_> = known.collect();
        let message = format!("{name:?} is not one of {}", known.join(", "));
        let name = shorten(&name, MAX_NAME_BYTES);
        self.error_of_kind(ErrorKind::UnknownName { name, known }, message);
    }

    /// The number of errors of all paths so far.
    pub fn error_count(&self) -> usize {
        self.update(|errors| errors.count())
    }
}

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Segment::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
