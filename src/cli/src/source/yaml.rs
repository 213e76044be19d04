//! YAML documents as trees with positions.
//!
//! libyaml, because Kubernetes reads YAML with a translation of it: what one accepts, the other does.

use std::collections::HashMap;
use std::io::Read as _;
use std::panic;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libyaml_safer::{EventData, Mark, Parser, ScalarStyle};

use super::error::SourceError;
use super::tree::{NodeKind, Quoting, SourceEntry, SourceNode, SourceScalar};

/// Maximum number of nodes that aliases add to a file. Nested aliases grow exponentially.
const MAX_COPIES: usize = 1_000_000;
/// Maximum depth of lists and objects.
const MAX_DEPTH: usize = 200;
/// The prefix of the tags that YAML defines, which a file writes as `!!`.
const TAG: &str = "tag:yaml.org,2002:";

/// Reads the documents of a file.
pub fn read(text: &str) -> Result<Vec<SourceNode>, SourceError> {
    // Version 0.3 of the parser panics at a few odd texts, such as a tag with a comma behind it.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let read = panic::catch_unwind(|| documents(text));
    panic::set_hook(hook);
    read.unwrap_or_else(|_| Err(SourceError::new(0, "not YAML that the parser can read")))
}

fn documents(text: &str) -> Result<Vec<SourceNode>, SourceError> {
    // The parser panics in a block that ends without a line break. Another one at the end has no effect.
    let mut input = text.as_bytes().chain(&b"\n"[..]);
    let mut parser = Parser::new();
    parser.set_input(&mut input);
    let mut builder = TreeBuilder {
        text,
        documents: Vec::new(),
        open: Vec::new(),
        end: 0,
        anchors: HashMap::new(),
        copies: 0,
    };
    for event in parser {
        let event = event.map_err(|error| {
            let offset = |mark: Mark| usize::try_from(mark.index).ok();
            let at = error.problem_mark().and_then(offset);
            // What lacks its end is at its start.
            let is_end = at.is_none_or(|at| at >= text.trim_end().len());
            let start = error.context_mark().and_then(offset).filter(|_| is_end);
            let offset = start.or(at).unwrap_or_default();
            SourceError::new(offset, format!("not YAML: {}", error.problem()))
        })?;
        // The parser does not count a byte order mark within the text.
        let offset =
            |mark: Mark| text.floor_char_boundary(usize::try_from(mark.index).unwrap_or_default());
        let (start, end) = (offset(event.start_mark), offset(event.end_mark));
        builder.add(event.data, start, end)?;
    }
    Ok(builder.documents)
}

struct TreeBuilder<'t> {
    text: &'t str,
    documents: Vec<SourceNode>,
    open: Vec<OpenCollection>,
    /// The end of the last scalar, alias or bracket.
    end: usize,
    /// Nodes with their depths.
    anchors: HashMap<String, (SourceNode, usize)>,
    copies: usize,
}

/// A list or an object whose end was not read yet.
struct OpenCollection {
    start: usize,
    anchor: Option<String>,
    elements: Vec<SourceNode>,
    /// Depth of the deepest element.
    depth: usize,
}

