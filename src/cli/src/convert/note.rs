//! What a conversion could not say exactly, with file and line. Must not depend on the sources.

use std::cell::RefCell;

use serde::Serialize;

use crate::source::tree::SourceNode;
use crate::source::{LineIndex, OffsetMap};

/// How much of a field the conversion keeps, if not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Loss {
    /// The field stays where it is and continues to have its effect.
    LeftInPlace,
    /// The output has nearly the same effect.
    Approximate,
    /// The output does not have its effect.
    Impossible,
}

impl Loss {
    /// Its name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeftInPlace => "left in place",
            Self::Approximate => "approximate",
            Self::Impossible => "impossible",
        }
    }
}

/// A field that is not converted exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConversionNote {
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The resource and the path of the field in it.
    pub field: String,
    /// How much is kept.
    pub loss: Loss,
    /// Why.
    pub reason: String,
}

/// All notes of a run.
#[derive(Debug, Default)]
pub struct NoteLog {
    notes: RefCell<Vec<ConversionNote>>,
}

impl NoteLog {
    /// Adds a note unless it is there.
    pub fn add(&self, note: ConversionNote) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// All notes, in the order in which they were added.
    pub fn into_notes(self) -> Vec<ConversionNote> {
        self.notes.into_inner()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.notes.borrow().is_empty()
    }
}

/// Where a resource was found: adds notes about its fields.
#[derive(Clone, Copy, Debug)]
pub struct ResourceOrigin<'s> {
    /// Path of the file.
    pub file: &'s str,
    /// Lines of the file.
    pub lines: &'s LineIndex<'s>,
    /// Maps offsets in the document to offsets in the file.
    pub offsets: &'s OffsetMap,
    /// Receives the notes.
    pub log: &'s NoteLog,
}

impl ResourceOrigin<'_> {
    /// The line of an offset in the document.
    pub fn line(&self, offset: usize) -> usize {
        self.lines.position(self.offsets.in_file(offset)).0
    }

    /// Adds a note about a place of the document.
    pub fn note_at(&self, offset: usize, field: &str, loss: Loss, reason: impl Into<String>) {
        self.log.add(ConversionNote {
            file: self.file.to_owned(),
            line: self.line(offset),
            field: field.to_owned(),
            loss,
            reason: reason.into(),
        });
    }

    /// Adds a note about a field of an object. `path` is the path of the object.
    pub fn note(
        &self,
        (node, path): (&SourceNode, &str),
        key: &str,
        loss: Loss,
        reason: impl Into<String>,
    ) {
        let field = match path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        self.note_at(node.offset_of("", Some(key)), &field, loss, reason);
    }
}
