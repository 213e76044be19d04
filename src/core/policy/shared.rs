//! Entries that only divvy writes, in request headers that have entries of others too: labels, and a
//! member of W3C `baggage`. A leaf but for the numbers of headers.

use crate::request::HeaderId;

/// An entry that only divvy writes.
#[derive(Clone, Debug)]
pub struct OwnEntry {
    /// The number of its header.
    pub header: HeaderId,
    /// The form of the entries of its header.
    pub form: EntryForm,
    /// `<header>;<key>`, also for later divvy filters of the chain. No header has a name with `;`.
    pub name: Box<str>,
    /// Length of the name of the header in bytes.
    pub header_length: usize,
}

/// The form of the entries of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryForm {
    /// `key=value;key=value`, with names of versions as values.
    Labels,
    /// The members of W3C `baggage`, of which one has the assignment.
    Baggage,
}

impl OwnEntry {
    /// The name of its header.
    pub fn header_name(&self) -> &str {
        self.name.get(..self.header_length).unwrap_or_default()
    }

    /// Its key.
    pub fn key(&self) -> &str {
        let begin = self.header_length.saturating_add(1);
        self.name.get(begin..).unwrap_or_default()
    }
}
