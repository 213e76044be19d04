//! The resources of all files: those of Kubernetes, also in lists, and Envoy's configurations.

use super::note::{ConversionNote, Loss, NoteLog, ResourceOrigin};
use crate::source::tree::SourceNode;
use crate::source::{Content, LineIndex, SourceDocument, SourceSet};

/// A document, or an element of a list of resources.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'s> {
    /// Where it was found.
    pub origin: ResourceOrigin<'s>,
    /// Its `kind`; empty for a document that is not a Kubernetes resource.
    pub kind: &'s str,
    /// Its `apiVersion`.
    pub api_version: &'s str,
    /// Its name.
    pub name: &'s str,
    /// Its namespace; empty if it names none.
    pub namespace: &'s str,
    /// Its root.
    pub node: &'s SourceNode,
}

impl<'s> Resource<'s> {
    /// The same with another log of notes.
    pub fn with_log<'l>(&self, log: &'l NoteLog) -> Resource<'l>
    where
        's: 'l,
    {
        let origin = ResourceOrigin { log, ..self.origin };
        Resource { origin, ..*self }
    }

    /// The group of its `apiVersion`.
    pub fn group(&self) -> &'s str {
        self.api_version.split('/').next().unwrap_or_default()
    }

    /// Its name for messages.
    pub fn title(&self) -> String {
        match (self.kind, self.namespace) {
            ("", _) => "Envoy".to_owned(),
            (kind, "") => format!("{kind} {}", self.name),
            (kind, namespace) => format!("{kind} {namespace}/{}", self.name),
        }
    }
}

/// A file with its documents.
#[derive(Debug)]
pub struct ReadFile<'s> {
    name: &'s str,
    lines: LineIndex<'s>,
    documents: Vec<SourceDocument>,
}

/// The documents of all files. Files that cannot be read are noted, files of folders that are no YAML are not.
pub fn documents<'s>(set: &'s SourceSet, log: &NoteLog) -> Vec<ReadFile<'s>> {
    let mut files = Vec::new();
    for file in &set.files {
        let lines = LineIndex::new(&file.text);
        let documents = match file.content() {
            Content::Documents(documents) => documents,
            Content::Foreign(_) => continue,
            Content::Error(error) => {
                log.add(ConversionNote {
                    file: file.name.clone(),
                    line: lines.position(error.offset).0,
                    field: "file".to_owned(),
                    loss: Loss::Impossible,
                    reason: error.message,
                });
                continue;
            }
        };
        files.push(ReadFile {
            name: &file.name,
            lines,
            documents,
        });
    }
    files
}

/// The resources of all files, in their order.
pub fn resources<'s>(files: &'s [ReadFile<'s>], log: &'s NoteLog) -> Vec<Resource<'s>> {
    let mut found = Vec::new();
    for file in files {
        for document in &file.documents {
            let origin = ResourceOrigin {
                file: file.name,
                lines: &file.lines,
                offsets: &document.offsets,
                log,
            };
            add(origin, &document.root, &mut found);
        }
    }
    found
}

fn add<'s>(origin: ResourceOrigin<'s>, node: &'s SourceNode, found: &mut Vec<Resource<'s>>) {
    let api_version = text(node, &["apiVersion"]);
    let kind = match api_version {
        "" => "",
        _ => text(node, &["kind"]),
    };
    if kind.ends_with("List") && node.get("items").is_some() {
        for item in list(node, "items") {
            add(origin, item, found);
        }
        return;
    }
    found.push(Resource {
        origin,
        kind,
        api_version,
        name: text(node, &["metadata", "name"]),
        namespace: text(node, &["metadata", "namespace"]),
        node,
    });
}

/// The elements of a list; none if the field is missing.
pub fn list<'n>(node: &'n SourceNode, field: &str) -> &'n [SourceNode] {
    node.get(field).map_or(&[], SourceNode::elements)
}

/// The text of a field; empty if it is missing or null.
pub fn text<'n>(node: &'n SourceNode, path: &[&str]) -> &'n str {
    let node = node.at(path).filter(|node| !node.is_null());
    node.and_then(SourceNode::text).unwrap_or_default()
}

/// The texts of a list.
pub fn texts(node: &SourceNode, field: &str) -> Vec<String> {
    let texts = list(node, field).iter().filter_map(SourceNode::text);
    texts.map(str::to_owned).collect()
}

/// A whole number that is not negative.
pub fn whole(node: Option<&SourceNode>) -> Option<u64> {
    node.and_then(SourceNode::text)?.trim().parse().ok()
}
