//! The nodes of a manifest. Must not depend on how they are written.

use crate::source::tree::{NodeKind, Quoting, SourceNode, YamlVersion};

/// A node of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestNode {
    /// Text, whatever it looks like.
    Text(String),
    /// A number, flag or null, as JSON writes it.
    Literal(String),
    /// A list.
    List(Vec<ManifestNode>),
    /// An object, in the order in which it is written.
    Map(Vec<ManifestEntry>),
}

/// An entry of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Lines of the comment above it, without `#`.
    pub comment: Vec<String>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: ManifestNode,
}

/// An object with these entries.
pub fn object<'k>(entries: impl IntoIterator<Item = (&'k str, ManifestNode)>) -> ManifestNode {
    let entries = entries.into_iter().map(|(key, value)| ManifestEntry {
        comment: Vec::new(),
        key: key.to_owned(),
        value,
    });
    ManifestNode::Map(entries.collect())
}

/// A list of these nodes.
pub fn list(elements: impl IntoIterator<Item = ManifestNode>) -> ManifestNode {
    ManifestNode::List(elements.into_iter().collect())
}

/// A list of these texts.
pub fn texts<T: AsRef<str>>(elements: impl IntoIterator<Item = T>) -> ManifestNode {
    list(elements.into_iter().map(|text| text.as_ref().into()))
}

impl ManifestNode {
    /// The same values without positions. Texts without quotes have the type that the YAML version gives them.
    pub fn of(node: &SourceNode, version: YamlVersion) -> Self {
        match &node.kind {
            NodeKind::Scalar(scalar) if scalar.quoting == Quoting::Plain => {
                let json = node.to_json(version);
                match serde_json::from_str(&json) {
                    Ok(text) => Self::Text(text),
                    Err(_) => Self::Literal(json),
                }
            }
            NodeKind::Scalar(scalar) => Self::Text(scalar.text.clone()),
            NodeKind::List(elements) => list(elements.iter().map(|one| Self::of(one, version))),
            NodeKind::Map(entries) => object(
                entries
                    .iter()
                    .map(|entry| (&*entry.key, Self::of(&entry.value, version))),
            ),
        }
    }

    /// The object with one more entry. Has no effect on other nodes.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<ManifestNode>) -> Self {
        self.commented("", key, value)
    }

    /// The object with one more entry below a comment, whose lines are separated by line breaks.
    #[must_use]
    pub fn commented(mut self, comment: &str, key: &str, value: impl Into<ManifestNode>) -> Self {
        if let Self::Map(entries) = &mut self {
            entries.push(ManifestEntry {
                comment: comment.lines().map(str::to_owned).collect(),
                key: key.to_owned(),
                value: value.into(),
            });
        }
        self
    }

    /// The object with this entry if there is a value.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<ManifestNode>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| &entry.value)
    }

    /// Whether it is an object or a list without elements.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::List(elements) => elements.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Text(_) | Self::Literal(_) => false,
        }
    }

    /// Levels of lists and objects, 0 for a scalar.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Text(_) | Self::Literal(_) => 0,
            Self::List(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(entries) => {
                let depths = entries.iter().map(|entry| entry.value.depth());
                1 + depths.max().unwrap_or(0)
            }
        }
    }

    /// Whether a comment stands in it.
    pub(super) fn has_comments(&self) -> bool {
        match self {
            Self::Text(_) | Self::Literal(_) => false,
            Self::List(elements) => elements.iter().any(Self::has_comments),
            Self::Map(entries) => entries
                .iter()
                .any(|entry| !entry.comment.is_empty() || entry.value.has_comments()),
        }
    }
}

impl From<&str> for ManifestNode {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ManifestNode {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for ManifestNode {
    fn from(number: u64) -> Self {
        Self::Literal(number.to_string())
    }
}

impl From<bool> for ManifestNode {
    fn from(flag: bool) -> Self {
        Self::Literal(flag.to_string())
    }
}
