//! The decisions about a request whose outcome guardrails count. Must not depend on what an outcome
//! means.

use super::active::ActivePolicy;
use super::configuration::Configuration;
use super::host::Host;
use super::waiting::Place;
use super::watch::{Watch, millis};
use crate::decision::Decision;
use crate::guardrail::Arm;
use crate::policy::RolloutId;
use crate::response::FinishedRequest;

/// The judged decisions about a request.
#[derive(Debug, Default)]
pub struct Judging {
    /// Usually there is one at most, which needs no memory of its own.
    first: Option<Judged>,
    others: Vec<Judged>,
    /// Whether one of the guardrails has a latency limit.
    timed: bool,
}

/// A judged decision.
#[derive(Clone, Copy, Debug)]
struct Judged {
    rollout: RolloutId,
    arm: Arm,
    /// The stream among those that wait for this version, from the first time that it waits.
    place: Option<Place>,
}

impl Judging {
    /// The judged ones among these decisions.
    pub fn of(active: &ActivePolicy, decisions: &[Decision]) -> Self {
        let mut judging = Self::default();
        for decision in decisions.iter().filter(|decision| decision.judged) {
            let rollout = active.policy.rollout(decision.rollout);
            let guarded = rollout.and_then(|rollout| rollout.guarded(decision.version));
            let Some((plan, arm)) = guarded else { continue };
            judging.timed |= plan.limits_latency();
            let judged = Judged {
                rollout: decision.rollout,
                arm,
                place: None,
            };
            if judging.first.is_none() {
                judging.first = Some(judged);
            } else {
                judging.others.push(judged);
            }
        }
        judging
    }

    /// Whether no decision is judged.
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether a limit on latency judges one.
    pub const fn is_timed(&self) -> bool {
        self.timed
    }

    fn each(&mut self, mut each: impl FnMut(&mut Judged)) {
        if let Some(first) = &mut self.first {
            each(first);
        }
        self.others.iter_mut().for_each(each);
    }

    /// The request ended at this time on the monotonic clock: the stream waits for the response
    /// headers.
    pub fn wait(&mut self, watch: &Watch, stream: u32, since: u64) {
        self.each(|judged| judged.wait(watch, stream, millis(since)));
    }

    /// The stream waits for the body, since this time on the monotonic clock.
    pub fn wait_for_body(&mut self, watch: &Watch, stream: u32, now: u64) {
        self.each(|judged| judged.wait_for_body(watch, stream, millis(now)));
    }

    /// The stream waits for nothing.
    pub fn idle(&mut self, watch: &Watch) {
        self.each(|judged| {
            if let Some(place) = judged.place {
                watch.waiting(judged.rollout, |waiting| {
                    waiting.idle(place);
                    Some(())
                });
            }
        });
    }

    /// The request ended: counts its outcome, unless it was counted while it was open.
    pub fn finish<H: Host>(&mut self, configuration: &Configuration<H>, end: &FinishedRequest) {
        self.each(|judged| {
            if judged.leave(&configuration.watch) {
                configuration.judge(judged.rollout, judged.arm, end);
            }
        });
        self.first = None;
    }

    /// The stream is gone, without an outcome.
    pub fn leave(&mut self, watch: &Watch) {
        self.each(|judged| {
            judged.leave(watch);
        });
    }
}

impl Judged {
    /// Begins to wait. A host that ends a request twice is tolerated.
    fn wait(&mut self, watch: &Watch, stream: u32, since: u32) {
        if self.place.is_some() {
            return;
        }
        let arm = self.arm.0;
        self.place = watch.waiting(self.rollout, |waiting| waiting.add(stream, arm, since));
    }

    fn wait_for_body(&mut self, watch: &Watch, stream: u32, now: u32) {
        // The request may have ended after the response began.
        self.wait(watch, stream, now);
        if let Some(place) = self.place {
            watch.waiting(self.rollout, |waiting| {
                waiting.wait_for_body(place, now);
                Some(())
            });
        }
    }

    /// Ends the wait. `false` if the stream was counted.
    fn leave(&mut self, watch: &Watch) -> bool {
        let Some(place) = self.place.take() else {
            return true;
        };
        let counts = watch.waiting(self.rollout, |waiting| Some(waiting.remove(place)));
        counts.unwrap_or(true)
    }
}
