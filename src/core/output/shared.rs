//! The changes to request headers in which divvy writes one entry beside those of others: labels and
//! members of `baggage`. Depends on nothing that `output` does not.
//!
//! Other entries stay byte for byte. An entry under a key of divvy's own is removed, whichever line
//! it is in. A header that changes becomes one line.

use super::{HeaderChange, version, whole_assignment};
use crate::assignment::baggage;
use crate::decide::Outcome;
use crate::policy::{EntryForm, OwnEntry, Policy};
use crate::request::Request;

/// Passes the changes to `change`. Whether `baggage` has no room for the assignment.
pub(super) fn change<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    text: &mut Vec<u8>,
    mut change: impl FnMut(HeaderChange<'p, '_>),
) -> bool {
    let mut has_room = true;
    for entries in policy
        .own_entries
        .chunk_by(|one, next| one.header == next.header)
    {
        let mut edit = Edit::default();
        edit.keep(entries, request, outcome);
        for (index, entry) in (0..u32::BITS).zip(entries) {
            if edit.kept >> index & 1 == 0 {
                text.clear();
                write_value(policy, outcome, entry, text);
                has_room &= edit.write(entry, text);
            }
        }
        if let (true, Some(entry)) = (edit.is_changed, entries.first()) {
            let line = edit.line.trim_ascii();
            let name = entry.header_name();
            change(if line.is_empty() {
                HeaderChange::Remove(name)
            } else {
                HeaderChange::Set(name, line)
            });
        }
    }
    !has_room
}

/// Removes these headers with all entries, for a request whose headers cannot be read or written.
pub(super) fn remove<'p>(policy: &'p Policy, mut change: impl FnMut(HeaderChange<'p, 'static>)) {
    for entry in &policy.own_entries {
        change(HeaderChange::Remove(entry.header_name()));
    }
}

/// Appends the value of an entry: the assignment, or the version of the first rollout that decides
/// and has this label. Nothing without a decision.
fn write_value(policy: &Policy, outcome: &Outcome<'_>, entry: &OwnEntry, text: &mut Vec<u8>) {
    if entry.form == EntryForm::Baggage {
        return whole_assignment(policy, outcome, text);
    }
    if outcome.is_preflight {
        return;
    }
    for decision in &outcome.decisions {
        let rollout = policy.rollout(decision.rollout);
        let expose = rollout.and_then(|rollout| rollout.expose.as_ref());
        if expose.is_some_and(|expose| expose.label.as_ref() == Some(&entry.name))
            && let Some(version) = version(policy, decision)
        {
            return text.extend_from_slice(version.name.as_bytes());
        }
    }
}

/// The new value of a header.
#[derive(Default)]
struct Edit {
    line: Vec<u8>,
    /// Whether it differs from what arrived.
    is_changed: bool,
    /// The bits of those entries of an earlier divvy filter of the chain that stay.
    kept: u32,
}

impl Edit {
    /// Copies the entries of all lines but those that only divvy writes.
    fn keep(&mut self, entries: &[OwnEntry], request: &Request<'_>, outcome: &Outcome<'_>) {
        let Some(first) = entries.first() else { return };
        let separator = separator(first.form);
        // The new assignment contains that of an earlier filter.
        let replaces = first.form == EntryForm::Baggage
            && !(outcome.decisions.is_empty() && outcome.forwarded.is_empty());
        for line in request.lines(first.header) {
            for part in line.split(|byte| *byte == separator) {
                let mut numbered = (0..u32::BITS).zip(entries);
                if let Some((index, entry)) = numbered.find(|(_, entry)| is_entry(part, entry)) {
                    let environment = request.environment();
                    if replaces || !environment.is_written_before(&entry.name) {
                        self.is_changed = true;
                        continue;
                    }
                    self.kept |= 1 << index;
                }
                if !self.line.is_empty() {
                    self.line.push(separator);
                }
                self.line.extend_from_slice(part);
            }
        }
    }

    /// Appends an entry, unless its value is empty. `false` if a baggage has no room for it.
    fn write(&mut self, entry: &OwnEntry, value: &[u8]) -> bool {
        if value.is_empty() {
            return true;
        }
        let end = self.line.len();
        let separator = separator(entry.form);
        let before = self.line.trim_ascii_end().last();
        if before.is_some_and(|last| *last != separator) {
            self.line.push(separator);
        }
        self.line.extend_from_slice(entry.key().as_bytes());
        self.line.push(b'=');
        if entry.form == EntryForm::Labels {
            self.line.extend_from_slice(value);
        } else {
            baggage::encode(value, &mut self.line);
            if !baggage::is_sendable(&self.line) {
                self.line.truncate(end);
                return false;
            }
        }
        self.is_changed = true;
        true
    }
}

const fn separator(form: EntryForm) -> u8 {
    match form {
        EntryForm::Labels => b';',
        EntryForm::Baggage => b',',
    }
}

/// Whether this part of a line is an entry of divvy's own.
fn is_entry(part: &[u8], entry: &OwnEntry) -> bool {
    if entry.form == EntryForm::Baggage {
        return baggage::is_named(part, entry.key());
    }
    let key = memchr::memchr(b'=', part).and_then(|end| part.get(..end));
    key.is_some_and(|key| key.trim_ascii() == entry.key().as_bytes())
}
