//! Ramp of a canary: weights by time. Must not depend on state or counts.
//!
//! The schedule follows from the configuration alone: [`Ramp::new`] computes the begin of every
//! step, so proxies agree without communication, also after a restart. A guardrail can only delay
//! a ramp in one proxy: [`Ramp::paced`] repeats the steps from a given time on and never exceeds
//! the scheduled weight.
//!
//! Weights do not decrease from step to step, so no user leaves the canary while it grows.

use std::time::Duration;

use super::pauses::Pauses;
use super::units::millis;
use crate::bucket::Share;

/// Maximum number of steps, including those of the short form.
pub const MAX_STEPS: usize = 1_000;

/// Step of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Share of users that get the canary.
    pub weight: Share,
    /// Its end. The last step lasts forever.
    pub until: Until,
}

/// End of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this duration.
    Hold(Duration),
    /// Instant at which it is passed, in milliseconds since the Unix epoch. `None`: not yet.
    Gate(Option<u64>),
}

/// Short form of a ramp: equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Even {
    /// First weight.
    pub from: Share,
    /// Increment per step.
    pub by: Share,
    /// Last weight; the last increment may be smaller.
    pub to: Share,
    /// Duration of each step, including the one at `to`.
    pub every: Duration,
    /// Weight after the step at `to`. `None`: it stays at `to`.
    pub then: Option<Share>,
}

/// Reason why steps are not a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There are no steps.
    Empty,
    /// There are more than [`MAX_STEPS`].
    TooMany,
    /// The weight of the step with this index is below that of the one before it.
    Shrinks(usize),
    /// The step with this index has a duration of 0.
    NoHold(usize),
    /// `by` is 0.
    NoStride,
    /// `to` is below `from`.
    Backwards,
    /// `then` is below `to`.
    FallsBack,
}

/// Ramp of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp {
    steps: Box<[Step]>,
    /// Begin of each step in milliseconds since the Unix epoch; [`NEVER`] behind a gate that is
    /// not passed.
    begins: Box<[u64]>,
    /// Times in which no step begins.
    pauses: Pauses,
}

/// Step at which a ramp is in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CurrentStep {
    /// Index of the step.
    pub step: usize,
    /// Its weight: a new configuration of the same revision may have other steps.
    pub weight: Share,
    /// Its begin in this process, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Behind the schedule because of a freeze, a rollback or a change of the clock, and not only
    /// for want of evidence.
    pub held: bool,
}

/// A step with its begin by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledStep {
    /// The step.
    pub step: Step,
    /// Its begin in milliseconds since the Unix epoch. `None` behind a gate that is not passed.
    pub begin: Option<u64>,
    /// Whether it begins at the end of a pause that contains the end of the step before.
    pub is_delayed: bool,
}

/// Begin of a step that does not begin.
const NEVER: u64 = u64::MAX;

impl Even {
    /// Steps of the long form.
    ///
    /// # Errors
    /// When the weights do not grow or the steps are too many.
    pub fn steps(&self) -> Result<Vec<Step>, Flaw> {
        if self.by == Share::NONE {
            return Err(Flaw::NoStride);
        }
        if self.to < self.from {
            return Err(Flaw::Backwards);
        }
        if self.then.is_some_and(|then| then < self.to) {
            return Err(Flaw::FallsBack);
        }
        let until = Until::Hold(self.every);
        let mut steps = Vec::new();
        let mut weight = self.from;
        while weight < self.to {
            if steps.len() >= MAX_STEPS {
                return Err(Flaw::TooMany);
            }
            steps.push(Step { weight, until });
            weight = weight.plus(self.by);
        }
        let weight = self.to;
        steps.push(Step { weight, until });
        if let Some(weight) = self.then.filter(|then| *then > self.to) {
            let until = Until::Gate(None);
            steps.push(Step { weight, until });
        }
        Ok(steps)
    }
}

impl Step {
    /// Begin of the next step if this one began at `begin`; [`NEVER`] at a gate that is not passed.
    fn end(self, begin: u64, pauses: &Pauses) -> u64 {
        let end = self.end_without_pauses(begin);
        end.map_or(NEVER, |end| pauses.after(end))
    }

    fn end_without_pauses(self, begin: u64) -> Option<u64> {
        match self.until {
            Until::Hold(hold) => Some(begin.saturating_add(millis(hold))),
            Until::Gate(passed) => Some(begin.max(passed?)),
        }
    }
}

