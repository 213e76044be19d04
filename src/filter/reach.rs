//! Which versions are unreachable, as far as this VM knows, and the failures in a row that it counts.
//! Must not depend on open requests.
//!
//! The outages of all VMs are in shared data, one value per plugin, which is absent until the first
//! one. Each tick reads it; an outage that this VM finds is written at once.

use std::cell::Cell;

use log::Level;

use super::host::{Host, SharedKey};
use super::marks;
use crate::guardrail::shared_data::{Change, Generation, update};
use crate::policy::{Policy, RolloutId, VersionId};
use crate::unreachable::{Attempt, FailureRun, OutageEvent, Outages, TryTime};

const BEGAN: &str = "unreachable: Envoy has no cluster, no healthy host or no connection for it; stable \
                     serves its users, and after a pause one request tries it";
const ENDED: &str = "reachable again";

/// A version of a rollout.
pub type VersionPlace = (RolloutId, VersionId);

/// The versions of one configuration that one VM knows or suspects to be unreachable.
pub struct Reach {
    /// Key in shared data.
    key: Box<str>,
    /// Whether a rollout looks for outages.
    watches: bool,
    /// Whether `runs` is empty.
    is_calm: Cell<bool>,
    runs: Cell<Vec<(VersionPlace, FailureRun)>>,
    /// Whether `down` is empty.
    is_clear: Cell<bool>,
    /// The unreachable versions.
    down: Cell<Vec<Down>>,
    /// Generation of the shared value that was read last.
    generation: Cell<Option<Generation>>,
    /// Whether the current request tries a version, and which.
    is_tried: Cell<bool>,
    tried: Cell<Option<VersionPlace>>,
    /// Whether gauges are to be set.
    changed: Cell<bool>,
}

/// An unreachable version.
#[derive(Clone, Copy, PartialEq)]
struct Down {
    place: VersionPlace,
    tried_from: TryTime,
    /// Whether a request may try, as of the last tick.
    due: bool,
}

impl Reach {
    /// Nothing is known to be unreachable.
    pub fn new(plugin: &str, policy: &Policy) -> Self {
        Self {
            key: marks::key(plugin, "unreachable", "1"),
            watches: policy.rollouts.iter().any(|one| one.watches_reach),
            is_calm: Cell::new(true),
            runs: Cell::default(),
            is_clear: Cell::new(true),
            down: Cell::default(),
            generation: Cell::default(),
            is_tried: Cell::default(),
            tried: Cell::default(),
            changed: Cell::default(),
        }
    }

    /// Whether a rollout looks for outages.
    pub const fn watches(&self) -> bool {
        self.watches
    }

    /// Whether no version has failures in a row, so that successes need not be noted.
    pub const fn is_calm(&self) -> bool {
        self.is_calm.get()
    }

    /// Whether a version is unreachable.
    pub fn is_down(&self, place: VersionPlace) -> bool {
        !self.is_clear.get() && self.has_down(place)
    }

    #[cold]
    fn has_down(&self, place: VersionPlace) -> bool {
        with(&self.down, |all| has(all, place))
    }

    /// Whether the current request tries this version, which is unreachable. One does after each
    /// pause: that of the VM which takes the turn.
    pub fn tries(&self, host: &impl Host, policy: &Policy, place: VersionPlace) -> bool {
        let is_due = |all: &mut Vec<Down>| {
            let down = all.iter_mut().find(|down| down.place == place);
            // Until the next tick, if another VM is first.
            down.is_some_and(|down| std::mem::take(&mut down.due))
        };
        if !with(&self.down, is_due) {
            return false;
        }
        let taken = self.write(host, policy, place, OutageEvent::Try);
        if taken {
            self.is_tried.set(true);
            self.tried.set(Some(place));
        }
        taken
    }

    /// Whether the request which was just decided tries a version.
    pub const fn is_tried(&self) -> bool {
        self.is_tried.get()
    }

    /// The version that it tries.
    pub fn take_tried(&self) -> Option<VersionPlace> {
        self.is_tried.set(false);
        self.tried.take()
    }

    /// Notes the outcome of a request to this version.
    pub fn note(&self, host: &impl Host, policy: &Policy, place: VersionPlace, attempt: Attempt) {
        if self.is_down(place) {
            return;
        }
        let mut runs = self.runs.take();
        if runs.iter().all(|(of, _)| *of != place) {
            runs.push((place, FailureRun::default()));
        }
        let mut trips = false;
        runs.retain_mut(|(of, run)| {
            if *of == place {
                trips = run.count(attempt);
            }
            !run.is_empty()
        });
        self.is_calm.set(runs.is_empty());
        self.runs.set(runs);
        if trips {
            self.write(host, policy, place, OutageEvent::Trip);
        }
    }

