//! Nodes as YAML in the style of the shipped files: small objects in one line, comments above their entry.
//!
//! A text without quotes is one for every reader, whether it follows YAML 1.1 as Kubernetes or YAML 1.2.

use std::net::Ipv4Addr;

use super::json::quoted;
use super::node::{ManifestEntry, ManifestNode};
use crate::source::tree::{NodeKind, Quoting, SourceNode, SourceScalar, YamlVersion};

/// Maximum length of a line in characters, unless a scalar is longer.
const WIDTH: usize = 110;
/// Maximum number of entries of an object in one line.
const MAX_ENTRIES: usize = 4;

/// The text of a document, with a line break at its end.
pub fn document(node: &ManifestNode) -> String {
    block(node, 0)
}

/// The text of several documents.
pub fn documents<'n>(nodes: impl IntoIterator<Item = &'n ManifestNode>) -> String {
    let all: Vec<_> = nodes.into_iter().map(document).collect();
    all.join("---\n")
}

/// The lines of an object or a list, each with this indentation.
pub fn block(node: &ManifestNode, indent: usize) -> String {
    let mut text = String::new();
    match node {
        ManifestNode::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                pad(indent, &mut text);
                write_entry(entry, indent, &mut text);
            }
        }
        ManifestNode::List(elements) if !elements.is_empty() => {
            for element in elements {
                pad(indent, &mut text);
                write_element(element, indent, &mut text);
            }
        }
        other => {
            pad(indent, &mut text);
            text.push_str(&flow(other));
            text.push('\n');
        }
    }
    text
}

/// Writes an entry whose line already has its indentation.
fn write_entry(entry: &ManifestEntry, indent: usize, text: &mut String) {
    for line in &entry.comment {
        let line = format!("# {}", printable(line));
        text.push_str(line.trim_end());
        text.push('\n');
        pad(indent, text);
    }
    let key = scalar(&entry.key);
    text.push_str(&key);
    text.push(':');
    let before = indent + key.chars().count() + 2;
    if fits(&entry.value, before, 2) {
        text.push(' ');
        text.push_str(&flow(&entry.value));
        text.push('\n');
    } else {
        text.push('\n');
        text.push_str(&block(&entry.value, indent + 2));
    }
}

/// Writes an element whose line already has its indentation.
fn write_element(element: &ManifestNode, indent: usize, text: &mut String) {
    text.push_str("- ");
    match element {
        ManifestNode::Map(entries) if !fits(element, indent + 2, 1) => {
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    pad(indent + 2, text);
                }
                write_entry(entry, indent + 2, text);
            }
        }
        ManifestNode::List(_) if !fits(element, indent + 2, 1) => {
            let inner = block(element, indent + 2);
            text.push_str(inner.trim_start());
        }
        _ => {
            text.push_str(&flow(element));
            text.push('\n');
        }
    }
}

/// Whether a node is written in one line behind `before` characters, if it has at most this many levels.
fn fits(node: &ManifestNode, before: usize, depth: usize) -> bool {
    let is_small = match node {
        ManifestNode::Text(_) | ManifestNode::Literal(_) => return true,
        node if node.is_empty() => return true,
        ManifestNode::List(elements) => elements.iter().all(|one| one.depth() == 0),
        ManifestNode::Map(entries) => entries.len() <= MAX_ENTRIES && node.depth() <= depth + 1,
    };
    is_small && !node.has_comments() && before + flow(node).chars().count() <= WIDTH
}

