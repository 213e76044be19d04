//! Documents: those of a file, and those in the texts of a ConfigMap.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::embedded::OffsetMap;
use super::error::SourceError;
use super::file::{mentions_divvy, parse};
use super::lines::{LineIndex, LinedText};
use super::tree::{NodeKind, SourceEntry, SourceNode};

/// A document with the text that its positions refer to.
#[derive(Clone, Debug)]
pub struct SourceDocument {
    /// The text around the document, shared by all documents of it.
    pub text: LinedText,
    /// Its root.
    pub root: SourceNode,
    /// Maps offsets in the text to offsets in the file.
    pub offsets: OffsetMap,
    /// The key in a ConfigMap.
    pub key: Option<String>,
}

impl SourceDocument {
    pub(super) fn new(text: LinedText, root: SourceNode, offsets: OffsetMap) -> Self {
        Self {
            text,
            root,
            offsets,
            key: None,
        }
    }
}

/// The documents in the texts of a ConfigMap or Secret, and of those in a list. A text that is neither YAML nor JSON
/// is an error only if it seems to be divvy's.
pub(super) fn embedded(document: &SourceDocument) -> Vec<Result<SourceDocument, SourceError>> {
    let mut found = Vec::new();
    search(document, &document.text.lines(), &document.root, &mut found);
    found
}

fn search(
    document: &SourceDocument,
    lines: &LineIndex<'_>,
    node: &SourceNode,
    found: &mut Vec<Result<SourceDocument, SourceError>>,
) {
    let kind = node.get("kind").and_then(SourceNode::text);
    if kind.is_some_and(|kind| kind.ends_with("List")) {
        for item in node.get("items").into_iter().flat_map(SourceNode::elements) {
            search(document, lines, item, found);
        }
    }
    let (plain, encoded): (&[&str], &[&str]) = match kind {
        Some("ConfigMap") => (&["data"], &["binaryData"]),
        Some("Secret") => (&["stringData"], &["data"]),
        _ => return,
    };
    for (keys, is_encoded) in [(plain, false), (encoded, true)] {
        for entry in keys
            .iter()
            .filter_map(|key| node.get(key))
            .flat_map(SourceNode::entries)
        {
            text(document, lines, entry, is_encoded, found);
        }
    }
}

fn text(
    document: &SourceDocument,
    lines: &LineIndex<'_>,
    entry: &SourceEntry,
    is_encoded: bool,
    found: &mut Vec<Result<SourceDocument, SourceError>>,
) {
    let NodeKind::Scalar(scalar) = &entry.value.kind else {
        return;
    };
    let start = entry.value.start;
    let (text, inner) = if is_encoded {
        let digits: String = scalar.text.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(digits).unwrap_or_default();
        let Ok(text) = String::from_utf8(bytes) else {
            return;
        };
        (text, OffsetMap::At(start))
    } else {
        let inner = OffsetMap::new(document.text.text(), lines, start, scalar);
        (scalar.text.clone(), inner)
    };
    let offsets = inner.within(&document.offsets);
    let is_json = entry.key.to_ascii_lowercase().ends_with(".json");
    match parse(&text, is_json) {
        Ok(roots) => {
            let roots = roots.into_iter().filter(|root| !root.is_null());
            let text = LinedText::new(&text);
            let all = roots.map(|root| {
                Ok(SourceDocument {
                    key: Some(entry.key.clone()),
                    ..SourceDocument::new(text.clone(), root, offsets.clone())
                })
            });
            // Most texts are a word or a path.
            found.extend(all.filter(|document| {
                document
                    .as_ref()
                    .is_ok_and(|one| !one.root.entries().is_empty())
            }));
        }
        Err(error) if mentions_divvy(&text) && !text.contains("{{") => {
            let offset = offsets.in_file(error.offset);
            let message = format!("{}: {}", entry.key, error.message);
            found.push(Err(SourceError { offset, message }));
        }
        Err(_) => {}
    }
}
