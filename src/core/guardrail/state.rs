//! Shared state of one rollout: counts, verdicts and ramp positions of all VMs of a process. Must
//! not depend on how shared data is read or written.
//!
//! A caller reads the blob, opens it, ticks and writes it back by compare-and-swap. After a
//! conflict it starts over:
//!
//! ```
//! # use divvy_core::guardrail::*;
//! # let plan = Plan::new("1", Guardrail::default(), None, "v1", ["v2"]);
//! # let (local, shared, now) = (&mut Local::new(&plan), None::<(Vec<u8>, u32)>, 0);
//! # let (ticked_before, current) = (None, true);
//! # let swap = |_: Vec<u8>| true;
//! let bytes = shared.as_ref().map(|(bytes, _)| &bytes[..]);
//! if let Some(mut state) = State::open(&plan, bytes, current) {
//!     let ticked = state.tick(&plan, local, now, ticked_before, current);
//!     if !ticked.changed || swap(state.encode()) {
//!         state.clear(&plan, local);
//!         for transition in &ticked.transitions {
//!             println!("{}", transition.line(&plan));
//!         }
//!     } // else: start over, a bounded number of times; after that, with the next tick
//! }
//! ```
//!
//! The blob contains several revisions, each with its verdicts, and for each the counts of several
//! sets of limits. A state is opened for one revision and one set of limits and leaves the others
//! unchanged, so configurations that receive new streams at the same time do not interfere.
//!
//! `current` means that the configuration receives new streams. A configuration that has been
//! replaced adds the counts of its last requests if counts of its limits still exist, and judges
//! nothing.

use super::blob;
use super::clock::ClockChange;
use super::evidence::Tally;
use super::local::Local;
use super::plan::{Arm, OnBreach, Plan};
use super::ramp::CurrentStep;
use super::revision::{LimitCounts, MAX_LIMITS, MAX_REVISIONS, RevisionState};
use super::transition::{Transition, TransitionKind};
use super::units::millis;
use super::verdict::{self, Cause};
use super::version::{Phase, Standing, VersionState, observed};
use super::window::{Lookback, SlotLengths};
use crate::bucket::Share;

/// Maximum time in milliseconds between writes of an unchanged state, so that it knows the time.
const HEARTBEAT: u64 = 10_000;
/// Maximum number of versions that are kept although the configuration does not have them.
const MAX_REMOVED: usize = 32;

/// Shared state of one rollout, opened for one revision and one set of limits.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The revision, with the counts of other limits.
    own: RevisionState,
    /// Hash of the limits whose counts the versions have.
    limits: u64,
    /// Whether counts may be added; not if a replaced configuration finds no counts of its limits.
    accepts_counts: bool,
    /// Other revisions, most recently written first.
    others: Vec<RevisionState>,
}

/// Result of a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticked {
    /// Whether the state must be written.
    pub changed: bool,
    /// Transitions to log after the state was written.
    pub transitions: Vec<Transition>,
}

/// Weight of a canary with a ramp; the scheduled one if there is no state.
pub fn weight(plan: &Plan, state: Option<&State>, arm: Arm, now: u64) -> Share {
    let scheduled = || plan.ramp.as_ref().map(|ramp| ramp.scheduled(now));
    match state {
        Some(state) => state.weight(plan, arm, now),
        None => scheduled().unwrap_or(Share::NONE),
    }
}

/// Whether the ramp of a rollout waits for evidence; not if there is no state.
pub fn is_waiting(plan: &Plan, state: Option<&State>) -> bool {
    let version = state.and_then(|state| state.own.version(plan, Arm::RAMPED));
    plan.waits() && version.is_some_and(|version| version.waiting)
}

/// Verdict on a version; healthy if there is no state.
pub fn standing(plan: &Plan, state: Option<&State>, arm: Arm) -> Standing {
    state.map_or(Standing::Healthy, |state| state.standing(plan, arm))
}

impl State {
    /// Decodes the state for the revision and limits of `plan`.
    ///
    /// If the bytes contain nothing about the revision: a new state for a current configuration,
    /// which replaces the least recently written revision; `None` for a replaced one. A replaced
    /// configuration gets a new state only if there are no bytes, because its first requests may
    /// end after the replacement.
    pub fn open(plan: &Plan, bytes: Option<&[u8]>, current: bool) -> Option<Self> {
        let creates = current || bytes.is_none();
        let revisions = bytes.and_then(blob::decode).unwrap_or_default();
        let (own, mut others): (Vec<_>, Vec<_>) = revisions
            .into_iter()
            .partition(|revision| revision.revision == plan.revision);
        let mut own = match own.into_iter().next() {
            Some(own) => own,
            None if creates => RevisionState::new(plan.revision),
            None => return None,
        };
        others.truncate(MAX_REVISIONS.saturating_sub(1));
        let limits = plan.limits_key();
        let accepts_counts = own.take_counts(limits) || creates;
        own.counts.truncate(MAX_LIMITS.saturating_sub(1));
        if creates {
            update_versions(&mut own, plan);
        }
        Some(Self {
            own,
            limits,
            accepts_counts,
            others,
        })
    }

