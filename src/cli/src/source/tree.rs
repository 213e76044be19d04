//! A file's nodes and where each of them stands.

use std::fmt::Write as _;

/// A node of a YAML or JSON document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins, in bytes from the beginning of the file.
    pub start: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text, numbers and the like: what it means depends on who reads it.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// An object, its members in their order; a key may come twice.
    Map(Vec<Member>),
}

/// A scalar.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text, unescaped.
    pub text: String,
    /// How it is written.
    pub style: Style,
    /// Where it ends.
    pub end: usize,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: a number, `true`, or text in YAML.
    Plain,
    /// In quotes.
    Quoted,
    /// A block that begins with `|`.
    Literal,
    /// A block that begins with `>`.
    Folded,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its key.
    pub key: String,
    /// Where the key begins.
    pub start: usize,
    /// Its value.
    pub value: Node,
}

/// Who reads a document: that decides which plain scalars are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// YAML 1.2 and JSON: only `true` and `false` are flags.
    Modern,
    /// Kubernetes, which reads YAML 1.1: `no` and `off` are flags as well.
    Kubernetes,
}

impl Node {
    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let members = self.members().iter();
        // Of equal keys the last one counts, for most readers.
        members
            .rev()
            .find(|member| member.key == key)
            .map(|member| &member.value)
    }

    /// The value behind several keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Its members, if it is an object.
    pub fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// Its elements, if it is a list.
    pub fn elements(&self) -> &[Self] {
        match &self.kind {
            Kind::List(elements) => elements,
            _ => &[],
        }
    }

    /// Its text, if it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether nothing is there: an empty document, a key without a value.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => {
                scalar.style == Style::Plain
                    && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// It and all nodes below it.
    pub fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        for element in self.elements() {
            element.walk(visit);
        }
        for member in self.members() {
            member.value.walk(visit);
        }
    }

    /// As JSON text. Keys that come twice come twice in it, so that whoever reads it can say
    /// so.
    pub fn to_json(&self, reader: Reader) -> String {
        let mut json = String::new();
        self.write(reader, &mut json);
        json
    }

    fn write(&self, reader: Reader, json: &mut String) {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.write(reader, json),
            Kind::List(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    element.write(reader, json);
                }
                json.push(']');
            }
            Kind::Map(members) => {
                json.push('{');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    quote(&member.key, json);
                    json.push(':');
                    member.value.write(reader, json);
                }
                json.push('}');
            }
        }
    }

    /// Where that of which a path tells stands, as near as the file has it: the value, a key
    /// that is named, or what is around it.
    pub fn place(&self, path: &str, key: Option<&str>) -> usize {
        let mut node = self;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((next, left)) = node.step(rest) else {
                return node.start;
            };
            (node, rest) = (next, left);
        }
        // Of keys that come twice, the second is the one too many.
        let mut members = node.members().iter().rev();
        let named = key.and_then(|key| members.find(|member| member.key == key));
        named.map_or(node.start, |member| member.start)
    }

    /// Where the key that is the last step of a path stands.
    pub fn key_place(&self, path: &str) -> usize {
        let parent = path.rfind(['.', '[']).map_or("", |dot| &path[..dot]);
        let key = path[parent.len()..].trim_start_matches('.');
        self.place(parent, Some(key))
    }

    /// The node that the first step of a path leads to, and the rest of the path. A key may
    /// have dots in it.
    fn step<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        if let Some(rest) = path.strip_prefix('[') {
            let (index, rest) = rest.split_once(']')?;
            let element = self.elements().get(index.parse::<usize>().ok()?)?;
            return Some((element, rest.strip_prefix('.').unwrap_or(rest)));
        }
        let fits = |member: &&Member| {
            path.strip_prefix(&*member.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let member = self
            .members()
            .iter()
            .filter(fits)
            .max_by_key(|member| member.key.len())?;
        let rest = &path[member.key.len()..];
        Some((&member.value, rest.strip_prefix('.').unwrap_or(rest)))
    }
}

impl Scalar {
    fn write(&self, reader: Reader, json: &mut String) {
        if self.style != Style::Plain {
            return quote(&self.text, json);
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => json.push_str("null"),
            "true" | "True" | "TRUE" => json.push_str("true"),
            "false" | "False" | "FALSE" => json.push_str("false"),
            text if reader == Reader::Kubernetes && is_one_of(text, ["y", "yes", "on"]) => {
                json.push_str("true");
            }
            text if reader == Reader::Kubernetes && is_one_of(text, ["n", "no", "off"]) => {
                json.push_str("false");
            }
            text => match number(text) {
                Some(number) => json.push_str(&number),
                None => quote(text, json),
            },
        }
    }
}

/// In one of the spellings that YAML 1.1 knows: `no`, `No`, `NO`.
fn is_one_of<const N: usize>(text: &str, words: [&str; N]) -> bool {
    words.iter().any(|word| {
        let mut title = (*word).to_owned();
        title[..1].make_ascii_uppercase();
        text == *word || text == title || text == word.to_ascii_uppercase()
    })
}

/// A YAML number as JSON has it.
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
    // Text always has a JSON form.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let _ = write!(json, "{quoted}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_their_reader_takes_them_for() {
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
            let scalar = Scalar {
                text: text.to_owned(),
                style: Style::Plain,
                end: 0,
            };
            for (reader, expected) in [(Reader::Modern, modern), (Reader::Kubernetes, kubernetes)] {
                let mut json = String::new();
                scalar.write(reader, &mut json);
                assert_eq!(json, expected, "{text}, {reader:?}");
            }
        }
    }
}
