//! YAML documents as trees with positions.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::error::SourceError;
use super::tree::{NodeKind, Quoting, SourceEntry, SourceNode, SourceScalar};

/// Maximum number of nodes that aliases add to a file. Nested aliases grow exponentially.
const MAX_COPIES: usize = 1_000_000;

/// Reads the documents of a file.
pub fn read(text: &str) -> Result<Vec<SourceNode>, SourceError> {
    let mut builder = TreeBuilder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let offset = error.marker().byte_offset().unwrap_or(text.len());
            SourceError::new(offset, format!("not YAML: {}", error.info()))
        })?;
        builder.add(event, span, text)?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct TreeBuilder {
    documents: Vec<SourceNode>,
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, SourceNode>,
    copies: usize,
}

/// A list or an object whose end was not read yet.
struct OpenCollection {
    start: usize,
    anchor: usize,
    elements: Vec<SourceNode>,
}

impl TreeBuilder {
    fn add(&mut self, event: Event<'_>, span: Span, text: &str) -> Result<(), SourceError> {
        let start = span.start.byte_offset().unwrap_or_default();
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let kind = NodeKind::Scalar(SourceScalar {
                    text: value.into_owned(),
                    quoting: match style {
                        ScalarStyle::Plain => Quoting::Plain,
                        ScalarStyle::Literal => Quoting::Literal,
                        ScalarStyle::Folded => Quoting::Folded,
                        _ => Quoting::Quoted,
                    },
                    end: span.end.byte_offset().unwrap_or(text.len()),
                });
                self.push(SourceNode { start, kind }, anchor);
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                self.open.push(OpenCollection {
                    start,
                    anchor,
                    elements: Vec::new(),
                });
            }
            Event::SequenceEnd => self.close(|elements| Ok(NodeKind::List(elements)))?,
            Event::MappingEnd => self.close(|elements| Ok(NodeKind::Map(entries(elements)?)))?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| {
                    SourceError::new(start, "alias inside the node that it refers to")
                })?;
                node.walk(&mut |_| self.copies += 1);
                if self.copies > MAX_COPIES {
                    let message = "aliases add more than 1,000,000 nodes to this file";
                    return Err(SourceError::new(start, message));
                }
                self.push(node, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(
        &mut self,
        kind: impl FnOnce(Vec<SourceNode>) -> Result<NodeKind, SourceError>,
    ) -> Result<(), SourceError> {
        if let Some(open) = self.open.pop() {
            let (start, kind) = (open.start, kind(open.elements)?);
            self.push(SourceNode { start, kind }, open.anchor);
        }
        Ok(())
    }

    fn push(&mut self, node: SourceNode, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.elements.push(node),
            None => self.documents.push(node),
        }
    }
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
        let key = scalar.text;
        entries.push(SourceEntry { key, start, value });
    }
    Ok(entries)
}
