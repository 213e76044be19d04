//! The nodes of a YAML or JSON document with their positions.

use std::fmt::Write as _;

/// A node of a YAML or JSON document.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// Byte offset of its start in the file.
    pub start: usize,
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
            NodeKind::Scalar(scalar) => scalar.write(version, json),
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
                    quote(&entry.key, json);
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

impl SourceScalar {
    fn write(&self, version: YamlVersion, json: &mut String) {
        if self.quoting != Quoting::Plain {
            return quote(&self.text, json);
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => json.push_str("null"),
            "true" | "True" | "TRUE" => json.push_str("true"),
            "false" | "False" | "FALSE" => json.push_str("false"),
            text if version == YamlVersion::V11 && is_one_of(text, ["y", "yes", "on"]) => {
                json.push_str("true");
            }
            text if version == YamlVersion::V11 && is_one_of(text, ["n", "no", "off"]) => {
                json.push_str("false");
            }
            text => match number(text) {
                Some(number) => json.push_str(&number),
                None => quote(text, json),
            },
        }
    }
}

/// Whether the text is one of the words in a spelling of YAML 1.1: `no`, `No` or `NO`.
fn is_one_of<const N: usize>(text: &str, words: [&str; N]) -> bool {
    words.iter().any(|word| {
        let mut title = (*word).to_owned();
        title[..1].make_ascii_uppercase();
        text == *word || text == title || text == word.to_ascii_uppercase()
    })
}

/// A YAML number as JSON.
fn number(text: &str) -> Option<String> {
    let is_plain =
        text.starts_with(['-', '+', '.']) || text.starts_with(|c: char| c.is_ascii_digit());
    if !is_plain {
        return None;
    }
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(text.to_owned());
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            let value = u64::from_str_radix(digits, radix).ok()?;
            return Some(format!("{sign}{value}"));
        }
    }
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+');
    let value: f64 = text.chars().all(allowed).then(|| text.parse().ok())??;
    value.is_finite().then(|| value.to_string())
}

fn quote(text: &str, json: &mut String) {
    // A string always serializes.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let _ = write!(json, "{quoted}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_type_of_the_yaml_version() {
        for (text, modern, kubernetes) in [
            ("no", "\"no\"", "false"),
            ("On", "\"On\"", "true"),
            ("oN", "\"oN\"", "\"oN\""),
            ("true", "true", "true"),
            ("~", "null", "null"),
            ("5", "5", "5"),
            ("+5", "5", "5"),
            (".5", "0.5", "0.5"),
            ("0x10", "16", "16"),
            ("30s", "\"30s\"", "\"30s\""),
            ("-", "\"-\"", "\"-\""),
            (".inf", "\".inf\"", "\".inf\""),
            ("2026-12-01", "\"2026-12-01\"", "\"2026-12-01\""),
        ] {
            let scalar = SourceScalar {
                text: text.to_owned(),
                quoting: Quoting::Plain,
                end: 0,
            };
            for (version, expected) in [(YamlVersion::V12, modern), (YamlVersion::V11, kubernetes)]
            {
                let mut json = String::new();
                scalar.write(version, &mut json);
                assert_eq!(json, expected, "{text}, {version:?}");
            }
        }
    }
}