    /// Encodes the state in at most 16 KiB. If that is too little, latencies and then counts of
    /// other limits are dropped.
    pub fn encode(&self) -> Vec<u8> {
        let mut own = RevisionState {
            counts: vec![LimitCounts::of(self.limits, &self.own.versions)],
            ..self.own.clone()
        };
        own.counts.extend(self.own.counts.iter().cloned());
        let mut revisions = vec![own];
        revisions.extend(self.others.iter().cloned());
        blob::encode(revisions)
    }

    /// Merges the counts of a worker and, if current, judges. `ticked_before`: time of this
    /// worker's last tick, which reveals that the clock was set ahead.
    pub fn tick(
        &mut self,
        plan: &Plan,
        local: &Local,
        now: u64,
        ticked_before: Option<u64>,
        current: bool,
    ) -> Ticked {
        let mut transitions = Vec::new();
        let mut changed = false;
        let clock = self.own.clock_change(now, ticked_before);
        // A replaced configuration has outdated limits and ramp steps. It does not adapt the state
        // to the clock and does not write the time, by which others detect the change; its counts
        // are dropped.
        if !self.accepts_counts || (!current && clock != ClockChange::None) {
            return Ticked {
                changed,
                transitions,
            };
        }
        let heartbeat = current && now.abs_diff(self.own.seen) >= HEARTBEAT;
        if current {
            self.own
                .adapt_to_clock(plan, now, ticked_before, clock, &mut transitions);
        }
        let now = now.max(self.own.seen);
        self.merge(plan, local, now);
        if current {
            for (arm, _) in plan.arms().skip(1) {
                let before = self.judged(plan, arm);
                transitions.extend(self.judge(plan, local, arm, now));
                let kind = self.own.advance(plan, now);
                transitions.extend(kind.map(|kind| Transition { arm, kind }));
                changed |= self.judged(plan, arm) != before;
            }
        }
        changed |= heartbeat || !local.is_empty() || !transitions.is_empty();
        if changed && current {
            self.own.seen = now;
        }
        Ticked {
            changed,
            transitions,
        }
    }

    /// Removes the counts of a worker. To be called after this state, which contains them, was
    /// written.
    pub fn clear(&self, plan: &Plan, local: &mut Local) {
        local.clear(plan, |arm| {
            let version = self.own.version(plan, arm);
            version.map_or(0, |version| version.attempt)
        });
    }

    fn merge(&mut self, plan: &Plan, local: &Local, now: u64) {
        if local.is_empty() {
            return;
        }
        let guardrail = &plan.guardrail;
        for (arm, _) in plan.arms() {
            let Some(version) = self.own.version_mut(plan, arm) else {
                continue;
            };
            let (errors, latencies) = (local.errors(arm), local.latencies(arm));
            if let Some(limit) = &guardrail.errors
                && errors.tally.all > 0
            {
                let lengths = SlotLengths::of(limit.window);
                version.windows.errors.add(lengths, now, &errors);
            }
            if let Some(limit) = &guardrail.latency
                && latencies.tally.all > 0
            {
                let lengths = SlotLengths::of(limit.window);
                version.windows.latencies.add(lengths, now, &latencies);
            }
            if plan.waits() {
                let step = &mut version.windows.step;
                step.errors.add(&errors);
                step.latencies.add(&latencies);
            }
        }
    }

    fn judge(&mut self, plan: &Plan, local: &Local, arm: Arm, now: u64) -> Option<Transition> {
        let breach = self.breach(plan, local, arm, now);
        let weight = self.weight(plan, arm, now);
        let ramp = plan.ramp.as_ref();
        let version = self.own.version_mut(plan, arm)?;
        let progress = version.progress;
        let kind = match version.phase_by(plan) {
            Phase::Healthy => version.trip(plan, breach?, weight, now)?,
            Phase::Observed { until } => match breach {
                Some(_) => {
                    version.phase = observed(plan, now);
                    return None;
                }
                None if now < until => return None,
                None => {
                    version.phase = Phase::Healthy;
                    TransitionKind::Settled
                }
            },
            Phase::Frozen { weight, until } => match breach {
                Some(cause) => version.trip(plan, cause, weight, now)?,
                None => {
                    version.retry(until, now)?;
                    if let Some(ramp) = ramp {
                        let progress = ramp.thawed(weight, progress, now);
                        self.own.resume(plan, progress, now);
                    }
                    TransitionKind::Thawed { weight }
                }
            },
            Phase::RolledBack { until, .. } => {
                // The first step does not begin in a pause.
                if ramp.is_some_and(|ramp| ramp.next_begin(now) > now) {
                    return None;
                }
                version.retry(until, now)?;
                let first = ramp.map(|ramp| ramp.first(now));
                if let Some(progress) = first {
                    self.own.resume(plan, progress, now);
                }
                let weight = first.map(|progress| progress.weight);
                TransitionKind::Recovered { weight }
            }
        };
        Some(Transition { arm, kind })
    }

