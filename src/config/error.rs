//! What is wrong, and where.

use std::fmt;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where: `rollouts[0].strategy.canary.version`; empty for the whole.
    pub path: String,
    /// What, and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "configuration: {}", self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// How many errors are kept: more than anybody reads, and few enough that no
/// configuration fills the memory of the proxy with what is wrong with it.
const KEPT: usize = 200;
/// How many bytes of a path are kept, and of a message: keys and names in them can be as
/// long as the configuration.
const PATH_BYTES: usize = 300;
const MESSAGE_BYTES: usize = 600;

/// Everything that is wrong with a configuration; one a line when displayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    kept: Vec<ConfigError>,
    /// How many there are beyond those that are kept.
    further: usize,
}

impl Errors {
    /// Notes an error.
    pub(super) fn add<'m>(&mut self, at: At<'_>, message: impl Into<Message<'m>>) {
        match message.into() {
            Message::Plain(text) => self.note(&at, text),
            Message::Put(arguments) => self.put(&at, arguments),
        }
    }

    // Both once, not in each of the hundred places where something can be wrong.
    #[inline(never)]
    fn note(&mut self, at: &At<'_>, message: &str) {
        self.put(at, format_args!("{message}"));
    }

    #[inline(never)]
    fn put(&mut self, at: &At<'_>, message: fmt::Arguments<'_>) {
        if self.kept.len() >= KEPT {
            self.further = self.further.saturating_add(1);
            return;
        }
        self.kept.push(ConfigError {
            path: shortened(format_args!("{at}"), PATH_BYTES),
            message: shortened(message, MESSAGE_BYTES),
        });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.kept.len().saturating_add(self.further)
    }

    /// How many there are beyond those that [`iter`](Self::iter) goes over: the first 200.
    pub const fn further(&self) -> usize {
        self.further
    }

    /// The first 200, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.kept.iter()
    }

    /// The value, if nothing was wrong with it.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
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

/// What is wrong, as text or as what a text is to be put together from.
pub(super) enum Message<'m> {
    Plain(&'m str),
    Put(fmt::Arguments<'m>),
}

impl<'m> From<&'m str> for Message<'m> {
    fn from(text: &'m str) -> Self {
        Self::Plain(text)
    }
}

impl<'m> From<&'m String> for Message<'m> {
    fn from(text: &'m String) -> Self {
        Self::Plain(text)
    }
}

impl<'m> From<fmt::Arguments<'m>> for Message<'m> {
    fn from(arguments: fmt::Arguments<'m>) -> Self {
        Self::Put(arguments)
    }
}

/// As much of a text as there is room for.
fn shortened(text: fmt::Arguments<'_>, bytes: usize) -> String {
    struct Room {
        text: String,
        left: usize,
    }

    impl fmt::Write for Room {
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

    let mut room = Room {
        text: String::new(),
        left: bytes,
    };
    // An error says that it is full, which is what it is for.
    let _ = fmt::Write::write_fmt(&mut room, text);
    room.text
}

/// The way to a place in the configuration, written out only when something is wrong
/// there.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
    /// A path that somebody else wrote out, below another.
    Below(&'a At<'a>, &'a str),
}

impl<'a> At<'a> {
    // Not in each of the hundreds of places that go through one.
    #[inline(never)]
    pub(super) const fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) const fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// `.` and the empty path are this place itself.
    pub(super) fn below(&'a self, path: &'a str) -> Self {
        match path {
            "" | "." => *self,
            path => Self::Below(self, path),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(At::Root, name) | Self::Below(At::Root, name) => f.write_str(name),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Below(parent, path) if path.starts_with('[') => write!(f, "{parent}{path}"),
            Self::Field(parent, name) | Self::Below(parent, name) => write!(f, "{parent}.{name}"),
        }
    }
}