impl TreeBuilder<'_> {
    fn add(&mut self, event: EventData, start: usize, end: usize) -> Result<(), SourceError> {
        match event {
            EventData::DocumentStart { .. } => self.anchors.clear(),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let start = self.content(start);
                let scalar = SourceScalar {
                    text: value,
                    quoting: match style {
                        ScalarStyle::Plain => Quoting::Plain,
                        ScalarStyle::Literal => Quoting::Literal,
                        ScalarStyle::Folded => Quoting::Folded,
                        _ => Quoting::Quoted,
                    },
                    end,
                };
                let kind = NodeKind::Scalar(tagged(scalar, tag.as_deref(), start)?);
                self.end = end;
                self.push(SourceNode { start, end, kind }, anchor, 0)?;
            }
            EventData::SequenceStart { anchor, .. } | EventData::MappingStart { anchor, .. } => {
                let start = self.content(start);
                if self.open.len() >= MAX_DEPTH {
                    return Err(too_deep(start));
                }
                self.open.push(OpenCollection {
                    start,
                    anchor,
                    elements: Vec::new(),
                    depth: 0,
                });
            }
            EventData::SequenceEnd => {
                self.close(end, |elements| Ok(NodeKind::List(elements)))?;
            }
            EventData::MappingEnd => {
                self.close(end, |elements| Ok(NodeKind::Map(entries(elements)?)))?;
            }
            EventData::Alias { anchor } => {
                self.end = end;
                let known = self.anchors.get(&anchor).cloned();
                let (node, depth) = known.ok_or_else(|| {
                    let message = format!("not YAML: no node before it has the anchor {anchor}");
                    SourceError::new(start, message)
                })?;
                node.walk(&mut |_| self.copies += 1);
                if self.copies > MAX_COPIES {
                    let message = "aliases add more than 1,000,000 nodes to this file";
                    return Err(SourceError::new(start, message));
                }
                self.push(node, None, depth)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The start of a node's content, behind its anchor and its tag.
    fn content(&self, start: usize) -> usize {
        let mut rest = &self.text[start..];
        while rest.starts_with(['&', '!']) {
            let Some(end) = rest.find(char::is_whitespace) else {
                break;
            };
            rest = rest[end..].trim_start();
        }
        self.text.len() - rest.len()
    }

    fn close(
        &mut self,
        end: usize,
        kind: impl FnOnce(Vec<SourceNode>) -> Result<NodeKind, SourceError>,
    ) -> Result<(), SourceError> {
        if let Some(open) = self.open.pop() {
            let (start, kind) = (open.start, kind(open.elements)?);
            // A block ends where the next token begins, behind white space and comments.
            if self.text[start..].starts_with(['[', '{']) {
                self.end = end;
            }
            let end = self.end.max(start);
            self.push(SourceNode { start, end, kind }, open.anchor, open.depth + 1)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        node: SourceNode,
        anchor: Option<String>,
        depth: usize,
    ) -> Result<(), SourceError> {
        if self.open.len() + depth > MAX_DEPTH {
            return Err(too_deep(node.start));
        }
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (node.clone(), depth));
        }
        match self.open.last_mut() {
            Some(open) => {
                open.depth = open.depth.max(depth);
                open.elements.push(node);
            }
            None => self.documents.push(node),
        }
        Ok(())
    }
}

fn too_deep(offset: usize) -> SourceError {
    SourceError::new(offset, format!("is nested more than {MAX_DEPTH} deep"))
}

/// A scalar with the type that its tag gives it.
fn tagged(
    scalar: SourceScalar,
    tag: Option<&str>,
    start: usize,
) -> Result<SourceScalar, SourceError> {
    let Some(tag) = tag.filter(|tag| !tag.is_empty()) else {
        return Ok(scalar);
    };
    Ok(match tag.strip_prefix(TAG) {
        Some("int" | "float" | "bool" | "null" | "timestamp") => SourceScalar {
            quoting: Quoting::Plain,
            ..scalar
        },
        Some("binary") => {
            let digits: String = scalar.text.split_whitespace().collect();
            let bytes = BASE64_STANDARD.decode(digits);
            let bytes = bytes.map_err(|_| SourceError::new(start, "is not base64"))?;
            SourceScalar {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                // Only its start has a position.
                quoting: Quoting::Folded,
                ..scalar
            }
        }
        // Text, also by a tag that only other programs know.
        _ if scalar.quoting == Quoting::Plain => SourceScalar {
            quoting: Quoting::Quoted,
            ..scalar
        },
        _ => scalar,
    })
}

/// The entries of a mapping, from its keys and values in turn.
fn entries(elements: Vec<SourceNode>) -> Result<Vec<SourceEntry>, SourceError> {
    let mut entries = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        let start = key.start;
        let NodeKind::Scalar(scalar) = key.kind else {
            return Err(SourceError::new(start, "the key is not a string"));
        };
        let is_plain = scalar.quoting == Quoting::Plain;
        entries.push(SourceEntry {
            key: scalar.text,
            is_plain,
            start,
            value,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text with everything that YAML has.
    const RICH: &str = "\
%YAML 1.1
%TAG !e! tag:example.com,2000:
--- !!map
a: &a [1, 'it''s', \"x\\u00e9\\n\", {b: c}, ? d : e]
? [k, l]
: v
s: |+2
    text
  more

t: >-
  folded
  text
u: !!binary |
  NQ==
<<: *a
\"q\": 'two

  lines'
é: \u{1F600} # comment
...
---
- - x
  -\ty
- !e!z
";

    #[test]
    fn every_text_is_read_or_refused() {
        let places: Vec<usize> = RICH.char_indices().map(|(place, _)| place).collect();
        let mut texts = 0;
        for from in places.iter().step_by(7) {
            for to in places.iter().filter(|to| *to > from) {
                let _ = read(&RICH[*from..*to]);
                texts += 1;
            }
        }
        for place in places {
            for added in [
                "|", ">", "'", "\"", "\r", "\n", "\t", " ", "-", "?", ":", "&", "*", "!", "%", "#",
                "[", "}", "\u{85}", "\u{feff}",
            ] {
                let _ = read(&[&RICH[..place], added, &RICH[place..]].concat());
                texts += 1;
            }
        }
        assert!(texts > 5_000);
    }
}
