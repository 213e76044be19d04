//! What all VMs of a process know about a rollout: counts, verdicts, where its ramp was
//! held back. One small blob in shared data, merged by compare-and-swap.
//!
//! A caller reads the blob, opens it, ticks, writes it back, and begins anew where somebody
//! else wrote in between:
//!
//! ```
//! # use divvy::guardrail::*;
//! # let plan = Plan::new("1", Guardrail::default(), None, "v1", ["v2"]);
//! # let (local, shared, now) = (&mut Local::new(&plan), None::<(Vec<u8>, u32)>, 0);
//! # let (ticked_before, in_charge) = (None, true);
//! # let swap = |_: Vec<u8>| true;
//! let bytes = shared.as_ref().map(|(bytes, _)| &bytes[..]);
//! if let Some(mut state) = State::open(&plan, bytes, in_charge) {
//!     let ticked = state.tick(&plan, local, now, ticked_before, in_charge);
//!     if !ticked.changed || swap(state.encode()) {
//!         local.merged(&plan, &state);
//!         for transition in &ticked.transitions {
//!             println!("{}", transition.line(&plan));
//!         }
//!     } // else: read it again, a bounded number of times; else: with the next tick
//! }
//! ```
//!
//! Several revisions are [kept], each with its verdicts, and for each the counts by several
//! limits. A state is opened for one revision and its limits and leaves the rest alone, so
//! configurations that get new streams at the same time do not take from each other.
//!
//! Whoever does not get new streams is not **in charge**: the root of a configuration that
//! another one followed. It adds what its last requests had to say, if something counted by
//! its limits is still kept, and judges nothing.

use super::blob;
use super::clock::ClockSet;
use super::evidence::Tally;
use super::kept::{Counted, Kept, MAX_LIMITS, MAX_REVISIONS};
use super::local::Local;
use super::ramp::Ramp;
use super::transition::{Change, Transition};
use super::verdict::{self, Cause};
use super::version::{Phase, Standing, Version, observed};
use super::window::{Lengths, Span};
use super::{Arm, Plan, millis};
use crate::bucket::Share;

/// How often a state is written although nothing happened, so that it knows the time.
const HEARTBEAT: u64 = 10_000;
/// How many versions are remembered that the configuration does not have.
const MAX_STRANGERS: usize = 32;

/// What all VMs of a process know about a rollout. See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The revision, with what was counted by other limits.
    pub(super) own: Kept,
    /// By which limits was counted what its versions have.
    counted: u64,
    /// Whether something may be added: not where there is nothing to add it to.
    adds: bool,
    /// Other revisions, those first that were written last.
    beside: Vec<Kept>,
}

/// What came of a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticked {
    /// Whether the state has to be written.
    pub changed: bool,
    /// What happened, to be logged by whoever writes it.
    pub transitions: Vec<Transition>,
}

impl State {
    /// The state in these bytes, a new one where there are none: the first requests may end
    /// after the configuration that they came to. Where they hold nothing of this revision,
    /// a new one for who is in charge, in the place of the one that was written longest ago;
    /// `None` for others, who have nothing to say then.
    pub fn open(plan: &Plan, bytes: Option<&[u8]>, in_charge: bool) -> Option<Self> {
        let begins = in_charge || bytes.is_none();
        let kept = bytes.and_then(blob::decode).unwrap_or_default();
        let of_it = |kept: &Kept| kept.revision == plan.revision;
        let (own, mut beside): (Vec<_>, Vec<_>) = kept.into_iter().partition(of_it);
        let mut own = match own.into_iter().next() {
            Some(own) => own,
            None if begins => Kept::new(plan.revision),
            None => return None,
        };
        beside.truncate(MAX_REVISIONS.saturating_sub(1));
        let counted = plan.counted();
        let adds = own.count_by(counted) || begins;
        own.counts.truncate(MAX_LIMITS.saturating_sub(1));
        let mut state = Self {
            own,
            counted,
            adds,
            beside,
        };
        if begins {
            state.settle(plan);
        }
        Some(state)
    }

