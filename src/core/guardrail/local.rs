//! Counts of one worker since its last tick. Must not depend on the shared state.

use std::time::Duration;

use super::evidence::Tally;
use super::latency::{Dense, Histogram, bucket};
use super::plan::{Arm, Plan};
use super::window::Counts;
use crate::response::HealthSample;

/// Counts of one worker for one rollout since its last tick, and its consecutive failures, which
/// are not shared.
#[derive(Clone, Debug)]
pub struct Local {
    arms: Vec<LocalCounts>,
}

#[derive(Clone, Debug, Default)]
struct LocalCounts {
    errors: Tally,
    slow: Tally,
    /// Latencies, if a limit compares quantiles.
    buckets: Option<Box<Dense>>,
    /// Number of consecutive failures.
    run: u32,
    /// The attempt of the consecutive failures; unknown before the first tick.
    attempt: Option<u32>,
}

impl Local {
    /// No counts.
    pub fn new(plan: &Plan) -> Self {
        let arms = plan.arms().map(|_| LocalCounts::default()).collect();
        Self { arms }
    }

    /// Counts a request. Returns whether a tick is due at once because of `consecutiveErrors`.
    ///
    /// A neutral response counts for the latency only, and a request that the client abandoned only
    /// if that makes it a slow one: otherwise impatient clients would make errors.
    pub fn record(
        &mut self,
        plan: &Plan,
        arm: Arm,
        sample: HealthSample,
        latency: Option<Duration>,
    ) -> bool {
        let bad = match sample {
            HealthSample::None => return false,
            HealthSample::Abandoned => {
                let limit = plan.guardrail.latency.as_ref().and_then(|limit| limit.max);
                if limit.is_none_or(|max| latency <= Some(max)) {
                    return false;
                }
                None
            }
            HealthSample::Neutral => None,
            HealthSample::Success => Some(0),
            HealthSample::Failure => Some(1),
        };
        if let Some(latency) = latency {
            self.count_latency(plan, arm, latency);
        }
        let Some(bad) = bad else { return false };
        self.count(arm, Tally { bad, all: 1 });
        // Equal, not at least: one extra tick per run. If it fails, the next one sees the run.
        let is_full = |limit| self.get(arm).is_some_and(|counted| counted.run == limit);
        let limit = plan.guardrail.consecutive_errors;
        bad > 0 && arm != Arm::STABLE && limit.is_some_and(is_full)
    }

    /// Counts several requests, the failures last.
    pub fn count(&mut self, arm: Arm, tally: Tally) {
        let Some(counted) = self.get_mut(arm) else {
            return;
        };
        counted.errors = counted.errors.plus(tally);
        if tally.bad < tally.all {
            counted.run = 0;
        }
        counted.run = counted.run.saturating_add(tally.bad);
    }

    fn count_latency(&mut self, plan: &Plan, arm: Arm, latency: Duration) {
        let (Some(limit), Some(counted)) = (&plan.guardrail.latency, self.get_mut(arm)) else {
            return;
        };
        let bad = u32::from(limit.max.is_some_and(|max| latency > max));
        counted.slow = counted.slow.plus(Tally { bad, all: 1 });
        if limit.times_stable.is_some() {
            let buckets = counted.buckets.get_or_insert_default();
            buckets.count(bucket(latency), 1);
        }
    }

    /// Whether the consecutive failures reach the limit.
    fn reaches_limit(&self, plan: &Plan, arm: Arm) -> bool {
        let run = self.get(arm).map_or(0, |counted| counted.run);
        let limit = plan.guardrail.consecutive_errors;
        arm != Arm::STABLE && limit.is_some_and(|limit| run >= limit.max(1))
    }

    /// Whether the consecutive failures of this attempt reach the limit. Failures before a
    /// rollback do not count after it.
    pub(super) fn breaches_consecutive(&self, plan: &Plan, arm: Arm, attempt: u32) -> bool {
        let same_attempt = |counted: &LocalCounts| counted.attempt.is_none_or(|own| own == attempt);
        self.get(arm).is_some_and(same_attempt) && self.reaches_limit(plan, arm)
    }

    /// Whether there are no counts.
    pub fn is_empty(&self) -> bool {
        let mut arms = self.arms.iter();
        arms.all(|arm| arm.errors.all == 0 && arm.slow.all == 0)
    }

    pub(super) fn errors(&self, arm: Arm) -> Counts {
        Counts {
            tally: self.get(arm).map(|arm| arm.errors).unwrap_or_default(),
            histogram: Histogram::default(),
        }
    }

    pub(super) fn latencies(&self, arm: Arm) -> Counts {
        let Some(counted) = self.get(arm) else {
            return Counts::default();
        };
        let buckets = counted.buckets.as_ref();
        Counts {
            tally: counted.slow,
            histogram: buckets.map_or_else(Histogram::default, |buckets| buckets.sparse()),
        }
    }

    /// Removes the counts after they were written to the shared state. `attempt`: the current
    /// attempt of each version.
    pub(super) fn clear(&mut self, plan: &Plan, attempt: impl Fn(Arm) -> u32) {
        for ((arm, _), counted) in plan.arms().zip(&mut self.arms) {
            let attempt = Some(attempt(arm));
            let run = if counted.attempt.is_none_or(|own| Some(own) == attempt) {
                counted.run
            } else {
                0
            };
            *counted = LocalCounts {
                run,
                attempt,
                ..LocalCounts::default()
            };
        }
    }

    fn get(&self, arm: Arm) -> Option<&LocalCounts> {
        self.arms.get(usize::from(arm.0))
    }

    fn get_mut(&mut self, arm: Arm) -> Option<&mut LocalCounts> {
        self.arms.get_mut(usize::from(arm.0))
    }
}
