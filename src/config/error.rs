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

/// Everything that is wrong with a configuration; one a line when displayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<ConfigError>);

impl Errors {
    /// Notes an error.
    pub(super) fn add(&mut self, at: At<'_>, message: impl Into<String>) {
        self.0.push(ConfigError {
            path: at.to_string(),
            message: message.into(),
        });
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// The value, if nothing was wrong with it.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

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