    /// Has each version of the plan, and of others those that a verdict holds, which may come
    /// back with the next configuration, and those of which something was counted: another
    /// configuration of this revision may get new streams as well, and have them.
    fn settle(&mut self, plan: &Plan) {
        let Kept {
            versions,
            counts,
            seen,
            ..
        } = &mut self.own;
        let mut strangers: usize = 0;
        // Verdicts first, where there is no room for all.
        for held in [true, false] {
            versions.retain_mut(|version| {
                let planned = plan.arms.iter().any(|arm| arm.digest == version.name);
                if planned || (version.phase != Phase::Healthy) != held {
                    return true;
                }
                let counted = version.is_counted(plan, *seen);
                if !counted {
                    version.forget_counts();
                }
                let by_others = || counts.iter().any(|counted| counted.has(version.name));
                let stays = (held || counted || by_others()) && strangers < MAX_STRANGERS;
                strangers = strangers.saturating_add(usize::from(stays));
                stays
            });
        }
        for arm in &plan.arms {
            if !self
                .own
                .versions
                .iter()
                .any(|version| version.name == arm.digest)
            {
                self.own.versions.push(Version {
                    name: arm.digest,
                    ..Version::default()
                });
            }
        }
    }

    /// As bytes, at most 16 KiB. Where that is too little, they hold fewer latencies, then
    /// fewer counts of others.
    pub fn encode(&self) -> Vec<u8> {
        let counted = Counted::of(self.counted, &self.own.versions);
        let mut own = Kept {
            counts: vec![counted],
            ..self.own.clone()
        };
        own.counts.extend(self.own.counts.iter().cloned());
        let mut kept = vec![own];
        kept.extend(self.beside.iter().cloned());
        blob::encode(kept)
    }

    /// Merges what a worker counted and, in charge, judges. `ticked_before` is this
    /// worker's last tick, by which it knows that its clock jumped.
    pub fn tick(
        &mut self,
        plan: &Plan,
        local: &Local,
        now: u64,
        ticked_before: Option<u64>,
        in_charge: bool,
    ) -> Ticked {
        let mut transitions = Vec::new();
        let mut changed = false;
        let set = self.clock_was_set(now, ticked_before);
        // What a set clock means for a ramp, say the limits and steps in force: whoever is
        // not in charge leaves that to others, and does not tell the state the time either,
        // by which they know. What it has counted is dropped then.
        if !self.adds || (!in_charge && set != ClockSet::No) {
            return Ticked {
                changed,
                transitions,
            };
        }
        let beats = in_charge && now.abs_diff(self.own.seen) >= HEARTBEAT;
        if in_charge {
            self.settle_clock(plan, now, ticked_before, set, &mut transitions);
        }
        let now = now.max(self.own.seen);
        self.merge(plan, local, now);
        if in_charge {
            for (arm, _) in plan.arms().skip(1) {
                let noted = self.noted(plan, arm);
                if let Some(transition) = self.judge(plan, local, arm, now) {
                    transitions.push(transition);
                }
                changed |= self.noted(plan, arm) != noted;
            }
        }
        changed |= beats || !local.is_empty() || !transitions.is_empty();
        if changed && in_charge {
            self.own.seen = now;
        }
        Ticked {
            changed,
            transitions,
        }
    }

    fn merge(&mut self, plan: &Plan, local: &Local, now: u64) {
        if local.is_empty() {
            return;
        }
        let guardrail = &plan.guardrail;
        for (arm, _) in plan.arms() {
            let Some(version) = self.version_mut(plan, arm) else {
                continue;
            };
            let (errors, latencies) = (local.errors(arm), local.latencies(arm));
            if let Some(limit) = &guardrail.errors
                && errors.tally.all > 0
            {
                let lengths = Lengths::of(limit.window);
                version.counts.errors.add(lengths, now, &errors);
            }
            if let Some(limit) = &guardrail.latency
                && latencies.tally.all > 0
            {
                let lengths = Lengths::of(limit.window);
                version.counts.latencies.add(lengths, now, &latencies);
            }
        }
    }

    fn judge(&mut self, plan: &Plan, local: &Local, arm: Arm, now: u64) -> Option<Transition> {
        let breach = self.breach(plan, local, arm, now);
        let weight = self.weight(plan, arm, now);
        let version = self.version_mut(plan, arm)?;
        let change = match version.phase_by(plan) {
            Phase::Healthy => version.trip(plan, breach?, weight, now)?,
            Phase::Observed { until } => match breach {
                Some(_) => {
                    version.phase = observed(plan, now);
                    return None;
                }
                None if now < until => return None,
                None => {
                    version.phase = Phase::Healthy;
                    Change::Settled
                }
            },
            Phase::Frozen { weight, until } => {
                version.begin_anew(until, now)?;
                version.pace = Some((weight, now));
                Change::Thawed { weight }
            }
            Phase::RolledBack { until, .. } => {
                version.begin_anew(until, now)?;
                let weight = plan.ramp.as_ref().map(Ramp::first);
                version.pace = weight.map(|weight| (weight, now));
                Change::Recovered { weight }
            }
        };
        Some(Transition { arm, change })
    }