    /// The part of a version that judging may change without a transition.
    fn judged(
        &self,
        plan: &Plan,
        arm: Arm,
    ) -> Option<(Phase, Option<u64>, Option<CurrentStep>, bool)> {
        let version = self.own.version(plan, arm)?;
        let VersionState {
            phase, progress, ..
        } = version;
        Some((
            *phase,
            version.windows.slow_since,
            *progress,
            version.waiting,
        ))
    }

    /// The limit that a version breaches.
    fn breach(&mut self, plan: &Plan, local: &Local, arm: Arm, now: u64) -> Option<Cause> {
        let guardrail = &plan.guardrail;
        let min = guardrail.min_requests.max(1);
        let version = self.own.version(plan, arm)?;
        let is_frozen = match version.phase_by(plan) {
            Phase::RolledBack { .. } => return None,
            Phase::Frozen { .. } if guardrail.on_breach != OnBreach::StepBack => return None,
            phase => matches!(phase, Phase::Frozen { .. }),
        };
        if let Some(failures) = guardrail.consecutive_errors
            && local.breaches_consecutive(plan, arm, version.attempt)
        {
            return Some(Cause::Consecutive { failures });
        }
        // At most one step back per window.
        let since = version.progress.map_or(0, |progress| progress.since);
        if is_frozen && now.saturating_sub(since) < millis(guardrail.window()) {
            return None;
        }
        let stable = self.own.version(plan, Arm::STABLE);
        let failing = guardrail.errors.as_ref().and_then(|limit| {
            let stable = stable.map(|stable| &stable.windows.errors);
            verdict::errors(limit, min, &version.windows.errors, stable, now)
        });
        let limit = guardrail.latency.as_ref();
        let slow = limit.and_then(|limit| {
            let stable = stable.map(|stable| &stable.windows.latencies);
            verdict::latency(limit, min, &version.windows.latencies, stable, now)
        });
        let lasting = limit.map_or(0, |limit| millis(limit.lasting));
        let version = self.own.version_mut(plan, arm)?;
        let since = slow.map(|_| version.windows.slow_since.unwrap_or(now));
        version.windows.slow_since = since;
        let lasts = since.is_some_and(|since| now.saturating_sub(since) >= lasting);
        failing.or(slow.filter(|_| lasts))
    }

    /// Weight of a canary with a ramp, which determines its users; a rollback does not change
    /// it. [`Share::NONE`] without a ramp.
    pub fn weight(&self, plan: &Plan, arm: Arm, now: u64) -> Share {
        self.own.weight(plan, arm, now)
    }

    /// Requests and failures of a version in the longest lookback of the limit on errors.
    pub fn known(&self, plan: &Plan, arm: Arm, now: u64) -> Tally {
        let limit = plan.guardrail.errors.as_ref();
        let version = self.own.version(plan, arm);
        limit
            .zip(version)
            .map_or_else(Tally::default, |(limit, version)| {
                let lengths = SlotLengths::of(limit.window);
                // Another worker may have written a slightly later time.
                let now = now.max(self.own.seen);
                version
                    .windows
                    .errors
                    .tally(lengths, now, Lookback::LONGEST)
            })
    }

    /// Verdict on a version.
    pub fn standing(&self, plan: &Plan, arm: Arm) -> Standing {
        let version = self.own.version(plan, arm);
        match version.map(|version| version.phase_by(plan)) {
            Some(Phase::RolledBack { .. }) => Standing::RolledBack,
            Some(Phase::Frozen { .. }) => Standing::Frozen,
            _ => Standing::Healthy,
        }
    }
}

/// Adds the versions of the plan. Removes others unless they have a verdict, with which they may
/// return in the next configuration, or counts, which another current configuration may use.
fn update_versions(own: &mut RevisionState, plan: &Plan) {
    let RevisionState {
        versions,
        counts,
        seen,
        ..
    } = own;
    let mut removed: usize = 0;
    // Versions with a verdict take precedence if there is not enough room for all.
    for held in [true, false] {
        versions.retain_mut(|version| {
            let planned = plan.keys().any(|key| key == version.name);
            if planned || (version.phase != Phase::Healthy) != held {
                return true;
            }
            let counted = version.is_counted(plan, *seen);
            if !counted {
                version.clear_counts();
            }
            let by_others = || counts.iter().any(|counts| counts.has(version.name));
            let stays = (held || counted || by_others()) && removed < MAX_REMOVED;
            removed = removed.saturating_add(usize::from(stays));
            stays
        });
    }
    for name in plan.keys() {
        if !versions.iter().any(|version| version.name == name) {
            versions.push(VersionState {
                name,
                ..VersionState::default()
            });
        }
    }
}
