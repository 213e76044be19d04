//! What is known about one version: its counts, how it stands, when it is tried again.

use std::time::Duration;

use super::transition::Change;
use super::verdict::Cause;
use super::window::{Lengths, Span, Window};
use super::{Guardrail, OnBreach, Plan, millis};
use crate::bucket::Share;

/// The longest time until a version is tried again.
const LONGEST: Duration = Duration::from_hours(24);

/// What is known about one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Version {
    pub name: u64,
    pub phase: Phase,
    /// How often it was rolled back or frozen.
    pub trips: u32,
    /// Goes up whenever its counts begin anew.
    pub attempt: u32,
    /// From which weight its ramp goes on, and since when.
    pub pace: Option<(Share, u64)>,
    pub counts: Counts,
}

/// What was counted of one version, by some limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Since when its latency breaches a limit.
    pub slow_since: Option<u64>,
    pub errors: Window,
    pub latencies: Window,
}

/// How a version stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    #[default]
    Healthy,
    /// Breached a limit, to no effect; over at this instant unless it does so again.
    Observed {
        until: u64,
    },
    Frozen {
        weight: Share,
        until: Option<u64>,
    },
    RolledBack {
        weight: Share,
        until: Option<u64>,
    },
}

/// What `divvy_guardrail_state` says of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// Within its limits, or only observed.
    Healthy,
    /// Its ramp goes no further.
    Frozen,
    /// Stable serves its share.
    RolledBack,
}

impl Standing {
    /// The value of the gauge.
    pub const fn gauge(self) -> u64 {
        self as u64
    }
}

impl Version {
    /// How it stands by a plan that may not ask for a verdict such as the one that is kept:
    /// what was only observed is judged once a breach leads to more, nothing is frozen that
    /// has nowhere to grow, and without limits nothing is held. What is kept stays as it is,
    /// since another plan that gets new streams as well may go by it.
    pub fn phase_by(&self, plan: &Plan) -> Phase {
        let on_breach = plan.guardrail.on_breach;
        let can_freeze = on_breach == OnBreach::Freeze && plan.ramp.is_some();
        match self.phase {
            _ if !plan.is_guarded() => Phase::Healthy,
            Phase::Observed { .. } if on_breach != OnBreach::Observe => Phase::Healthy,
            Phase::Frozen { .. } if !can_freeze => Phase::Healthy,
            phase => phase,
        }
    }

    /// Whether anything of it was counted in the time that the plan's limits look back at.
    pub fn is_counted(&self, plan: &Plan, now: u64) -> bool {
        let any = |window: &Window, length| {
            let tally = window.tally(Lengths::of(length), now, Span::LONGEST);
            tally.all > 0
        };
        let Guardrail {
            errors, latency, ..
        } = &plan.guardrail;
        errors.is_some_and(|limit| any(&self.counts.errors, limit.window))
            || latency.is_some_and(|limit| any(&self.counts.latencies, limit.window))
    }

    /// Does what a breach leads to.
    pub fn trip(&mut self, plan: &Plan, cause: Cause, weight: Share, now: u64) -> Option<Change> {
        let guardrail = &plan.guardrail;
        let again_in = guardrail.recover_after.map(|after| {
            let times = 1_u32.checked_shl(self.trips).unwrap_or(u32::MAX);
            after.saturating_mul(times).min(LONGEST.max(after))
        });
        let until = again_in.map(|again_in| now.saturating_add(millis(again_in)));
        let (phase, change) = match guardrail.on_breach {
            // What another plan holds stays held.
            OnBreach::Observe if matches!(self.phase, Phase::Frozen { .. }) => return None,
            OnBreach::Observe => {
                self.phase = observed(plan, now);
                return Some(Change::Observed { cause });
            }
            OnBreach::Freeze => {
                let change = Change::Frozen {
                    cause,
                    weight,
                    again_in,
                };
                (Phase::Frozen { weight, until }, change)
            }
            OnBreach::Rollback => {
                let change = Change::RolledBack { cause, again_in };
                (Phase::RolledBack { weight, until }, change)
            }
        };
        self.phase = phase;
        self.trips = self.trips.saturating_add(1);
        self.attempt = self.attempt.wrapping_add(1);
        self.forget_counts();
        Some(change)
    }

    /// Makes it healthy, with nothing counted, if it is time.
    pub fn begin_anew(&mut self, until: Option<u64>, now: u64) -> Option<()> {
        if now < until? {
            return None;
        }
        self.phase = Phase::Healthy;
        self.attempt = self.attempt.wrapping_add(1);
        // What ended in the meantime had begun before.
        self.forget_counts();
        Some(())
    }

    pub fn forget_counts(&mut self) {
        self.counts = Counts::default();
    }
}

/// Until a breach is over that is only reported: as long as the limits look back.
pub(super) fn observed(plan: &Plan, now: u64) -> Phase {
    let guardrail = &plan.guardrail;
    let errors = guardrail.errors.map(|limit| limit.window);
    let latency = guardrail.latency.map(|limit| limit.window);
    let longest = errors.max(latency).unwrap_or(Duration::from_mins(1));
    Phase::Observed {
        until: now.saturating_add(millis(longest)),
    }
}