    /// What a verdict may change without anything having happened.
    fn noted(&self, plan: &Plan, arm: Arm) -> Option<(Phase, Option<u64>)> {
        let version = self.version(plan, arm)?;
        Some((version.phase, version.counts.slow_since))
    }

    /// The limit that a version breaches.
    fn breach(&mut self, plan: &Plan, local: &Local, arm: Arm, now: u64) -> Option<Cause> {
        let guardrail = &plan.guardrail;
        let min = guardrail.min_requests.max(1);
        let version = self.version(plan, arm)?;
        if matches!(
            version.phase_by(plan),
            Phase::Frozen { .. } | Phase::RolledBack { .. }
        ) {
            return None;
        }
        if let Some(failures) = guardrail.consecutive_errors
            && local.is_run_of(plan, arm, version.attempt)
        {
            return Some(Cause::Consecutive { failures });
        }
        let stable = self.version(plan, Arm::STABLE);
        let failing = guardrail.errors.as_ref().and_then(|limit| {
            let stable = stable.map(|stable| &stable.counts.errors);
            verdict::errors(limit, min, &version.counts.errors, stable, now)
        });
        let limit = guardrail.latency.as_ref();
        let slow = limit.and_then(|limit| {
            let stable = stable.map(|stable| &stable.counts.latencies);
            verdict::slowness(limit, min, &version.counts.latencies, stable, now)
        });
        let lasting = limit.map_or(0, |limit| millis(limit.lasting));
        let version = self.version_mut(plan, arm)?;
        let since = slow.map(|_| version.counts.slow_since.unwrap_or(now));
        version.counts.slow_since = since;
        let lasts = since.is_some_and(|since| now.saturating_sub(since) >= lasting);
        failing.or(slow.filter(|_| lasts))
    }

    /// The weight of a canary that grows, before the guardrail takes anything away: which
    /// users are the canary's. [`Share::NONE`] without a ramp.
    pub fn weight(&self, plan: &Plan, arm: Arm, now: u64) -> Share {
        let Some(ramp) = &plan.ramp else {
            return Share::NONE;
        };
        let version = self.version(plan, arm);
        let weight = match version.and_then(|version| version.pace) {
            Some((weight, since)) => ramp.paced(weight, since, now),
            None => ramp.scheduled(now),
        };
        match version.map(|version| version.phase_by(plan)) {
            // Who is rolled back is so with the users it had; no others follow.
            Some(Phase::Frozen { weight: held, .. } | Phase::RolledBack { weight: held, .. }) => {
                weight.min(held)
            }
            _ => weight,
        }
    }

    /// The requests of a version and its failures, as far back as anything is known.
    pub fn known(&self, plan: &Plan, arm: Arm, now: u64) -> Tally {
        let limit = plan.guardrail.errors.as_ref();
        let version = self.version(plan, arm);
        limit
            .zip(version)
            .map_or_else(Tally::default, |(limit, version)| {
                let lengths = Lengths::of(limit.window);
                // Somebody else's clock may be a little ahead.
                let now = now.max(self.own.seen);
                version.counts.errors.tally(lengths, now, Span::LONGEST)
            })
    }

    /// How a version stands.
    pub fn standing(&self, plan: &Plan, arm: Arm) -> Standing {
        match self
            .version(plan, arm)
            .map(|version| version.phase_by(plan))
        {
            Some(Phase::RolledBack { .. }) => Standing::RolledBack,
            Some(Phase::Frozen { .. }) => Standing::Frozen,
            _ => Standing::Healthy,
        }
    }

    pub(super) fn attempt(&self, plan: &Plan, arm: Arm) -> u32 {
        self.version(plan, arm).map_or(0, |version| version.attempt)
    }

    #[cfg_attr(target_arch = "wasm32", inline(never))]
    pub(super) fn version(&self, plan: &Plan, arm: Arm) -> Option<&Version> {
        let name = plan.digest(arm)?;
        self.own
            .versions
            .iter()
            .find(|version| version.name == name)
    }

    #[cfg_attr(target_arch = "wasm32", inline(never))]
    pub(super) fn version_mut(&mut self, plan: &Plan, arm: Arm) -> Option<&mut Version> {
        let name = plan.digest(arm)?;
        self.own
            .versions
            .iter_mut()
            .find(|version| version.name == name)
    }
}
