//! A clock that was set, in one direction or the other: nothing trips by it, no ramp and no
//! recovery is taken along, and what was decided lasts as long as it said.

use super::Plan;
use super::state::State;
use super::transition::{Change, Transition};
use super::version::{Phase, Version};

/// How far apart the clocks of two reads may be in the wrong order. What is more is a clock
/// that was set back.
const SLACK: u64 = 5_000;
/// Ticks come every second. Where more time than this passed between two, the clock jumped.
pub const JUMP: u64 = 60_000;

/// What became of the clock since the last tick, by how many milliseconds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ClockSet {
    No,
    Back(u64),
    Ahead(u64),
}

impl State {
    /// What became of the clock. The state must have been told the time by then.
    pub(super) fn clock_was_set(&self, now: u64, ticked_before: Option<u64>) -> ClockSet {
        let back = self.own.seen.saturating_sub(now);
        let before = ticked_before.unwrap_or(now);
        let ahead = now.saturating_sub(before.max(self.own.seen));
        if back > SLACK {
            ClockSet::Back(back)
        } else if ahead > JUMP && ticked_before.is_some() {
            ClockSet::Ahead(ahead)
        } else {
            ClockSet::No
        }
    }

    /// Survives a clock that was set: back, and what was counted is forgotten; ahead, and no
    /// ramp and no recovery is taken along.
    pub(super) fn settle_clock(
        &mut self,
        plan: &Plan,
        now: u64,
        ticked_before: Option<u64>,
        set: ClockSet,
        transitions: &mut Vec<Transition>,
    ) {
        let before = ticked_before.unwrap_or(now);
        // Nobody has judged for so long, so nobody knows what was slow in between.
        if now.abs_diff(self.own.seen) > JUMP {
            for version in &mut self.own.versions {
                version.counts.slow_since = None;
            }
        }
        match set {
            ClockSet::No => {}
            ClockSet::Back(back) => {
                self.own.counts.clear();
                self.own
                    .versions
                    .iter_mut()
                    .for_each(Version::forget_counts);
                self.shift(|instant| instant.saturating_sub(back));
                self.own.seen = now;
            }
            ClockSet::Ahead(ahead) => {
                self.shift(|instant| instant.saturating_add(ahead));
                self.hold_back(plan, before, now, transitions);
                self.own.seen = now;
            }
        }
    }

    /// Has the ramp go on from where it was before.
    fn hold_back(&mut self, plan: &Plan, before: u64, now: u64, transitions: &mut Vec<Transition>) {
        let Some(ramp) = &plan.ramp else { return };
        for (arm, _) in plan.arms().skip(1) {
            let weight = self.weight(plan, arm, before);
            let Some(version) = self.version_mut(plan, arm) else {
                continue;
            };
            // After a freeze or a rollback it goes on by itself, from less.
            let held = matches!(
                version.phase_by(plan),
                Phase::Frozen { .. } | Phase::RolledBack { .. }
            );
            if weight < ramp.scheduled(now) && !held {
                version.pace = Some((weight, now));
                let change = Change::HeldBack { weight };
                transitions.push(Transition { arm, change });
            }
        }
    }

    fn shift(&mut self, by: impl Fn(u64) -> u64) {
        // By other limits as well.
        for counted in &mut self.own.counts {
            for of in &mut counted.versions {
                of.counts.slow_since = None;
            }
        }
        for version in &mut self.own.versions {
            version.counts.slow_since = None;
            version.pace = version.pace.map(|(weight, since)| (weight, by(since)));
            match &mut version.phase {
                Phase::Healthy => {}
                Phase::Observed { until } => *until = by(*until),
                Phase::Frozen { until, .. } | Phase::RolledBack { until, .. } => {
                    *until = until.map(&by);
                }
            }
        }
    }
}
