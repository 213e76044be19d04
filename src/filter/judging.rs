//! The decisions about a request whose outcome guardrails count. Must not depend on what an outcome
//! means.

use super::active::ActivePolicy;
use super::configuration::Configuration;
use super::host::Host;
use super::waiting::{Place, WaitsFor};
use super::watch::Watch;
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

    fn each(&mut self) -> impl Iterator<Item = &mut Judged> {
        self.first.iter_mut().chain(&mut self.others)
    }

    /// The stream waits for its versions, since this time on the monotonic clock.
    pub fn wait(&mut self, watch: &Watch, what: WaitsFor, stream: u32, since: u64) {
        for judged in self.each() {
            let (rollout, arm) = (judged.rollout, judged.arm);
            judged.place = watch.waiting(rollout, |waiting| match judged.place {
                Some(place) => {
                    waiting.wait(place, what, since);
                    Some(place)
                }
                None => waiting.add(what, stream, arm.0, since),
            });
        }
    }

    /// The stream waits for nothing.
    pub fn idle(&mut self, watch: &Watch) {
        for judged in self.each() {
            if let Some(place) = judged.place {
                watch.waiting(judged.rollout, |waiting| waiting.idle(place).then_some(()));
            }
        }
    }

    /// The request ended: counts its outcome, unless it was counted while it was open.
    pub fn finish<H: Host>(&mut self, configuration: &Configuration<H>, end: &FinishedRequest) {
        for judged in std::mem::take(self).each() {
            if judged.leave(&configuration.watch) {
                configuration.judge(judged.rollout, judged.arm, end);
            }
        }
    }

    /// The stream is gone, without an outcome.
    pub fn leave(&mut self, watch: &Watch) {
        for judged in std::mem::take(self).each() {
            judged.leave(watch);
        }
    }
}

impl Judged {
    /// Ends the wait. `false` if the stream was counted.
    fn leave(&mut self, watch: &Watch) -> bool {
        let Some(place) = self.place.take() else {
            return true;
        };
        let counts = watch.waiting(self.rollout, |waiting| Some(waiting.remove(place)));
        counts.unwrap_or(true)
    }
}
