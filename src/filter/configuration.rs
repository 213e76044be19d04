//! What a plugin and its requests share of one configuration.

mod standings;

use std::cell::Cell;
use std::rc::Rc;

use super::active::{ActivePolicy, DEFINED_AT_ONCE};
use super::chain;
use super::facts::Facts;
use super::gauges::Gauges;
use super::host::{Host, MetricId};
use super::marks::{self, Marks};
use super::metrics;
use super::reach::Reach;
use super::vm::Vm;
use super::watch::Watch;
use crate::config::Errors;
use crate::decision::Decision;
use crate::guardrail::Arm;
use crate::output;
use crate::policy::{Rollout, RolloutId};
use crate::response::FinishedRequest;

/// Seconds between two messages about a configuration that was accepted inert.
const REMINDER_SECONDS: u64 = 60;

/// Maximum number of late rollouts whose gauges one tick defines: 3 ms.
const LATE_PER_TICK: usize = 100;

/// One configuration of one plugin in one VM.
pub struct Configuration<H> {
    pub(super) vm: Rc<Vm<H>>,
    pub(super) active: ActivePolicy,
    pub(super) watch: Watch,
    pub(super) reach: Reach,
    plugin: Box<str>,
    gauges: Rc<Gauges>,
    /// Digest of the configuration's bytes.
    digest: u128,
    /// Errors of an invalid configuration that was accepted inert.
    inert: Option<Errors>,
    /// Whether a request came since the gauges last changed their configuration.
    used_since_change: Cell<bool>,
    /// Generation of the gauges' owner at the last tick.
    seen_owner: Cell<u32>,
    /// Whether the gauges of the process are of this configuration and still show another one.
    outdated: Cell<bool>,
    /// The rollouts beyond the first [`DEFINED_AT_ONCE`].
    late: Vec<Cell<Late>>,
    /// Whether a request ever came.
    ever_used: Cell<bool>,
    /// Whether a request came since the last tick.
    used_since_tick: Cell<bool>,
    /// Whether requests come to this configuration and to others by turns.
    alternates: Cell<bool>,
    /// Rollouts whose gauges change without a new configuration: those that are watched,
    /// and those that follow them.
    moving: Vec<RolloutId>,
    /// Whether some of them change by other causes than outages.
    moves: bool,
    /// Values of their gauges that this VM set last.
    shown: Cell<Vec<Vec<u64>>>,
    /// Names of the reserved headers of requests and of responses, a line each, for later divvy
    /// filters of the chain.
    pub(super) header_names: [Box<str>; 2],
    /// Counter of requests whose baggage has no room for the assignment.
    pub(super) full_baggage: Option<MetricId>,
    /// Buffer for header values, reused by all requests.
    pub(super) buffer: Cell<Vec<u8>>,
}

/// The gauges of a rollout beyond the first [`DEFINED_AT_ONCE`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    /// It has not decided since the gauges last changed their configuration.
    Unused,
    /// It has decided, so a tick shows its gauges.
    Decided,
    /// They are shown.
    Shown,
}

impl<H: Host> Configuration<H> {
    pub(super) fn new(
        vm: Rc<Vm<H>>,
        plugin: &str,
        digest: u128,
        active: ActivePolicy,
        inert: Option<Errors>,
    ) -> Self {
        let late = active.policy.rollouts.len().saturating_sub(DEFINED_AT_ONCE);
        Self {
            full_baggage: metrics::full_baggage(&vm, plugin, &active.policy),
            watch: Watch::new(plugin, &active.policy),
            reach: Reach::new(plugin, &active.policy),
            moves: active.policy.rollouts.iter().any(|one| one.plan.is_some()),
            moving: active.policy.moving(),
            header_names: chain::header_names(&active.policy),
            plugin: plugin.into(),
            gauges: vm.gauges(plugin),
            vm,
            digest,
            active,
            inert,
            used_since_change: Cell::new(false),
            seen_owner: Cell::new(0),
            outdated: Cell::new(false),
            late: vec![Cell::new(Late::Unused); late],
            ever_used: Cell::new(false),
            used_since_tick: Cell::new(false),
            alternates: Cell::new(false),
            shown: Cell::default(),
            buffer: Cell::default(),
        }
    }

