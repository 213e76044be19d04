//! Outcomes of requests to the versions that a guardrail or a ramp watches.
//!
//! Each VM counts its own requests between two ticks and keeps the state of its last merge.
//! Counts and verdicts of all VMs are in shared data, one value per rollout, so they outlive
//! a push that replaces all VMs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::host::{Host, SharedKey};
use super::marks;
use super::waiting::Waiting;
use crate::guardrail::clock::JUMP;
use crate::guardrail::merge::{Merge, Merged};
use crate::guardrail::{Arm, Local, Plan, State, Transition};
use crate::policy::{Policy, Rollout, RolloutId};
use crate::response::{BodyProgress, FinishedRequest, HealthSample};

/// The watched rollouts of one configuration in one VM.
pub struct Watch {
    watched: Vec<Watched>,
    /// By rollout: its index in `watched`.
    indices: Vec<Option<usize>>,
    /// Time of this VM's last tick, in milliseconds since the Unix epoch. A large difference
    /// to the present shows a clock that jumped.
    ticked: Cell<Option<u64>>,
    /// The same on the monotonic clock, in nanoseconds.
    beat: Cell<Option<u64>>,
}

/// Nanoseconds between two ticks. A time for which no host call is made is estimated as the time of
/// the next tick, so that a wait is never taken for longer than it was.
const TICK: u64 = 1_000_000_000;

struct Watched {
    rollout: RolloutId,
    /// Key in shared data.
    key: Box<str>,
    /// Counts since the last merge.
    local: Cell<Option<Local>>,
    /// State at the last merge.
    state: Cell<Option<Rc<State>>>,
    /// Milliseconds after which a version that a stream waits for hangs; `None`: never.
    patience: Option<u32>,
    /// Streams that wait for a version.
    waiting: Cell<Option<Box<Waiting>>>,
}

impl Watch {
    /// Watches the rollouts that have a plan, with nothing counted and no state.
    pub fn new(plugin: &str, policy: &Policy) -> Self {
        let mut watched = Vec::new();
        let mut indices = Vec::new();
        for (id, rollout) in policy.numbered() {
            let Some(plan) = &rollout.plan else {
                indices.push(None);
                continue;
            };
            indices.push(Some(watched.len()));
            watched.push(Watched {
                rollout: id,
                key: marks::key(plugin, "guardrail", &rollout.name),
                local: Cell::new(Some(Local::new(plan))),
                state: Cell::new(None),
                patience: plan
                    .patience()
                    .and_then(|time| u32::try_from(time.as_millis()).ok()),
                waiting: Cell::default(),
            });
        }
        Self {
            watched,
            indices,
            ticked: Cell::new(None),
            beat: Cell::new(None),
        }
    }

    /// Whether no rollout is watched.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Reloads the states from shared data, when this configuration becomes current.
    pub fn reload(&self, host: &impl Host, policy: &Policy) {
        for watched in &self.watched {
            let Some((_, plan)) = planned(policy, watched.rollout) else {
                continue;
            };
            let before = watched.state.take();
            let shared = host.shared(&watched.key).map(|(bytes, _)| bytes);
            let shared = shared.filter(|bytes| !bytes.is_empty());
            // A host that does not answer takes no verdict back.
            let opened = if shared.is_some() || before.is_none() {
                State::open(plan, shared.as_deref(), true).map(Rc::new)
            } else {
                None
            };
            watched.state.set(opened.or(before));
        }
    }

    /// Time for ramps, in milliseconds since the Unix epoch. After a jump of the clock this
    /// stays the time of the last tick, until the next one has judged the ramps.
    pub fn clock(&self, host: &impl Host) -> Option<u64> {
        let now = now(host)?;
        let ticked = self.ticked.get();
        let jumped = |ticked: &u64| now.saturating_sub(*ticked) > JUMP;
        Some(ticked.filter(jumped).unwrap_or(now))
    }

    /// State of a rollout at the last merge.
    pub fn state(&self, rollout: RolloutId) -> Option<Rc<State>> {
        let watched = self.get(rollout)?;
        let state = watched.state.take();
        watched.state.set(state.clone());
        state
    }

    /// Counts the end of a request. `true` if this must be merged before the next tick.
    pub fn record(
        &self,
        rollout: RolloutId,
        plan: &Plan,
        arm: Arm,
        finished: &FinishedRequest,
    ) -> bool {
        let Some(watched) = self.get(rollout) else {
            return false;
        };
        let mut local = watched.local.take();
        let urgent = local.as_mut().is_some_and(|local| {
            let sample = finished.sample(plan.patience());
            local.record(plan, arm, sample, finished.counted_latency(sample))
        });
        watched.local.set(local);
        urgent
    }