/// A node in one line.
pub fn flow(node: &ManifestNode) -> String {
    match node {
        ManifestNode::Text(text) => scalar(text),
        ManifestNode::Literal(text) => text.clone(),
        ManifestNode::List(elements) => {
            let all: Vec<_> = elements.iter().map(flow).collect();
            format!("[{}]", all.join(", "))
        }
        ManifestNode::Map(entries) => {
            let all = entries.iter();
            let all = all.map(|entry| format!("{}: {}", scalar(&entry.key), flow(&entry.value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text as a scalar, in quotes if a reader could take it for something else.
pub fn scalar(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    let starts = match bytes.next() {
        // Not a date, an address with a port or a number to base 60.
        Some(first) if first.is_ascii_digit() => {
            bytes.all(|byte| byte.is_ascii_alphanumeric()) || text.parse::<Ipv4Addr>().is_ok()
        }
        Some(first) => {
            (first.is_ascii_alphabetic() || b"_/".contains(&first))
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte))
        }
        None => false,
    };
    starts
        && [YamlVersion::V11, YamlVersion::V12]
            .iter()
            .all(|version| is_text(text, *version))
}

/// Whether a reader of this version takes the text without quotes for text.
fn is_text(text: &str, version: YamlVersion) -> bool {
    let scalar = SourceScalar {
        text: text.to_owned(),
        quoting: Quoting::Plain,
        end: 0,
    };
    let node = SourceNode {
        start: 0,
        end: 0,
        kind: NodeKind::Scalar(scalar),
    };
    node.to_json(version).starts_with('"')
}

/// A line of a comment without characters that would end it.
pub fn printable(line: &str) -> String {
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    line.replace(is_odd, " ")
}

fn pad(indent: usize, text: &mut String) {
    text.push_str(&" ".repeat(indent));
}

#[cfg(test)]
mod tests {
    use super::super::node::{list, object, texts};
    use super::*;
    use crate::source::tree::SourceNode;

    /// The values of a YAML text as both kinds of readers see them.
    fn read(text: &str) -> [ManifestNode; 2] {
        let roots = crate::source::parse_yaml(text).unwrap();
        let [root]: [SourceNode; 1] = roots.try_into().unwrap();
        [YamlVersion::V11, YamlVersion::V12].map(|version| ManifestNode::of(&root, version))
    }

    #[test]
    fn every_text_is_read_as_it_was() {
        for text in [
            "",
            " ",
            "~",
            "null",
            "y",
            "Yes",
            "off",
            "1",
            "01",
            "0x1f",
            "1e5",
            "0b1",
            "1_0",
            "60s",
            "1:30",
            "2026-12-01",
            "127.0.0.1",
            "a b",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*",
            "!a",
            "- a",
            "[a",
            "{a",
            "%REQ(X)%",
            "it's",
            "\"",
            "\\",
            "a\nb",
            "\t",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{0}",
            "é",
            "\u{1f600}",
            "<<",
            "=",
            "/checkout",
            "x-divvy-route",
            "checkout.shop.svc.cluster.local",
            "outbound|8080|v2|a.b",
            "__Host-id",
        ] {
            let node = object([(text, list([text.into(), object([(text, text.into())])]))]);
            // A key without quotes may be a merge key.
            for found in read(&document(&node)) {
                assert_eq!(found, node, "{text:?}: {}", document(&node));
            }
        }
    }

    #[test]
    fn what_fits_is_in_one_line_and_comments_stand_above() {
        let long: Vec<String> = (0..20).map(|number| format!("number-{number}")).collect();
        let node = object([("kind", "VirtualService".into())])
            .with(
                "metadata",
                object([("name", "a".into()), ("namespace", "b".into())]),
            )
            .commented(
                "First.\nSecond.",
                "spec",
                object([("hosts", texts(["*"])), ("long", texts(&long))]),
            )
            .with(
                "routes",
                list([
                    object([("a", object([("b", object([("c", true.into())]))]))]),
                    5.into(),
                ]),
            )
            .with("none", list([]));
        let text = document(&node);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.contains("number-"))
            .collect();
        let expected = [
            "kind: VirtualService",
            "metadata: {name: a, namespace: b}",
            "# First.",
            "# Second.",
            "spec:",
            "  hosts: [\"*\"]",
            "  long:",
            "routes:",
            "  - a: {b: {c: true}}",
            "  - 5",
            "none: []",
        ];
        assert_eq!(lines, expected, "{text}");
        for found in read(&text) {
            assert_eq!(document(&found).lines().count(), text.lines().count() - 2);
        }
    }
}
