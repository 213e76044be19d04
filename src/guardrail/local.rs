//! What one worker has counted since its last tick.

use std::time::Duration;

use super::latency::{Dense, Histogram, bucket};
use super::state::State;
use super::window::{Errors, Latencies};
use super::{Arm, Plan, Sample};

/// What one worker has counted since its last tick, for one rollout; and how many failures
/// in a row it has seen, which no other worker needs to know.
#[derive(Clone, Debug)]
pub struct Local {
    arms: Box<[Counted]>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    errors: Errors,
    timed: u32,
    slow: u32,
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
        sample: Sample,
        latency: Option<Duration>,
    ) -> bool {
        let (requests, failures) = match sample {
            Sample::None => return false,
            Sample::Success => (1, 0),
            Sample::Failure => (1, 1),
        };
        if let Some(latency) = latency {
            self.time(plan, arm, latency);
        }
        self.count(arm, Errors { requests, failures });
        self.is_run(plan, arm)
    }

    /// Counts requests in bulk, the failures last.
    pub fn count(&mut self, arm: Arm, counts: Errors) {
        let Some(counted) = self.get_mut(arm) else {
            return;
        };
        let errors = &mut counted.errors;
        errors.requests = errors.requests.saturating_add(counts.requests);
        errors.failures = errors.failures.saturating_add(counts.failures);
        if counts.failures < counts.requests {
            counted.run = 0;
        }
        counted.run = counted.run.saturating_add(counts.failures);
    }

    fn time(&mut self, plan: &Plan, arm: Arm, latency: Duration) {
        let (Some(limit), Some(counted)) = (&plan.guardrail.latency, self.get_mut(arm)) else {
            return;
        };
        counted.timed = counted.timed.saturating_add(1);
        let slow = limit.max.is_some_and(|max| latency > max);
        counted.slow = counted.slow.saturating_add(u32::from(slow));
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
        arms.all(|arm| arm.errors.requests == 0 && arm.timed == 0)
    }

    pub(super) fn errors(&self, arm: Arm) -> Errors {
        self.get(arm).map(|arm| arm.errors).unwrap_or_default()
    }

    pub(super) fn latencies(&self, arm: Arm) -> Latencies {
        let Some(counted) = self.get(arm) else {
            return Latencies::default();
        };
        let buckets = counted.buckets.as_ref();
        Latencies {
            requests: counted.timed,
            slow: counted.slow,
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
