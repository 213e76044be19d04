//! YAML documents as trees with positions.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::Syntax;
use super::tree::{Kind, Member, Node, Scalar, Style};

/// How many nodes aliases may add to a file, which can name ten others each.
const MOST_COPIES: usize = 1_000_000;

/// The documents of a file.
pub fn read(text: &str) -> Result<Vec<Node>, Syntax> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Syntax {
            at: error.marker().byte_offset().unwrap_or(text.len()),
            message: format!("not YAML: {}", error.info()),
        })?;
        builder.take(event, span, text)?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copies: usize,
}

/// A list or an object whose end has not come.
struct Open {
    start: usize,
    anchor: usize,
    is_map: bool,
    elements: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, text: &str) -> Result<(), Syntax> {
        let start = span.start.byte_offset().unwrap_or_default();
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                    _ => Style::Quoted,
                };
                let end = span.end.byte_offset().unwrap_or(text.len());
                let kind = Kind::Scalar(Scalar {
                    text: value.into_owned(),
                    style,
                    end,
                });
                self.close(Node { start, kind }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.open(start, anchor, false),
            Event::MappingStart(_, anchor, _) => self.open(start, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let kind = if open.is_map {
                    Kind::Map(members(open.elements)?)
                } else {
                    Kind::List(open.elements)
                };
                let start = open.start;
                self.close(Node { start, kind }, open.anchor);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Syntax::new(
                        start,
                        "this alias is inside what it stands for",
                    ));
                };
                node.walk(&mut |_| self.copies += 1);
                if self.copies > MOST_COPIES {
                    return Err(Syntax::new(
                        start,
                        "aliases make this file too large to read",
                    ));
                }
                self.close(node, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, start: usize, anchor: usize, is_map: bool) {
        self.open.push(Open {
            start,
            anchor,
            is_map,
            elements: Vec::new(),
        });
    }

    fn close(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.elements.push(node),
            None => self.documents.push(node),
        }
    }
}

/// Keys and values come in turn.
fn members(elements: Vec<Node>) -> Result<Vec<Member>, Syntax> {
    let mut members = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        let start = key.start;
        let Kind::Scalar(scalar) = key.kind else {
            return Err(Syntax::new(start, "a key is text here"));
        };
        members.push(Member {
            key: scalar.text,
            start,
            value,
        });
    }
    Ok(members)
}
