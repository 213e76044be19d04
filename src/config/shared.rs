//! Entries of headers that divvy shares with others: labels of `expose`, and the member of `baggage`.

use crate::limits::MAX_LABELS;
use crate::names;
use crate::registry::{HeaderUse, Registry};
use divvy_core::policy::{EntryForm, OwnEntry};
use divvy_core::request::HeaderId;
use divvy_json::Tree;
use divvy_json::error::Path;

/// The header of W3C Baggage.
const BAGGAGE: &str = "baggage";

impl Registry {
    /// Adds the headers of `expose`, its labels and the member of `baggage`. They must be known before
    /// any condition is compiled, because none may read them. Their errors are added later, with their
    /// rollout.
    pub(crate) fn own_all(&mut self, config: &Tree<'_>) {
        let rollouts = config.get("rollouts").map_or(&[][..], Tree::elements);
        for rollout in rollouts {
            for (field, wanted) in [("group", HeaderUse::Group), ("id", HeaderUse::Id)] {
                let name = rollout.text_at(&["expose", field]);
                self.own(Path::SILENT, name, wanted);
            }
        }
        self.share(rollouts);
    }

    /// Adds the labels of these rollouts and the member of `baggage`. All headers that divvy alone
    /// writes must be added before.
    pub(crate) fn share(&mut self, rollouts: &[Tree<'_>]) {
        for rollout in rollouts {
            let field = |name| rollout.text_at(&["expose", "label", name]);
            self.own_label(Path::SILENT, field("header"), field("key"));
        }
        if let Some(member) = &self.member {
            let name = format!("{BAGGAGE};{member}");
            self.own_entry(BAGGAGE, EntryForm::Baggage, name.into());
        }
    }

    /// The name of a label that divvy writes, as [`OwnEntry::name`].
    pub(crate) fn own_label(&mut self, at: Path<'_>, header: &str, key: &str) -> Option<Box<str>> {
        let at_header = at.field("header");
        let header = self.own_name(at_header, header)?;
        names::other(at.field("key"), key);
        if self.find(&header).is_some() {
            at_header.error(format_args!("{header:?} already has another purpose"));
            return None;
        }
        let name: Box<str> = format!("{header};{key}").into();
        if self.shared.iter().all(|entry| entry.name != name) {
            if self.shared.len() >= MAX_LABELS {
                at.error(format_args!(
                    "is one label too many: the maximum is {MAX_LABELS}"
                ));
                return None;
            }
            self.own_entry(&header, EntryForm::Labels, name.clone());
        }
        Some(name)
    }

    /// Adds an entry behind those of the same header.
    fn own_entry(&mut self, header: &str, form: EntryForm, name: Box<str>) {
        let header_length = header.len();
        let header = self.names.header(header);
        let last = self.shared.iter().rposition(|entry| entry.header == header);
        let place = last.map_or(self.shared.len(), |last| last.saturating_add(1));
        let entry = OwnEntry {
            header,
            form,
            name,
            header_length,
        };
        self.shared.push(entry);
        if let Some(behind) = self.shared.get_mut(place..) {
            behind.rotate_right(1);
        }
    }

    /// Whether divvy writes this label.
    pub(crate) fn is_own_label(&self, header: HeaderId, key: &str) -> bool {
        let mut shared = self.shared.iter();
        shared.any(|entry| entry.header == header && entry.key() == key)
    }

    /// The header `baggage` and the member in which the configuration has the assignment.
    pub(crate) fn baggage(&self) -> Option<(HeaderId, Box<str>)> {
        let header = self.names.find_header(BAGGAGE.as_bytes())?;
        Some((header, self.member.clone()?))
    }
}
