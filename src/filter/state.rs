//! A configuration in use: what its root and its streams share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::active::{Active, DEFINED_AT_ONCE};
use super::host;
use super::marks::Marks;
use super::metrics::Gauges;
use super::proxy::Proxy;
use super::watch::Watch;
use crate::config::Errors;
use crate::decision::Decision;
use crate::guardrail;
use crate::output;
use crate::policy::{Metrics, RolloutId};
use crate::response::FinishedRequest;

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
    /// By rollout: whether it is one beyond the first 50 whose weights are shown, since it
    /// decided.
    late: Cell<Vec<bool>>,
    /// Whether a stream ever came.
    ever_used: Cell<bool>,
    /// Whether one came since the last tick.
    came: Cell<bool>,
    /// Whether streams come back to this configuration while others get some, too.
    shares: Cell<bool>,
    /// The rollouts whose gauges change by themselves: those that are watched, and those
    /// that follow them.
    moving: Vec<RolloutId>,
    /// What this VM last showed of those.
    shown: Cell<Vec<Vec<u64>>>,
    /// Memory for values of headers.
    text: RefCell<Vec<u8>>,
}

impl State {
    pub fn new(plugin: &str, digest: u128, active: Active, inert: Option<Errors>) -> Self {
        let watch = Watch::new(plugin, &active.policy);
        let moving = active.policy.moving();
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
            ever_used: Cell::new(false),
            came: Cell::new(false),
            shares: Cell::new(false),
            moving,
            shown: Cell::default(),
            text: RefCell::default(),
        }
    }

    /// A stream came to this configuration, so the gauges have to tell of it.
    pub fn used(&self) {
        self.in_use.set(true);
        self.came.set(true);
        let first = !self.ever_used.replace(true);
        if !self.gauges.tell_of(self.digest) {
            self.shares.set(!first);
            self.show_gauges();
        }
        // Not with the first tick: where pushes come faster than ticks, nobody would judge.
        if first && !self.watch.is_empty() {
            self.watch.tick(&self.active.policy, self.is_in_charge());
        }
    }

    /// Lends memory for values of headers.
    pub fn with_text(&self, run: impl FnOnce(&mut Vec<u8>)) {
        match self.text.try_borrow_mut() {
            Ok(mut text) => run(&mut text),
            Err(_) => run(&mut Vec::new()),
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
        self.late.take();
        self.shown.take();
        self.gauges.show(self.digest, |gauges| {
            for (id, _) in self.active.policy.numbered() {
                for (name, value) in self.gauges_of(id) {
                    if usize::from(id.0) < DEFINED_AT_ONCE {
                        gauges.set(&name, value);
                    } else {
                        gauges.set_late(&name, value);
                    }
                }
            }
            for (metric, value) in own {
                gauges.set(&output::series(&plugin, metric), value);
            }
        });
    }

    /// What has to be done from time to time: merges what was counted, judges it, keeps the
    /// gauges right, and says what is wrong with the configuration.
    pub fn tick(&self) {
        if !self.came.take() {
            self.shares.set(false);
        }
        if !self.watch.is_empty() {
            self.watch.tick(&self.active.policy, self.is_in_charge());
        }
        self.look_after_gauges();
        if !self.moving.is_empty() && self.gauges_are_its_own() {
            self.show_changes();
        }
    }

    /// Hands over what was counted, since nobody will come back for it. Judging is for those
    /// who go on.
    pub fn flush(&self) {
        self.shares.set(false);
        if !self.watch.is_empty() {
            self.watch.tick(&self.active.policy, false);
        }
    }

    /// Whether the gauges tell of this configuration, as far as all VMs know.
    fn gauges_are_its_own(&self) -> bool {
        let owner = self.gauges.owner();
        owner.is_some_and(|(digest, _)| digest == self.digest)
    }

    /// Whether new streams come to this configuration, which then judges. A configuration
    /// that never got one, since Envoy refused what came with it or has it still warming,
    /// must not end the verdicts of the one that is in force.
    ///
    /// Where several get streams by turns, the gauges tell of the one that got the last. A
    /// busy one would leave no tick to the others, so these judge as well, as long as they
    /// get any between two ticks.
    fn is_in_charge(&self) -> bool {
        self.ever_used.get() && (self.shares.get() || self.gauges_are_its_own())
    }

    /// Counts what came of a request for each rollout whose versions are watched.
    pub fn judge(&self, decisions: &[Decision], finished: &FinishedRequest) {
        let policy = &self.active.policy;
        for decision in decisions.iter().filter(|decision| decision.judged) {
            let Some(rollout) = policy.rollout(decision.rollout) else {
                continue;
            };
            if let Some((plan, arm)) = rollout.guarded(decision.version)
                && self.watch.record(decision.rollout, plan, arm, finished)
            {
                let in_charge = self.is_in_charge();
                if self.watch.merge_now(decision.rollout, policy, in_charge)
                    && self.gauges_are_its_own()
                {
                    self.show_changes();
                }
            }
        }
    }

    /// Shows what has changed since the last tick: weights that grow, versions that are
    /// taken back. Values are compared, and names made only for those that differ.
    fn show_changes(&self) {
        self.active.update_shares(&Proxy { watch: &self.watch });
        let late = self.late.take();
        let mut before = self.shown.take();
        before.resize(self.moving.len(), Vec::new());
        let mut changed = Vec::new();
        for (id, shown) in self.moving.iter().zip(&mut before) {
            let place = usize::from(id.0);
            if place >= DEFINED_AT_ONCE && late.get(place) != Some(&true) {
                continue;
            }
            let now = self.values_of(*id);
            if now != *shown {
                changed.extend(self.gauges_of(*id));
                *shown = now;
            }
        }
        self.late.set(late);
        self.shown.set(before);
        if !changed.is_empty() {
            self.gauges.add(&changed);
        }
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
        if self.active.policy.rollouts.len() <= DEFINED_AT_ONCE {
            return;
        }
        let beyond = |decision: &&Decision| usize::from(decision.rollout.0) >= DEFINED_AT_ONCE;
        let mut late = self.late.take();
        let mut gauges = Vec::new();
        for decision in decisions.iter().filter(beyond) {
            let place = usize::from(decision.rollout.0);
            if late.len() <= place {
                late.resize(self.active.policy.rollouts.len(), false);
            }
            if late
                .get_mut(place)
                .is_some_and(|shown| !std::mem::replace(shown, true))
            {
                gauges.extend(self.gauges_of(decision.rollout));
            }
        }
        self.late.set(late);
        if !gauges.is_empty() {
            self.gauges.add(&gauges);
        }
    }

    /// The gauges of a rollout: what each version has now, and how the watched ones stand.
    fn gauges_of(&self, id: RolloutId) -> Vec<(String, u64)> {
        let Some(rollout) = self.active.policy.rollout(id) else {
            return Vec::new();
        };
        let names = rollout.versions.iter().map(|version| &*version.name);
        let weights = names.filter(|_| rollout.metrics > Metrics::Off);
        let weights = weights.map(|name| output::weight_series(&rollout.name, name));
        let guarded = rollout.plan.iter().flat_map(|plan| plan.guarded());
        let states = guarded.map(|(_, name)| output::guardrail_series(&rollout.name, name));
        weights.chain(states).zip(self.values_of(id)).collect()
    }

    /// Their values, in the same order.
    fn values_of(&self, id: RolloutId) -> Vec<u64> {
        let mut values = Vec::new();
        let Some(rollout) = self.active.policy.rollout(id) else {
            return values;
        };
        if rollout.metrics > Metrics::Off {
            let shares = self.active.shares(id).into_iter();
            values.extend(shares.map(|(_, share)| u64::from(share)));
        }
        if let Some(plan) = &rollout.plan {
            let state = self.watch.state(id);
            let standing = |arm| guardrail::standing(plan, state.as_deref(), arm);
            values.extend(plan.guarded().map(|(arm, _)| standing(arm).gauge()));
        }
        values
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
