//! CurrentStep of a ramp in this process: a step is left when the schedule allows it and the requests
//! since its begin are within the limits. Must not depend on shared data or on the counts of a
//! worker.
//!
//! A verdict needs strong evidence against a version. A step needs evidence for it: at least
//! `minRequests` requests, of which no larger share than the limit failed or were slow, over the
//! whole step. A version with too little traffic for a verdict therefore stays small.
//!
//! A process that is behind the schedule stays at each step for one window, or for its `hold` if
//! that is shorter.

use std::fmt;

use super::evidence::Tally;
use super::latency::Dense;
use super::plan::{Arm, Guardrail, Plan};
use super::ramp::CurrentStep;
use super::revision::RevisionState;
use super::transition::TransitionKind;
use super::units::millis;
use super::verdict::{self, Bar, Cause};
use super::version::Phase;
use super::window::Counts;

/// Maximum time in milliseconds after the scheduled begin of a step at which it begins on time.
const SLACK: u64 = 5_000;

/// Counts of a version since the step of the ramp began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StepCounts {
    /// Requests and failures.
    pub errors: Counts,
    /// Requests and slow ones, and latencies if a limit compares them.
    pub latencies: Counts,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lack {
    /// More requests.
    Requests {
        /// Requests of the version since the step began.
        judged: u32,
        /// The minimum.
        needed: u32,
    },
    /// Fewer failures or slow requests.
    Health(Cause),
    /// Fewer failures, for `consecutiveErrors`.
    Failures {
        /// Failed requests and all requests of the version.
        tally: Tally,
        /// The limit.
        limit: u32,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests { judged, needed } => {
                write!(f, "{judged} of {needed} requests since the step began")
            }
            Self::Health(cause) => write!(f, "{cause}"),
            Self::Failures { tally, limit } => {
                let Tally { bad, all } = tally;
                write!(
                    f,
                    "{bad} of {all} requests failed, consecutiveErrors is {limit}"
                )
            }
        }
    }
}

/// What is missing to leave a step, by the requests since it began.
fn lack(guardrail: &Guardrail, version: &StepCounts, stable: &StepCounts) -> Option<Lack> {
    let needed = guardrail.min_requests.max(1);
    let (tally, slow) = (version.errors.tally, version.latencies.tally);
    let only_latency = guardrail.errors.is_none() && guardrail.latency.is_some();
    let judged = if only_latency { slow.all } else { tally.all };
    if judged < needed {
        return Some(Lack::Requests { judged, needed });
    }
    // Of every `limit` requests at least one succeeded.
    if let Some(limit) = guardrail.consecutive_errors
        && tally.exceeds(1.0 - 1.0 / f64::from(limit.max(1)))
    {
        return Some(Lack::Failures { tally, limit });
    }
    let failing = guardrail.errors.as_ref().and_then(|limit| {
        let stable = || Some(stable.errors.tally);
        verdict::errors_of(limit, needed, tally, &stable, Bar::OBSERVED)
    });
    let slow = || {
        let histogram = |counts: &StepCounts| {
            let mut dense = Dense::default();
            dense.add(&counts.latencies.histogram);
            dense
        };
        let histograms = || Some([histogram(version), histogram(stable)]);
        let limit = guardrail.latency.as_ref()?;
        verdict::latency_of(limit, needed, slow, &histograms, Bar::OBSERVED)
    };
    failing.or_else(slow).map(Lack::Health)
}

impl RevisionState {
    /// Begins the next step of the ramp if it is due and there is evidence for the present one.
    pub(super) fn advance(&mut self, plan: &Plan, now: u64) -> Option<TransitionKind> {
        let ramp = plan.ramp.as_ref()?;
        let version = self.version_mut(plan, Arm::RAMPED)?;
        let was_waiting = std::mem::take(&mut version.waiting);
        let (phase, before) = (version.phase_by(plan), version.progress);
        if !plan.waits() || matches!(phase, Phase::Frozen { .. } | Phase::RolledBack { .. }) {
            return None;
        }
        let Some(scheduled) = ramp.step(now) else {
            version.progress = None;
            return None;
        };
        let mut lacking = None;
        // A process that starts takes the scheduled step.
        let mut progress =
            before.unwrap_or_else(|| ramp.progress(scheduled, ramp.begin(scheduled), false));
        let mut reached = ramp.reached(&progress, now)?;
        if reached == progress.step && reached < scheduled {
            lacking = self.lack(plan);
            let dwell = plan.guardrail.window().min(ramp.hold(reached));
            let is_due = now.saturating_sub(progress.since) >= millis(dwell);
            if lacking.is_none() && is_due && ramp.next_begin(now) == now {
                reached = reached.saturating_add(1);
                let next = ramp.progress(reached, now, progress.held && reached < scheduled);
                reached = ramp.reached(&next, now)?;
            }
        }
        let is_behind = reached < scheduled;
        if before.is_none() || reached != progress.step {
            let begin = ramp.begin(reached);
            let is_on_time = before.is_none() || now.saturating_sub(begin) <= SLACK;
            let since = if is_on_time && !is_behind { begin } else { now };
            progress = ramp.progress(reached, since, progress.held);
            self.clear_step_counts();
        }
        progress.held &= is_behind;
        let version = self.version_mut(plan, Arm::RAMPED)?;
        version.progress = Some(progress);
        version.waiting = is_behind;
        let weight = progress.weight;
        match (was_waiting, is_behind) {
            (true, false) => Some(TransitionKind::CaughtUp { weight }),
            (false, true) => lacking.map(|lack| TransitionKind::Waiting { weight, lack }),
            _ => None,
        }
    }

    /// Continues the ramp at this step after it was held back.
    pub(super) fn resume(&mut self, plan: &Plan, progress: CurrentStep, now: u64) {
        self.clear_step_counts();
        let scheduled = plan.ramp.as_ref().and_then(|ramp| ramp.step(now));
        if let Some(version) = self.version_mut(plan, Arm::RAMPED) {
            version.progress = Some(progress);
            // The transition says that it is behind the schedule.
            version.waiting = plan.waits() && Some(progress.step) < scheduled;
        }
    }

    fn lack(&self, plan: &Plan) -> Option<Lack> {
        let counts = |arm| self.version(plan, arm).map(|version| &version.windows.step);
        lack(&plan.guardrail, counts(Arm::RAMPED)?, counts(Arm::STABLE)?)
    }

    /// Both versions are counted over the same time, by all sets of limits.
    fn clear_step_counts(&mut self) {
        for version in &mut self.versions {
            version.windows.step = StepCounts::default();
        }
        for counts in &mut self.counts {
            for version in &mut counts.versions {
                version.windows.step = StepCounts::default();
            }
        }
    }
}