    /// Notes the outcome of the request that tried this version.
    pub fn note_try(
        &self,
        host: &impl Host,
        policy: &Policy,
        place: VersionPlace,
        attempt: Attempt,
    ) {
        let event = match attempt {
            Attempt::NoHost | Attempt::NoConnection => OutageEvent::TryFailed,
            Attempt::Reached => OutageEvent::TrySucceeded,
            Attempt::Unknown => OutageEvent::TryEnded,
        };
        self.write(host, policy, place, event);
    }

    /// Reads what other VMs know.
    pub fn tick(&self, host: &impl Host, policy: &Policy) {
        if !self.watches {
            return;
        }
        // A host that does not answer ends no outage.
        let Some((bytes, generation)) = host.shared(&self.key) else {
            return;
        };
        if self.generation.replace(Some(generation)) != Some(generation) {
            self.adopt(host, policy, &Outages::decode(&bytes));
        } else if !self.is_clear.get()
            && let Some(now) = now(host)
        {
            with(&self.down, |all| {
                for down in all {
                    down.due = down.tried_from.0 <= now;
                }
            });
        }
    }

    /// Whether the outages may have changed since the last call.
    pub fn take_changed(&self) -> bool {
        self.changed.take()
    }

    /// Writes an event to shared data, unless it changes nothing there. Whether it was written.
    fn write(
        &self,
        host: &impl Host,
        policy: &Policy,
        place: VersionPlace,
        event: OutageEvent,
    ) -> bool {
        let rollout = policy.rollout(place.0);
        let key = rollout.and_then(|rollout| rollout.outage_key(place.1));
        let (Some(rollout), Some(key), Some(now)) = (rollout, key, now(host)) else {
            return false;
        };
        let written = update(&mut SharedKey::new(host, &self.key), |bytes| {
            let mut outages = Outages::decode(bytes.unwrap_or_default());
            let changed = outages.apply(key, event, now);
            Change {
                value: changed.then(|| outages.encode()),
                result: (outages, changed),
            }
        });
        let Some((outages, changed)) = written else {
            return false;
        };
        self.adopt(host, policy, &outages);
        let (level, what) = match event {
            OutageEvent::Trip => (Level::Warn, BEGAN),
            OutageEvent::TrySucceeded => (Level::Info, ENDED),
            _ => return changed,
        };
        if changed && let Some(version) = rollout.version(place.1) {
            log::log!(
                level,
                "rollout {}: {} is {what}",
                rollout.name,
                version.name
            );
        }
        changed
    }

    /// Replaces what this VM knows.
    fn adopt(&self, host: &impl Host, policy: &Policy, outages: &Outages) {
        let mut down = Vec::new();
        if !outages.is_empty() {
            let now = now(host);
            for (id, rollout) in policy.numbered() {
                for number in 0..rollout.versions.len() {
                    let version = VersionId(u16::try_from(number).unwrap_or(u16::MAX));
                    if rollout.watches(version)
                        && let Some(key) = rollout.outage_key(version)
                        && let Some(tried_from) = outages.try_time(key)
                    {
                        let due = now.is_some_and(|now| tried_from.0 <= now);
                        let place = (id, version);
                        down.push(Down {
                            place,
                            tried_from,
                            due,
                        });
                    }
                }
            }
        }
        self.changed.set(true);
        // Failures before an outage say nothing about the time after it.
        with(&self.runs, |runs| {
            runs.retain(|(place, _)| !has(&down, *place));
            self.is_calm.set(runs.is_empty());
        });
        self.is_clear.set(down.is_empty());
        self.down.set(down);
    }
}

fn with<T: Default, R>(cell: &Cell<T>, change: impl FnOnce(&mut T) -> R) -> R {
    let mut value = cell.take();
    let result = change(&mut value);
    cell.set(value);
    result
}

#[inline(never)]
fn has(all: &[Down], place: VersionPlace) -> bool {
    all.iter().any(|down| down.place == place)
}

/// Milliseconds of the clock that is never set back, which all VMs share.
#[inline(never)]
fn now(host: &impl Host) -> Option<u64> {
    Some(host.monotonic_nanos()? / 1_000_000)
}
