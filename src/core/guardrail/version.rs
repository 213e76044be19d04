//! State of one version: phase, counts, and the time of its next attempt. Must not depend on
//! other versions.

use std::time::Duration;

use super::plan::{Guardrail, OnBreach, Plan};
use super::progress::StepCounts;
use super::ramp::CurrentStep;
use super::transition::TransitionKind;
use super::units::millis;
use super::verdict::Cause;
use super::window::{Lookback, SlotLengths, Window};
use crate::bucket::Share;

/// Maximum time until a version is tried again, unless `recoverAfter` is longer.
const MAX_RECOVERY: Duration = Duration::from_hours(24);

/// State of one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VersionState {
    /// Hash of the name.
    pub name: u64,
    pub phase: Phase,
    /// Number of rollbacks and freezes.
    pub trips: u32,
    /// Incremented whenever the counts restart at zero.
    pub attempt: u32,
    /// Step of the ramp in this process, if it waits for evidence or was held back.
    pub progress: Option<CurrentStep>,
    /// Whether the ramp is behind its schedule for want of evidence.
    pub waiting: bool,
    pub windows: Windows,
}

/// Counts of one version by one set of limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Windows {
    /// Start of the current breach of a latency limit.
    pub slow_since: Option<u64>,
    pub errors: Window,
    pub latencies: Window,
    /// Counts since the step of the ramp began.
    pub step: StepCounts,
}

/// Verdict on a version.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    #[default]
    Healthy,
    /// Breached a limit without effect; ends at this time unless there is another breach.
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

/// Effective verdict on a version; the value of `divvy_guardrail_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// Within its limits, or only observed.
    Healthy,
    /// The ramp stops or went back.
    Frozen,
    /// Stable serves the version's share.
    RolledBack,
}

impl Standing {
    /// Value of the gauge.
    pub const fn gauge(self) -> u64 {
        self as u64
    }
}

impl VersionState {
    /// The phase under a plan that may have another `onBreach` than the one of the verdict: an
    /// observed version is judged again, a version without a ramp is not frozen, and without
    /// limits every version is healthy. The stored phase stays, because another plan may be in
    /// use at the same time.
    pub fn phase_by(&self, plan: &Plan) -> Phase {
        let on_breach = plan.guardrail.on_breach;
        let freezes = matches!(on_breach, OnBreach::Freeze | OnBreach::StepBack);
        let can_freeze = freezes && plan.ramp.is_some();
        match self.phase {
            _ if !plan.is_guarded() => Phase::Healthy,
            Phase::Observed { .. } if on_breach != OnBreach::Observe => Phase::Healthy,
            Phase::Frozen { .. } if !can_freeze => Phase::Healthy,
            phase => phase,
        }
    }

    /// Whether the windows of the plan's limits contain any request.
    pub fn is_counted(&self, plan: &Plan, now: u64) -> bool {
        let any = |window: &Window, length| {
            let tally = window.tally(SlotLengths::of(length), now, Lookback::LONGEST);
            tally.all > 0
        };
        let Guardrail {
            errors, latency, ..
        } = &plan.guardrail;
        errors.is_some_and(|limit| any(&self.windows.errors, limit.window))
            || latency.is_some_and(|limit| any(&self.windows.latencies, limit.window))
    }

    /// Applies the consequence of a breach.
    pub fn trip(
        &mut self,
        plan: &Plan,
        cause: Cause,
        weight: Share,
        now: u64,
    ) -> Option<TransitionKind> {
        let guardrail = &plan.guardrail;
        let retry_in = guardrail.recover_after.map(|after| {
            let times = 1_u32.checked_shl(self.trips).unwrap_or(u32::MAX);
            after.saturating_mul(times).min(MAX_RECOVERY.max(after))
        });
        let until = retry_in.map(|retry_in| now.saturating_add(millis(retry_in)));
        let mut weight = weight;
        let mut freezes = guardrail.on_breach == OnBreach::Freeze;
        match guardrail.on_breach {
            // Another plan froze the version.
            OnBreach::Observe if matches!(self.phase, Phase::Frozen { .. }) => return None,
            OnBreach::Observe => {
                self.phase = observed(plan, now);
                return Some(TransitionKind::Observed { cause });
            }
            // Consecutive failures take all users.
            OnBreach::StepBack if !matches!(cause, Cause::Consecutive { .. }) => {
                let ramp = plan.ramp.as_ref();
                if let Some(below) = ramp.and_then(|ramp| ramp.below(weight, now)) {
                    self.progress = Some(below);
                    weight = below.weight;
                    freezes = true;
                }
            }
            OnBreach::StepBack | OnBreach::Freeze | OnBreach::Rollback => {}
        }
        let (phase, kind) = if freezes {
            let kind = TransitionKind::Frozen {
                cause,
                is_back: guardrail.on_breach == OnBreach::StepBack,
                weight,
                retry_in,
            };
            (Phase::Frozen { weight, until }, kind)
        } else {
            let kind = TransitionKind::RolledBack { cause, retry_in };
            (Phase::RolledBack { weight, until }, kind)
        };
        self.phase = phase;
        self.trips = self.trips.saturating_add(1);
        self.attempt = self.attempt.wrapping_add(1);
        self.clear_counts();
        Some(kind)
    }

    /// Starts the next attempt at `until`: healthy, without counts.
    pub fn retry(&mut self, until: Option<u64>, now: u64) -> Option<()> {
        if now < until? {
            return None;
        }
        self.phase = Phase::Healthy;
        self.attempt = self.attempt.wrapping_add(1);
        // Requests that ended in the meantime belong to the previous attempt.
        self.clear_counts();
        Some(())
    }

    pub fn clear_counts(&mut self) {
        self.windows = Windows::default();
    }
}

/// The phase after a breach that is only reported; it lasts for the longest window.
pub(super) fn observed(plan: &Plan, now: u64) -> Phase {
    Phase::Observed {
        until: now.saturating_add(millis(plan.guardrail.window())),
    }
}
