//! What one worker has counted since its last tick.

use std::time::Duration;

use super::evidence::Tally;
use super::latency::{Dense, Histogram, bucket};
use super::state::State;
use super::window::Counts;
use super::{Arm, Plan};
use crate::response::HealthSample;

/// What one worker has counted since its last tick, for one rollout; and how many failures
/// in a row it has seen, which no other worker needs to know.
#[derive(Clone, Debug)]
pub struct Local {
    arms: Vec<Counted>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    errors: Tally,
    slow: Tally,
    /// Where a limit compares quantiles.
    buckets: Option<Box<Dense>>,
    /// Failures in a row.
    run: u32,
    /// The attempt that the run belongs to; unknown before the first tick.
    attempt: Option<u32>,
}

impl Local {
    /// Nothing counted yet.
    pub fn new(plan: &Plan) -> Self {
        let arms = plan.arms().map(|_| Counted::default()).collect();
        Self { arms }
    }

    /// Counts a request. `true` where it is time for a tick at once: so many failures in a
    /// row trip.
    pub fn record(
        &mut self,
        plan: &Plan,
        arm: Arm,
        sample: HealthSample,
        latency: Option<Duration>,
    ) -> bool {
        let bad = match sample {
            HealthSample::None => return false,
            HealthSample::Success => 0,
            HealthSample::Failure => 1,
        };
        if let Some(latency) = latency {
            self.time(plan, arm, latency);
        }
        self.count(arm, Tally { bad, all: 1 });
        // Once: a longer run has been told of, and is seen at the next tick if that failed.
        let run = self.get(arm).map_or(0, |counted| counted.run);
        bad > 0 && plan.guardrail.consecutive_errors == Some(run) && arm != Arm::STABLE
    }

    /// Counts requests in bulk, the failures last.
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

    fn time(&mut self, plan: &Plan, arm: Arm, latency: Duration) {
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

    /// Whether this worker has seen so many failures in a row that they trip.
    fn is_run(&self, plan: &Plan, arm: Arm) -> bool {
        let run = self.get(arm).map_or(0, |counted| counted.run);
        let limit = plan.guardrail.consecutive_errors;
        arm != Arm::STABLE && limit.is_some_and(|limit| run >= limit.max(1))
    }

    /// The same, and all of them in this attempt: what failed before a rollback says
    /// nothing about what comes after it.
    pub(super) fn is_run_of(&self, plan: &Plan, arm: Arm, attempt: u32) -> bool {
        let of_it = |counted: &Counted| counted.attempt.is_none_or(|of| of == attempt);
        self.get(arm).is_some_and(of_it) && self.is_run(plan, arm)
    }

    /// Whether there is nothing to merge.
    pub fn is_empty(&self) -> bool {
        let mut arms = self.arms.iter();
        arms.all(|arm| arm.errors.all == 0)
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

    /// What was counted is merged into this state, and the state is written: begin anew.
    pub fn merged(&mut self, plan: &Plan, state: &State) {
        for ((arm, _), counted) in plan.arms().zip(&mut self.arms) {
            let attempt = Some(state.attempt(plan, arm));
            let run = if counted.attempt.is_none_or(|of| Some(of) == attempt) {
                counted.run
            } else {
                0
            };
            *counted = Counted {
                run,
                attempt,
                ..Counted::default()
            };
        }
    }

    fn get(&self, arm: Arm) -> Option<&Counted> {
        self.arms.get(usize::from(arm.0))
    }

    fn get_mut(&mut self, arm: Arm) -> Option<&mut Counted> {
        self.arms.get_mut(usize::from(arm.0))
    }
}
