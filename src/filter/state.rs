//! A configuration in use: what its root and its streams share.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::active::{Active, DEFINED_AT_ONCE};
use super::host;
use super::marks::Marks;
use super::metrics::Gauges;
use crate::config::Errors;
use crate::decision::Decision;
use crate::output;
use crate::policy::{Metrics, RolloutId};

/// How often an inert filter says what is wrong.
const NANOS_PER_REMINDER: u64 = 60_000_000_000;

/// What a root shares with its streams.
pub struct State {
    plugin: Box<str>,
    gauges: Rc<Gauges>,
    /// Of the configuration's bytes.
    digest: u128,
    pub active: Active,
    /// What is wrong with the configuration that was accepted all the same.
    inert: Option<Errors>,
    /// Whether a stream came since the last tick, and since the gauges last changed over.
    in_use: Cell<bool>,
    /// The change of the gauges that the last tick saw.
    seen_change: Cell<u32>,
    /// The rollouts beyond the first 50 whose weights are shown, since they decided.
    late: Cell<BTreeSet<RolloutId>>,
}

impl State {
    pub fn new(plugin: &str, digest: u128, active: Active, inert: Option<Errors>) -> Self {
        Self {
            plugin: plugin.into(),
            gauges: Gauges::of(plugin),
            digest,
            active,
            inert,
            in_use: Cell::new(false),
            seen_change: Cell::new(0),
            late: Cell::default(),
        }
    }

    /// A stream came to this configuration, so the gauges have to tell of it.
    pub fn used(&self) {
        self.in_use.set(true);
        if !self.gauges.tell_of(self.digest) {
            self.show_gauges();
        }
    }

    pub fn show_gauges(&self) {
        let plugin = [("divvy_plugin", &*self.plugin)];
        let own = [
            (
                "divvy_config_hash",
                u64::from(self.active.policy.fingerprint),
            ),
            ("divvy_config_inert", u64::from(self.inert.is_some())),
        ];
        let own = own.map(|(metric, value)| (output::series(&plugin, metric), value));
        let rollouts = || self.active.policy.numbered().map(|(id, _)| id);
        let weights = |id| self.weights(id);
        let first = rollouts().take(DEFINED_AT_ONCE).flat_map(weights);
        let late = rollouts().skip(DEFINED_AT_ONCE).flat_map(weights);
        self.late.take();
        self.gauges.show(self.digest, first.chain(own), late);
    }

    /// Makes the gauges tell of this configuration if streams come to it, which the other
    /// VMs cannot see; and says what is wrong with it.
    pub fn look_after_gauges(&self) {
        let owner = self.gauges.owner();
        let change = owner.map_or(0, |(_, change)| change);
        if self.seen_change.replace(change) != change {
            // The streams since the last tick may have come before the change: whoever
            // gets streams now will have one more by the next.
            self.in_use.set(false);
            self.late.take();
        }
        let tells_of_this = owner.is_some_and(|(digest, _)| digest == self.digest);
        if self.in_use.take() && !tells_of_this {
            self.show_gauges();
        }
        // A root that was followed by another ticks on while a stream of it lives.
        if tells_of_this {
            self.remind();
        }
    }

    /// Shows the weights of rollouts that are beyond the first 50 and decide for the first
    /// time.
    pub fn show_weights_of(&self, decisions: &[Decision]) {
        let beyond = |decision: &&Decision| usize::from(decision.rollout.0) >= DEFINED_AT_ONCE;
        let mut late = self.late.take();
        let mut gauges = Vec::new();
        for decision in decisions.iter().filter(beyond) {
            if late.insert(decision.rollout) {
                gauges.extend(self.weights(decision.rollout));
            }
        }
        self.late.set(late);
        if !gauges.is_empty() {
            self.gauges.add(gauges);
        }
    }

    /// The gauges of what each version of a rollout has now.
    fn weights(&self, id: RolloutId) -> impl Iterator<Item = (String, u64)> {
        let rollout = self.active.policy.rollout(id);
        let counted = rollout.filter(|rollout| rollout.metrics > Metrics::Off);
        counted.into_iter().flat_map(move |rollout| {
            let shares = self.active.shares(id);
            shares.map(|(version, share)| {
                let name = output::weight_series(&rollout.name, version);
                (name, u64::from(share))
            })
        })
    }

    /// Says what is wrong, if this is an inert configuration and it is time.
    fn remind(&self) {
        let Some(errors) = &self.inert else { return };
        let now = host::realtime_nanos().unwrap_or_default();
        let minute = now.checked_div(NANOS_PER_REMINDER).unwrap_or_default();
        if Marks::new(&self.plugin).my_turn(minute) {
            report(
                "this proxy has no valid configuration and serves stable",
                errors,
            );
        }
    }
}

/// Logs what is wrong, a line for each error.
pub fn report(what: &str, errors: &Errors) {
    let count = errors.count();
    let plural = if count == 1 { "" } else { "s" };
    log::error!("{what}: {count} error{plural}");
    for error in errors.iter() {
        log::error!("{error}");
    }
    if errors.further() > 0 {
        log::error!("and {} more", errors.further());
    }
}
