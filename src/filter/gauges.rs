//! The gauges of one plugin, which show one configuration at a time.
//!
//! That is the configuration that new requests come to, and no callback names it: a
//! configuration may come with a VM of its own, Envoy may return to an earlier one without
//! configuring it again, and each worker switches at its own time. So whatever handles a
//! request checks whether the gauges show its configuration: in its own VM with each
//! request, in the whole process at each tick. A request only notes that the gauges are to
//! show another configuration; a tick sets them.

use std::cell::Cell;

use rustc_hash::FxHashSet;

use super::host::{Host, SharedKey};
use super::marks;
use super::vm::Vm;
use crate::guardrail::shared_data::{Change, Generation, update};

/// The gauges of one plugin.
#[derive(Debug)]
pub struct Gauges {
    /// Key of the digest of the configuration that the gauges show.
    owner: Box<str>,
    /// Key of the names of the gauges that were set. The next configuration sets those to 0
    /// that it does not have.
    names: Box<str>,
    /// Digest of the configuration that this VM showed or claimed last.
    shown: Cell<Option<u128>>,
}

impl Gauges {
    pub fn new(plugin: &str) -> Self {
        Self {
            owner: marks::key(plugin, "gauges", "owner"),
            names: marks::key(plugin, "gauges", "names"),
            shown: Cell::new(None),
        }
    }

    /// Whether the gauges show this configuration, as far as this VM knows.
    pub fn show_here(&self, digest: u128) -> bool {
        self.shown.get() == Some(digest)
    }

    /// Digest of the configuration that the gauges show in the whole process, and a number
    /// that changes whenever a VM makes them show one.
    pub fn owner(&self, host: &impl Host) -> Option<(u128, Generation)> {
        let (digest, generation) = host.shared(&self.owner)?;
        Some((u128::from_le_bytes(digest.try_into().ok()?), generation))
    }

    /// Notes that the gauges are to show this configuration from the next tick on.
    pub fn claim(&self, host: &impl Host, digest: u128) {
        self.shown.set(Some(digest));
        host.set_shared(&self.owner, &digest.to_le_bytes());
    }

    /// Makes the gauges show a configuration: all of `values`, and those of `late` that a
    /// VM has already set. All other known gauges become 0.
    pub fn show<H: Host>(
        &self,
        vm: &Vm<H>,
        digest: u128,
        values: &[(String, u64)],
        late: &[(String, u64)],
    ) {
        let before = vm.host.shared(&self.names).map(|(names, _)| names);
        let before = text(before.as_deref());
        let known: FxHashSet<&str> = before.lines().collect();
        let late = late.iter().filter(|(name, _)| known.contains(&**name));
        let mut shown = FxHashSet::default();
        let mut names = String::new();
        for (name, value) in values.iter().chain(late) {
            vm.set_gauge(name, *value);
            if shown.insert(&**name) {
                add_line(&mut names, name);
            }
        }
        for name in before.lines().filter(|name| !shown.contains(name)) {
            vm.set_gauge(name, 0);
        }
        // A name that another VM adds meanwhile stays, and becomes 0 with the next
        // configuration.
        self.update_names(&vm.host, |now| {
            let mut all = names.clone();
            let added = now.lines();
            for name in added.filter(|name| !shown.contains(name) && !known.contains(name)) {
                add_line(&mut all, name);
            }
            all
        });
        // All VMs that show this configuration write the same value.
        self.claim(&vm.host, digest);
    }

    /// Sets more gauges of the configuration that is shown.
    pub fn add<H: Host>(&self, vm: &Vm<H>, values: &[(String, u64)]) {
        vm.set_gauges(values);
        self.update_names(&vm.host, |before| {
            let known: FxHashSet<&str> = before.lines().collect();
            let mut all = before.to_owned();
            let names = values.iter().map(|(name, _)| &**name);
            for name in names.filter(|name| !known.contains(name)) {
                add_line(&mut all, name);
            }
            all
        });
    }

    /// Replaces the names of all gauges that were set, a line each. If that fails, some
    /// gauges of this configuration are not set to 0 by the next one, which is no reason to
    /// stop.
    fn update_names(&self, host: &impl Host, change: impl Fn(&str) -> String) {
        let _ = update(&mut SharedKey::new(host, &self.names), |before| Change {
            value: Some(change(text(before)).into_bytes()),
            result: (),
        });
    }
}

/// Names that another layout wrote as something else are not text and count as none.
fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

fn add_line(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}