    /// Facts for decisions, without a request.
    pub(super) fn facts(&self) -> Facts<'_, H> {
        Facts {
            vm: &self.vm,
            watch: &self.watch,
            reach: &self.reach,
            active: &self.active,
        }
    }

    /// A request came to this configuration, so the gauges have to show it. A tick sets them:
    /// a thousand rollouts take 26 ms. Other VMs may have judged the rollouts since this
    /// configuration last had requests, so their states are reloaded.
    pub(super) fn on_request(&self) {
        self.used_since_change.set(true);
        self.used_since_tick.set(true);
        let first = !self.ever_used.replace(true);
        if !self.gauges.show_here(self.digest) {
            self.alternates.set(!first);
            self.gauges.claim(&self.vm.host, self.digest);
            self.outdated.set(true);
            self.hide_late();
            self.reload();
        }
        // Not at the first tick: if pushes come faster than ticks, nothing would be judged.
        if first {
            self.vm.plugins.set(marks::plugins(&self.vm.host));
            self.merge(|| self.is_in_charge());
        }
    }

    /// Reads what other VMs know.
    fn reload(&self) {
        let (host, policy) = (&self.vm.host, &self.active.policy);
        self.watch.reload(host, policy);
        self.reach.tick(host, policy);
    }

    /// Makes the gauges show this configuration. Other VMs may have judged its rollouts
    /// since it was configured or last had requests, so their states are reloaded.
    pub(super) fn show_gauges(&self) {
        self.reload();
        let _ = self.reach.take_changed();
        self.active.update_shares(&self.facts());
        self.outdated.set(false);
        self.hide_late();
        let mut values = Vec::new();
        let mut late = Vec::new();
        for (id, _) in self.active.policy.numbered() {
            if self.late(id).is_some() {
                late.extend(self.gauges_of(id));
            } else {
                values.extend(self.gauges_of(id));
            }
        }
        let plugin = [("divvy_plugin", &*self.plugin)];
        let hash = self.active.policy.fingerprint;
        for (metric, value) in [
            ("divvy_config_hash", u64::from(hash)),
            ("divvy_config_inert", u64::from(self.inert.is_some())),
        ] {
            values.push((output::series(&plugin, metric), value));
        }
        for (id, place) in self.active.key_ids.iter().zip(1..) {
            values.push((output::key_series(id), place));
        }
        self.gauges.show(&self.vm, self.digest, &values, &late);
        let moving = self.moving.iter().map(|id| self.values_of(*id));
        self.shown.set(moving.collect());
    }

    /// Periodic work: merges and judges the counts, keeps the gauges current and repeats
    /// the errors of a configuration that was accepted inert.
    pub(super) fn on_tick(&self) {
        if !self.used_since_tick.take() {
            self.alternates.set(false);
        }
        self.vm.plugins.set(marks::plugins(&self.vm.host));
        self.merge(|| self.is_in_charge());
        self.reach.tick(&self.vm.host, &self.active.policy);
        if self.update_gauges() {
            self.show_late();
            self.show_changes();
        }
    }

    /// Merges the counts for the last time. Other configurations judge them.
    pub(super) fn flush(&self) {
        self.alternates.set(false);
        self.merge(|| false);
    }

    /// Merges the counts. `in_charge` costs a host call, so it is asked only if something is
    /// watched.
    fn merge(&self, in_charge: impl Fn() -> bool) {
        if !self.watch.is_empty() {
            let host = &self.vm.host;
            self.watch.tick(host, &self.active.policy, in_charge());
        }
    }

    /// Whether the gauges of the process show this configuration.
    fn owns_gauges(&self) -> bool {
        let owner = self.gauges.owner(&self.vm.host);
        owner.is_some_and(|(digest, _)| digest == self.digest)
    }

    /// Whether new requests come to this configuration, which then judges. A configuration
    /// that never got one, because Envoy refused the update or is still warming it, must
    /// not end the verdicts of the one in force.
    ///
    /// If several get requests by turns, the gauges show the one that got the last. The
    /// others judge as well while they get any between two ticks.
    fn is_in_charge(&self) -> bool {
        self.ever_used.get() && (self.alternates.get() || self.owns_gauges())
    }

    /// Counts the outcome of a request for a watched rollout that decided it.
    pub(super) fn judge(&self, id: RolloutId, arm: Arm, finished: &FinishedRequest) {
        let policy = &self.active.policy;
        let plan = policy.rollout(id).and_then(|rollout| rollout.plan.as_ref());
        let Some(plan) = plan else { return };
        if self.watch.record(id, plan, arm, finished) {
            let in_charge = self.is_in_charge();
            let host = &self.vm.host;
            if self.watch.merge_now(host, id, policy, in_charge) && self.owns_gauges() {
                self.show_changes();
            }
        }
    }

    /// Sets the gauges whose values changed since the last tick: shares that grow, versions
    /// that are rolled back or unreachable.
    fn show_changes(&self) {
        let outages = self.reach.take_changed();
        if !(outages || self.moves) || self.outdated.get() {
            return;
        }
        self.active.update_shares(&self.facts());
        let mut shown = self.shown.take();
        shown.resize(self.moving.len(), Vec::new());
        for (id, shown) in self.moving.iter().zip(&mut shown) {
            let rollout = self.active.policy.rollout(*id);
            if !outages && rollout.is_some_and(Rollout::moves_by_outages_alone) {
                continue;
            }
            if self.late(*id).is_some_and(|late| late.get() != Late::Shown) {
                continue;
            }
            let now = self.values_of(*id);
            if now != *shown {
                self.vm.set_gauges(&self.gauges_of(*id));
                *shown = now;
            }
        }
        self.shown.set(shown);
    }

    /// Makes the gauges show this configuration if requests come to it in this VM. Whether they
    /// show it.
    fn update_gauges(&self) -> bool {
        let owner = self.gauges.owner(&self.vm.host);
        let generation = owner.map_or(0, |(_, generation)| generation);
        if self.seen_owner.replace(generation) != generation {
            // The requests since the last tick may have come before the change. If this
            // configuration still gets some, it is shown at the next tick.
            self.used_since_change.set(false);
            self.hide_late();
        }
        let owns = owner.is_some_and(|(digest, _)| digest == self.digest);
        let used = self.used_since_change.take();
        let changes = if owns { self.outdated.get() } else { used };
        if changes {
            self.show_gauges();
        }
        // A configuration that was replaced still ticks while it has open requests.
        if owns {
            self.remind();
        }
        owns || changes
    }

    /// These rollouts have decided: a tick shows the gauges of those beyond the first
    /// [`DEFINED_AT_ONCE`].
    pub(super) fn note_late(&self, decisions: &[Decision]) {
        if self.late.is_empty() {
            return;
        }
        for decision in decisions {
            if let Some(late) = self.late(decision.rollout)
                && late.get() == Late::Unused
            {
                late.set(Late::Decided);
            }
        }
    }

    /// Shows the gauges of rollouts that have decided, as many as one tick has time for.
    fn show_late(&self) {
        let mut gauges = Vec::new();
        let numbered = self.active.policy.numbered().skip(DEFINED_AT_ONCE);
        let late = numbered.zip(&self.late);
        let decided = late.filter(|(_, late)| late.get() == Late::Decided);
        for ((id, _), late) in decided.take(LATE_PER_TICK) {
            late.set(Late::Shown);
            gauges.extend(self.gauges_of(id));
        }
        if !gauges.is_empty() {
            self.gauges.add(&self.vm, &gauges);
        }
    }

    /// The gauges change their configuration: those of late rollouts are shown again once
    /// they decide.
    fn hide_late(&self) {
        let late = self.late.iter();
        for late in late.filter(|late| late.get() == Late::Shown) {
            late.set(Late::Unused);
        }
    }

    /// `None` for the first [`DEFINED_AT_ONCE`] rollouts.
    fn late(&self, id: RolloutId) -> Option<&Cell<Late>> {
        let index = usize::from(id.0).checked_sub(DEFINED_AT_ONCE)?;
        self.late.get(index)
    }

    /// Repeats the errors of a configuration that was accepted inert, in one VM per period.
    fn remind(&self) {
        let Some(errors) = &self.inert else { return };
        let now = self.vm.host.now().unwrap_or_default();
        let period = now.as_secs() / REMINDER_SECONDS;
        if Marks::new(&self.vm.host, &self.plugin).is_turn(period) {
            report(
                "this proxy has no valid configuration and serves stable",
                errors,
            );
        }
    }
}

/// Logs the errors of a configuration, a line each.
pub(super) fn report(what: &str, errors: &Errors) {
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