impl Ramp {
    /// Ramp whose first step begins at `start`, or at the end of the pauses that contain it.
    ///
    /// # Errors
    /// When there are no steps or too many, or when a weight decreases or a duration is 0.
    pub fn new(start: u64, steps: Vec<Step>, pauses: Pauses) -> Result<Self, Flaw> {
        if steps.is_empty() {
            return Err(Flaw::Empty);
        }
        if steps.len() > MAX_STEPS {
            return Err(Flaw::TooMany);
        }
        let mut before = Share::NONE;
        let mut begin = pauses.after(start);
        let mut begins = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            if step.weight < before {
                return Err(Flaw::Shrinks(index));
            }
            if matches!(step.until, Until::Hold(hold) if millis(hold) == 0) {
                return Err(Flaw::NoHold(index));
            }
            before = step.weight;
            begins.push(begin);
            begin = step.end(begin, &pauses);
        }
        Ok(Self {
            steps: steps.into_boxed_slice(),
            begins: begins.into_boxed_slice(),
            pauses,
        })
    }

    /// All steps with their begins by the clock.
    pub fn schedule(&self) -> impl Iterator<Item = ScheduledStep> {
        let mut end = self.begins.first().copied();
        let steps = self.steps.iter().zip(&self.begins);
        steps.map(move |(step, begin)| {
            let begin = Some(*begin).filter(|begin| *begin != NEVER);
            let is_delayed = begin != end && begin.is_some();
            end = begin.and_then(|begin| step.end_without_pauses(begin));
            ScheduledStep {
                step: *step,
                begin,
                is_delayed,
            }
        })
    }

    /// Weight by the clock; 0 before `start`.
    pub fn scheduled(&self, now: u64) -> Share {
        self.weight(self.step(now))
    }

    /// Weight of a ramp that continues by the clock: its step and the ones after it last their
    /// whole duration. Never above the scheduled weight.
    pub(super) fn paced(&self, progress: &CurrentStep, now: u64) -> Share {
        let Some(scheduled) = self.step(now) else {
            return Share::NONE;
        };
        let walked = self.walk(self.resumed(progress), progress.since, now);
        self.weight(Some(walked.min(scheduled)))
    }

    /// Weight of a ramp that stays at its step until there is evidence. Never above the scheduled
    /// weight.
    pub(super) fn awaited(&self, progress: &CurrentStep, now: u64) -> Share {
        self.weight(self.reached(progress, now))
    }

    /// Step of a ramp that stays at its step until there is evidence, but passes gates; `None`
    /// before the first.
    pub(super) fn reached(&self, progress: &CurrentStep, now: u64) -> Option<usize> {
        let scheduled = self.step(now)?;
        let mut step = self.resumed(progress);
        // A person passed them, but not for a process that was held back.
        while !progress.held && step < scheduled && self.is_gate(step) {
            step = step.saturating_add(1);
        }
        Some(step.min(scheduled))
    }

    fn is_gate(&self, step: usize) -> bool {
        let step = self.steps.get(step);
        step.is_some_and(|step| matches!(step.until, Until::Gate(_)))
    }

    /// The first step, from which a recovery starts.
    pub(super) fn first(&self, now: u64) -> CurrentStep {
        self.progress(0, now, true)
    }

    /// The step at which the ramp continues with this weight.
    pub(super) fn thawed(
        &self,
        weight: Share,
        before: Option<CurrentStep>,
        now: u64,
    ) -> CurrentStep {
        let step = before.map_or(0, |before| before.step);
        let progress = CurrentStep {
            step,
            weight,
            ..CurrentStep::default()
        };
        self.progress(self.resumed(&progress), now, true)
    }

    /// The last step with a smaller weight, to which a ramp goes back.
    pub(super) fn below(&self, weight: Share, now: u64) -> Option<CurrentStep> {
        let step = self.steps.iter().rposition(|step| step.weight < weight)?;
        Some(self.progress(step, now, true))
    }

    /// The beginning of a step at `since`.
    pub(super) fn progress(&self, step: usize, since: u64, held: bool) -> CurrentStep {
        CurrentStep {
            step,
            weight: self.weight(Some(step)),
            since,
            held,
        }
    }

    /// Scheduled begin of a step.
    pub(super) fn begin(&self, step: usize) -> u64 {
        self.begins.get(step).copied().unwrap_or(NEVER)
    }

    /// Duration of a step, unlimited for a gate.
    pub(super) fn hold(&self, step: usize) -> Duration {
        match self.steps.get(step).map(|step| step.until) {
            Some(Until::Hold(hold)) => hold,
            _ => Duration::MAX,
        }
    }

    /// The first time from `now` on at which a step can begin.
    pub(super) fn next_begin(&self, now: u64) -> u64 {
        self.pauses.after(now)
    }

    /// Weight of the last step.
    pub fn last(&self) -> Share {
        self.weight(self.steps.len().checked_sub(1))
    }

    pub(super) fn weight(&self, step: Option<usize>) -> Share {
        step.and_then(|step| self.steps.get(step))
            .map_or(Share::NONE, |step| step.weight)
    }

    /// Step by the clock; `None` before the first.
    pub fn step(&self, now: u64) -> Option<usize> {
        let now = now.min(NEVER.saturating_sub(1));
        self.begins
            .partition_point(|begin| *begin <= now)
            .checked_sub(1)
    }

    /// Step that is reached at `now` if step `from` began at `since`.
    fn walk(&self, from: usize, mut since: u64, now: u64) -> usize {
        let last = self.steps.len().saturating_sub(1);
        for (index, step) in self.steps.iter().enumerate().take(last).skip(from) {
            since = step.end(since, &self.pauses);
            if since > now || since == NEVER {
                return index;
            }
        }
        last
    }

    /// Step from which a ramp continues. If the configuration now has other steps, the one with
    /// the same weight or the last one below it.
    fn resumed(&self, progress: &CurrentStep) -> usize {
        let has = |step: &Step| step.weight == progress.weight;
        if self.steps.get(progress.step).is_some_and(has) {
            return progress.step;
        }
        let same = self.steps.iter().position(has);
        let below = || {
            let mut steps = self.steps.iter();
            steps.rposition(|step| step.weight < progress.weight)
        };
        same.or_else(below).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
