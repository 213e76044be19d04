//! The nodes of a YAML or JSON document with their positions.

use super::scalar;

/// A node of a YAML or JSON document.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// Byte offset of its start in the file.
    pub start: usize,
    /// Byte offset of its end: behind the last bracket, or behind the last scalar of a block. An alias stands for a
    /// node elsewhere.
    pub end: usize,
    /// Its value.
    pub kind: NodeKind,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Text, a number, a flag or null; which one depends on the YAML version.
    Scalar(SourceScalar),
    /// A list.
    List(Vec<SourceNode>),
    /// An object. Keys may be duplicate.
    Map(Vec<SourceEntry>),
}

/// A text, number, flag or null.
#[derive(Clone, Debug)]
pub struct SourceScalar {
    /// The text without escapes.
    pub text: String,
    /// How the file writes it.
    pub quoting: Quoting,
    /// Byte offset of its end in the file.
    pub end: usize,
}

/// How a file writes a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// Without quotes: a number, `true`, or text in YAML.
    Plain,
    /// In quotes.
    Quoted,
    /// A block that starts with `|`.
    Literal,
    /// A block that starts with `>`.
    Folded,
}

/// A key of an object and its value.
#[derive(Clone, Debug)]
pub struct SourceEntry {
    /// Its key.
    pub key: String,
    /// Whether the key has no quotes, so that `<<` is a merge key.
    pub is_plain: bool,
    /// Byte offset of the key in the file.
    pub start: usize,
    /// Its value.
    pub value: SourceNode,
}

/// The version of YAML: decides which plain scalars are flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlVersion {
    /// YAML 1.2 and JSON: `true` and `false`.
    V12,
    /// YAML 1.1, as in Kubernetes: also `no`, `off` and the like.
    V11,
}

impl SourceNode {
    /// The value of a key; of duplicate keys the last one, as in most parsers.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let entries = self.entries().iter();
        entries
            .rev()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The value of a path of keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of an object.
    pub fn entries(&self) -> &[SourceEntry] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list.
    pub fn elements(&self) -> &[Self] {
        match &self.kind {
            NodeKind::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether it is null, an empty document, or a key without a value.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar(scalar) => {
                scalar.quoting == Quoting::Plain
                    && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// Visits this node and all nodes below it.
    pub fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        for element in self.elements() {
            element.walk(visit);
        }
        for entry in self.entries() {
            entry.value.walk(visit);
        }
    }

    /// As JSON text, with duplicate keys, so that the filter's parser reports them.
    pub fn to_json(&self, version: YamlVersion) -> String {
        let mut json = String::new();
        self.write(version, &mut json);
        json
    }

    fn write(&self, version: YamlVersion, json: &mut String) {
        match &self.kind {
            NodeKind::Scalar(scalar) if scalar.quoting == Quoting::Plain => {
                json.push_str(&scalar::json(&scalar.text, version));
            }
            NodeKind::Scalar(scalar) => json.push_str(&scalar::quoted(&scalar.text)),
            NodeKind::List(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    element.write(version, json);
                }
                json.push(']');
            }
            NodeKind::Map(entries) => {
                json.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    let key = if entry.is_plain {
                        scalar::key(&entry.key, version)
                    } else {
                        entry.key.clone()
                    };
                    json.push_str(&scalar::quoted(&key));
                    json.push(':');
                    entry.value.write(version, json);
                }
                json.push('}');
            }
        }
    }

    /// The offset of the value at a path, or of its `key` if there is one. If the file does not
    /// have the value, the offset of the innermost node around it.
    pub fn offset_of(&self, path: &str, key: Option<&str>) -> usize {
        let mut node = self;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((next, left)) = node.step(rest) else {
                return node.start;
            };
            (node, rest) = (next, left);
        }
        // Of duplicate keys the second one is the error.
        let mut entries = node.entries().iter().rev();
        let named = key.and_then(|key| entries.find(|entry| entry.key == key));
        named.map_or(node.start, |entry| entry.start)
    }

    /// The offset of the key that is the last step of a path.
    pub fn key_offset(&self, path: &str) -> usize {
        let parent = path.rfind(['.', '[']).map_or("", |dot| &path[..dot]);
        let key = path[parent.len()..].trim_start_matches('.');
        self.offset_of(parent, Some(key))
    }

    /// The node at the first step of a path, and the rest of the path. Keys may contain dots.
    fn step<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        if let Some(rest) = path.strip_prefix('[') {
            let (index, rest) = rest.split_once(']')?;
            let element = self.elements().get(index.parse::<usize>().ok()?)?;
            return Some((element, rest.strip_prefix('.').unwrap_or(rest)));
        }
        let fits = |entry: &&SourceEntry| {
            path.strip_prefix(&*entry.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let entry = self
            .entries()
            .iter()
            .filter(fits)
            .max_by_key(|entry| entry.key.len())?;
        let rest = &path[entry.key.len()..];
        Some((&entry.value, rest.strip_prefix('.').unwrap_or(rest)))
    }
}
