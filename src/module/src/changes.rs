//! Changes of headers that wait until nothing borrows the headers any more. Must not depend on what is
//! changed.

use crate::abi::FilterHandle;
use crate::values::HeaderMap;

/// Changes in their order. Their memory is used again.
#[derive(Debug, Default)]
pub struct HeaderChanges {
    /// Names and values, one after the other.
    bytes: Vec<u8>,
    all: Vec<PendingChange>,
    /// The names of the request's headers, if they were read.
    present: Option<PresentHeaders>,
}

/// Names of headers, a bit each. Different names can have the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct PresentHeaders(u64);

impl PresentHeaders {
    /// Adds a name.
    pub fn add(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    fn may_contain(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    fn bit(name: &[u8]) -> u64 {
        let last = name.last().copied().unwrap_or_default();
        let place = name.len().wrapping_mul(7).wrapping_add(usize::from(last)) % 64;
        1_u64.wrapping_shl(u32::try_from(place).unwrap_or_default())
    }
}

/// How a header changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// One line replaces all.
    Set,
    /// A line more.
    Add,
    /// No line.
    Remove,
}

#[derive(Clone, Copy, Debug)]
struct PendingChange {
    map: HeaderMap,
    kind: ChangeKind,
    begin: usize,
    /// End of the name, where the value begins.
    middle: usize,
    end: usize,
}

impl HeaderChanges {
    /// Adds a change.
    pub fn push(&mut self, map: HeaderMap, kind: ChangeKind, name: &str, value: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.all.push(PendingChange {
            map,
            kind,
            begin,
            middle,
            end: self.bytes.len(),
        });
    }

    /// Drops all changes.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.all.clear();
        self.present = None;
    }

    /// Notes which headers the request has.
    pub const fn note_request(&mut self, present: PresentHeaders) {
        self.present = Some(present);
    }

    /// Makes the changes. A changed request gets its route again, as after a call of the wasm ABI.
    pub fn apply(&mut self, filter: &mut FilterHandle) {
        self.drop_removals(filter);
        let mut refused = false;
        let mut routes = false;
        for change in &self.all {
            let (name, value) = self.text(change);
            let done = match change.kind {
                ChangeKind::Set => filter.set(change.map, name, value),
                ChangeKind::Add => filter.add(change.map, name, value),
                ChangeKind::Remove => filter.remove(change.map, name),
            };
            refused |= !done;
            routes |= change.map == HeaderMap::Request;
        }
        if refused {
            self.take_back(filter);
        }
        if routes {
            filter.choose_route();
        }
        self.clear();
    }

    /// Drops removals of request headers that are absent. Most are: clients seldom send them.
    /// No hook removes a header that it set.
    fn drop_removals(&mut self, filter: &FilterHandle) {
        let mut all = std::mem::take(&mut self.all);
        all.retain(|change| {
            let (name, _) = self.text(change);
            change.kind != ChangeKind::Remove
                || change.map != HeaderMap::Request
                || (self.present.is_none_or(|present| present.may_contain(name))
                    && filter.first_line(change.map, name).is_some())
        });
        self.all = all;
    }

    fn text(&self, change: &PendingChange) -> (&[u8], &[u8]) {
        let text = |range| self.bytes.get(range).unwrap_or_default();
        (
            text(change.begin..change.middle),
            text(change.middle..change.end),
        )
    }

    /// Removes what was set: without divvy's headers a request takes the default route, to stable.
    fn take_back(&self, filter: &mut FilterHandle) {
        log::error!("the proxy refuses to change a header: the request gets stable");
        for change in self
            .all
            .iter()
            .filter(|change| change.kind == ChangeKind::Set)
        {
            filter.remove(change.map, self.text(change).0);
        }
    }
}
