//! Changes of the wall clock. Must not depend on counts of a worker or on shared data.
//!
//! A clock that was set trips no limit, moves no ramp and no recovery, and does not change how
//! long a verdict lasts.

use super::plan::Plan;
use super::revision::RevisionState;
use super::transition::{Transition, TransitionKind};
use super::version::{Phase, VersionState};

/// Maximum difference in milliseconds between two reads of the clock in the wrong order; a larger
/// one means that the clock was set back.
const SLACK: u64 = 5_000;
/// Maximum time in milliseconds between two ticks, which come every second; a longer one means
/// that the clock was set ahead.
pub const JUMP: u64 = 60_000;

/// Change of the clock since the last tick, in milliseconds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ClockChange {
    None,
    Back(u64),
    Ahead(u64),
}

impl RevisionState {
    /// Change of the clock since the last tick of this worker and the last write of this state.
    pub(super) fn clock_change(&self, now: u64, ticked_before: Option<u64>) -> ClockChange {
        let back = self.seen.saturating_sub(now);
        let before = ticked_before.unwrap_or(now);
        let ahead = now.saturating_sub(before.max(self.seen));
        if back > SLACK {
            ClockChange::Back(back)
        } else if ahead > JUMP && ticked_before.is_some() {
            ClockChange::Ahead(ahead)
        } else {
            ClockChange::None
        }
    }

    /// Adapts the state to a changed clock: discards counts if it was set back, and moves all
    /// stored times along.
    pub(super) fn adapt_to_clock(
        &mut self,
        plan: &Plan,
        now: u64,
        ticked_before: Option<u64>,
        change: ClockChange,
        transitions: &mut Vec<Transition>,
    ) {
        let before = ticked_before.unwrap_or(now);
        // There was no verdict in between, so a breach may have ended and begun again.
        if now.abs_diff(self.seen) > JUMP {
            for version in &mut self.versions {
                version.windows.slow_since = None;
            }
        }
        match change {
            ClockChange::None => {}
            ClockChange::Back(back) => {
                self.counts.clear();
                self.versions
                    .iter_mut()
                    .for_each(VersionState::clear_counts);
                self.shift_times(|time| time.saturating_sub(back));
                self.seen = now;
            }
            ClockChange::Ahead(ahead) => {
                self.shift_times(|time| time.saturating_add(ahead));
                self.hold_ramp_back(plan, before, now, transitions);
                self.seen = now;
            }
        }
    }

    /// Lets the ramp continue from its weight before the change.
    fn hold_ramp_back(
        &mut self,
        plan: &Plan,
        before: u64,
        now: u64,
        transitions: &mut Vec<Transition>,
    ) {
        let Some(ramp) = &plan.ramp else { return };
        for (arm, _) in plan.arms().skip(1) {
            let weight = self.weight(plan, arm, before);
            let Some(version) = self.version(plan, arm) else {
                continue;
            };
            // After a freeze or a rollback the ramp continues from a lower weight anyway.
            let held = matches!(
                version.phase_by(plan),
                Phase::Frozen { .. } | Phase::RolledBack { .. }
            );
            if weight < ramp.scheduled(now) && !held {
                let progress = ramp.thawed(weight, version.progress, now);
                self.resume(plan, progress, now);
                let kind = TransitionKind::HeldBack { weight };
                transitions.push(Transition { arm, kind });
            }
        }
    }

    fn shift_times(&mut self, shift: impl Fn(u64) -> u64) {
        for counts in &mut self.counts {
            for version in &mut counts.versions {
                version.windows.slow_since = None;
            }
        }
        for version in &mut self.versions {
            version.windows.slow_since = None;
            if let Some(progress) = &mut version.progress {
                progress.since = shift(progress.since);
            }
            match &mut version.phase {
                Phase::Healthy => {}
                Phase::Observed { until } => *until = shift(*until),
                Phase::Frozen { until, .. } | Phase::RolledBack { until, .. } => {
                    *until = until.map(&shift);
                }
            }
        }
    }
}
