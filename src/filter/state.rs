//! A configuration in use: what its root and its streams share.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::active::{Active, DEFINED_AT_ONCE};
use super::host;
use super::marks::Marks;
use super::metrics::Gauges;
use super::proxy::Proxy;
use super::watch::Watch;
use crate::config::Errors;
use crate::decision::Decision;
use crate::guardrail::{Arm, Ended};
use crate::output;
use crate::policy::{Metrics, Rollout, RolloutId};

/// How often an inert filter says what is wrong.
const NANOS_PER_REMINDER: u64 = 60_000_000_000;

/// What a root shares with its streams.
pub struct State {
    plugin: Box<str>,
    gauges: Rc<Gauges>,
    /// Of the configuration's bytes.
    digest: u128,
    pub active: Active,
    pub watch: Watch,
    /// What is wrong with the configuration that was accepted all the same.
    inert: Option<Errors>,
    /// Whether a stream came since the last tick, and since the gauges last changed over.
    in_use: Cell<bool>,
    /// The change of the gauges that the last tick saw.
    seen_change: Cell<u32>,
    /// The rollouts beyond the first 50 whose weights are shown, since they decided.
    late: Cell<BTreeSet<RolloutId>>,
    /// What this VM last showed of the rollouts that are watched.
    shown: Cell<Vec<(String, u64)>>,
}

impl State {
    pub fn new(plugin: &str, digest: u128, active: Active, inert: Option<Errors>) -> Self {
        let watch = Watch::new(plugin, &active.policy);
        Self {
            plugin: plugin.into(),
            gauges: Gauges::of(plugin),
            digest,
            active,
            watch,
            inert,
            in_use: Cell::new(false),
            seen_change: Cell::new(0),
            late: Cell::default(),
            shown: Cell::default(),
        }
    }

    /// A stream came to this configuration, so the gauges have to tell of it.
    pub fn used(&self) {
        self.in_use.set(true);
        if !self.gauges.tell_of(self.digest) {
            self.show_gauges();
        }
    }

    /// Makes the gauges tell of this configuration, by what the others know by now: they may
    /// have judged since this one was configured or last had streams.
    pub fn show_gauges(&self) {
        self.watch.recall(&self.active.policy);
        self.active.update_shares(&Proxy { watch: &self.watch });
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
        let gauges = |id| self.gauges_of(id);
        let first = rollouts().take(DEFINED_AT_ONCE).flat_map(gauges);
        let late = rollouts().skip(DEFINED_AT_ONCE).flat_map(gauges);
        self.late.take();
        self.shown.take();
        self.gauges.show(self.digest, first.chain(own), late);
    }

    /// What has to be done from time to time: merges what was counted, judges it, keeps the
    /// gauges right, and says what is wrong with the configuration.
    pub fn tick(&self) {
        if !self.watch.is_empty() {
            self.watch.tick(&self.active.policy, self.is_in_charge());
        }
        self.look_after_gauges();
        if !self.watch.is_empty() && self.is_in_charge() {
            self.show_changes();
        }
    }

    /// Hands over what was counted, since nobody will come back for it.
    pub fn flush(&self) {
        self.watch.tick(&self.active.policy, self.is_in_charge());
    }

    /// Whether new streams come to this configuration, as far as all VMs know: it judges,
    /// and the gauges tell of it.
    fn is_in_charge(&self) -> bool {
        let owner = self.gauges.owner();
        owner.is_some_and(|(digest, _)| digest == self.digest)
    }

    /// Counts what came of a request for each rollout whose versions are watched.
    pub fn judge(&self, decisions: &[Decision], ended: &Ended) {
        let policy = &self.active.policy;
        for decision in decisions.iter().filter(|decision| decision.judged) {
            let Some(rollout) = policy.rollout(decision.rollout) else {
                continue;
            };
            if let (Some(plan), Some(arm)) = (&rollout.plan, rollout.arm(decision.version))
                && self.watch.record(decision.rollout, plan, arm, ended)
            {
                let in_charge = self.is_in_charge();
                self.watch.merge_now(decision.rollout, policy, in_charge);
            }
        }
    }

    /// Shows what has changed since the last tick: weights that grow, versions that are
    /// taken back.
    fn show_changes(&self) {
        self.active.update_shares(&Proxy { watch: &self.watch });
        let late = self.late.take();
        let is_shown = |id: &RolloutId| usize::from(id.0) < DEFINED_AT_ONCE || late.contains(id);
        let watched = self.watch.rollouts().filter(is_shown);
        let now: Vec<_> = watched.flat_map(|id| self.gauges_of(id)).collect();
        self.late.set(late);
        let before = self.shown.take();
        let changed = now.iter().filter(|gauge| !before.contains(gauge));
        let changed: Vec<_> = changed.cloned().collect();
        if !changed.is_empty() {
            self.gauges.add(changed);
        }
        self.shown.set(now);
    }

    /// Makes the gauges tell of this configuration if streams come to it, which the other
    /// VMs cannot see; and says what is wrong with it.
    fn look_after_gauges(&self) {
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
        for decision in decisions {
            if usize::from(decision.rollout.0) < DEFINED_AT_ONCE {
                continue;
            }
            let mut late = self.late.take();
            let first = late.insert(decision.rollout);
            self.late.set(late);
            if first {
                self.gauges.add(self.gauges_of(decision.rollout));
            }
        }
    }

    /// The gauges of a rollout: what each version has now, and how the watched ones stand.
    fn gauges_of(&self, id: RolloutId) -> Vec<(String, u64)> {
        let mut gauges = Vec::new();
        let counted = |rollout: &&Rollout| rollout.metrics > Metrics::Off;
        let Some(rollout) = self.active.policy.rollout(id).filter(counted) else {
            return gauges;
        };
        for (version, share) in self.active.shares(id) {
            let name = output::weight_series(&rollout.name, version);
            gauges.push((name, u64::from(share)));
        }
        if let Some(plan) = &rollout.plan {
            let state = self.watch.state(id);
            for (arm, version) in plan.arms().filter(|(arm, _)| *arm != Arm::STABLE) {
                let standing = plan.standing(state.as_deref(), arm);
                let name = output::guardrail_series(&rollout.name, version);
                gauges.push((name, standing.gauge()));
            }
        }
        gauges
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