    /// Merges all watched rollouts, and judges them if this configuration is in charge.
    pub fn tick(&self, host: &impl Host, policy: &Policy, in_charge: bool) {
        let beat = host.monotonic_nanos();
        self.beat.set(beat);
        if let Some(beat) = beat {
            for watched in &self.watched {
                watched.count_due(host, policy, beat);
            }
        }
        let Some(now) = now(host) else { return };
        for watched in &self.watched {
            self.merge(host, watched, policy, now, in_charge);
        }
        self.ticked.set(Some(now));
    }

    /// The present on the monotonic clock, without a host call: the time of the next tick.
    pub fn next_beat(&self) -> Option<u64> {
        Some(self.beat.get()?.saturating_add(TICK))
    }

    /// Changes the streams that wait for the versions of a rollout. `None` if none can wait.
    pub fn waiting<T>(
        &self,
        rollout: RolloutId,
        change: impl FnOnce(&mut Waiting) -> Option<T>,
    ) -> Option<T> {
        let watched = self.get(rollout)?;
        watched.patience?;
        let mut waiting = watched.waiting.take().unwrap_or_default();
        let changed = change(&mut waiting);
        watched.waiting.set(Some(waiting));
        changed
    }

    /// Merges one rollout. Whether the standing of a version changed.
    pub fn merge_now(
        &self,
        host: &impl Host,
        rollout: RolloutId,
        policy: &Policy,
        in_charge: bool,
    ) -> bool {
        match (self.get(rollout), now(host)) {
            (Some(watched), Some(now)) => self.merge(host, watched, policy, now, in_charge),
            _ => false,
        }
    }

    fn get(&self, rollout: RolloutId) -> Option<&Watched> {
        let index = *self.indices.get(usize::from(rollout.0))?;
        self.watched.get(index?)
    }

    fn merge(
        &self,
        host: &impl Host,
        watched: &Watched,
        policy: &Policy,
        now: u64,
        in_charge: bool,
    ) -> bool {
        let Some((rollout, plan)) = planned(policy, watched.rollout) else {
            return false;
        };
        let Some(mut local) = watched.local.take() else {
            return false;
        };
        let merge = Merge::new(now, self.ticked.get(), in_charge);
        let merged = merge.run(plan, &mut local, &mut SharedKey::new(host, &watched.key));
        watched.local.set(Some(local));
        let Merged::Current(state, transitions) = merged else {
            return false;
        };
        for transition in &transitions {
            log(&rollout.name, transition, plan);
        }
        watched.state.set(Some(Rc::new(state)));
        !transitions.is_empty()
    }
}

impl Watched {
    /// Counts the streams whose version hangs, once each: those without response headers, and
    /// those whose body does not go on.
    fn count_due(&self, host: &impl Host, policy: &Policy, beat: u64) {
        let (Some(patience), Some((_, plan))) = (self.patience, planned(policy, self.rollout))
        else {
            return;
        };
        let Some(mut waiting) = self.waiting.take() else {
            return;
        };
        let mut local = self.local.take();
        for due in waiting.take_due(patience, millis(beat)) {
            let mut waited = Some(Duration::from_millis(due.waited.into()));
            if due.in_body {
                let progress = host.body_progress_of(due.stream);
                if !progress.is_some_and(BodyProgress::is_stalled) {
                    waiting.idle(due.place);
                    continue;
                }
                waited = None;
            }
            if let Some(local) = &mut local {
                // Merged by this tick in any case.
                let _ = local.record(plan, Arm(due.arm), HealthSample::Failure, waited);
            }
            waiting.set_counted(due.place);
        }
        self.local.set(local);
        self.waiting.set(Some(waiting));
    }
}

/// Nanoseconds as milliseconds, modulo 2³².
#[allow(clippy::cast_possible_truncation, reason = "modulo")]
pub const fn millis(nanos: u64) -> u32 {
    (nanos / 1_000_000) as u32
}

/// A rollout and its plan, if it has one.
fn planned(policy: &Policy, rollout: RolloutId) -> Option<(&Rollout, &Plan)> {
    let rollout = policy.rollout(rollout)?;
    Some((rollout, rollout.plan.as_ref()?))
}

fn log(rollout: &str, transition: &Transition, plan: &Plan) {
    let line = transition.line(plan);
    if transition.is_breach() {
        log::warn!("rollout {rollout}: {line}");
    } else {
        log::info!("rollout {rollout}: {line}");
    }
}

/// Milliseconds since the Unix epoch.
fn now(host: &impl Host) -> Option<u64> {
    u64::try_from(host.now()?.as_millis()).ok()
}
