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
    /// When somebody passes it: at this time in milliseconds since the Unix epoch. `None`: not yet.
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
        let end = match self.until {
            Until::Hold(hold) => begin.saturating_add(millis(hold)),
            Until::Gate(Some(passed)) => begin.max(passed),
            Until::Gate(None) => return NEVER,
        };
        pauses.after(end)
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

    /// Weight by the clock; 0 before `start`.
    pub fn scheduled(&self, now: u64) -> Share {
        self.weight(self.step(now))
    }

    /// Weight of a ramp that continued from `weight` at the time `since`: that step and the ones
    /// after it last their whole duration from then on. Never above the scheduled weight.
    pub fn paced(&self, weight: Share, since: u64, now: u64) -> Share {
        let Some(scheduled) = self.step(now) else {
            return Share::NONE;
        };
        let walked = self.walk(self.resumed(weight), since, now);
        self.weight(Some(walked.min(scheduled)))
    }

    /// Weight of the first step, from which a recovery starts.
    pub fn first(&self) -> Share {
        self.weight(Some(0))
    }

    /// Weight of the last step.
    pub fn last(&self) -> Share {
        self.weight(self.steps.len().checked_sub(1))
    }

    fn weight(&self, step: Option<usize>) -> Share {
        step.and_then(|step| self.steps.get(step))
            .map_or(Share::NONE, |step| step.weight)
    }

    /// Step by the clock; `None` before the first.
    fn step(&self, now: u64) -> Option<usize> {
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

    /// Step from which a ramp continues at this weight. A weight, not an index, because a new
    /// configuration may have other steps in the same revision.
    fn resumed(&self, weight: Share) -> usize {
        let steps = || self.steps.iter().enumerate();
        let same = steps().find(|(_, step)| step.weight == weight);
        let below = || steps().rfind(|(_, step)| step.weight < weight);
        same.or_else(below).map_or(0, |(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pauses::{self, Pause};
    use super::*;

    const MINUTE: u64 = 60_000;
    const START: u64 = 1_800_000_000_000; // a Friday, 08:00

    fn percent(percent: f64) -> Share {
        Share::from_percent(percent).unwrap()
    }

    fn held(weight: f64, minutes: u64) -> Step {
        Step {
            weight: percent(weight),
            until: Until::Hold(Duration::from_mins(minutes)),
        }
    }

    fn gate(weight: f64) -> Step {
        passed(weight, None)
    }

    fn passed(weight: f64, passed: Option<u64>) -> Step {
        Step {
            weight: percent(weight),
            until: Until::Gate(passed),
        }
    }

    fn ramp(steps: &[Step]) -> Ramp {
        Ramp::new(START, steps.to_vec(), Pauses::default()).unwrap()
    }

    #[test]
    fn the_clock_determines_the_weight() {
        let steady = ramp(&[held(1.0, 10), held(25.0, 60), held(100.0, 1)]);
        let gated = ramp(&[held(1.0, 10), gate(25.0), gate(100.0)]);
        for (name, ramp, now, weight) in [
            ("long before", &steady, 0, 0.0),
            ("just before", &steady, START - 1, 0.0),
            ("at start", &steady, START, 1.0),
            ("within step 0", &steady, START + 10 * MINUTE - 1, 1.0),
            ("step 1 begins", &steady, START + 10 * MINUTE, 25.0),
            ("step 1 ends", &steady, START + 70 * MINUTE - 1, 25.0),
            ("the last step", &steady, START + 70 * MINUTE, 100.0),
            ("forever", &steady, u64::MAX, 100.0),
            ("a gate", &gated, START + 10 * MINUTE, 25.0),
            ("waits", &gated, u64::MAX, 25.0),
        ] {
            assert_eq!(ramp.scheduled(now), percent(weight), "{name}");
        }
    }

    #[test]
    fn a_delayed_ramp_takes_whole_steps_and_never_exceeds_the_scheduled_weight() {
        let steady = ramp(&[held(5.0, 10), held(10.0, 10), held(50.0, 10), gate(100.0)]);
        let late = START + 25 * MINUTE;
        for (name, from, since, now, weight) in [
            ("continues from 10 %", 10.0, late, late, 10.0),
            (
                "for the whole step",
                10.0,
                late,
                late + 10 * MINUTE - 1,
                10.0,
            ),
            ("then the next", 10.0, late, late + 10 * MINUTE, 50.0),
            ("and the last", 10.0, late, late + 20 * MINUTE, 100.0),
            ("restarts", 5.0, late, late, 5.0),
            ("grows again", 5.0, late, late + 20 * MINUTE, 50.0),
            ("before start", 5.0, START - MINUTE, START - 1, 0.0),
            ("a clock slightly behind", 50.0, late, late - 1, 50.0),
            ("ahead of the schedule", 100.0, START, START + MINUTE, 5.0),
            ("steps changed: below", 30.0, late, late, 10.0),
            ("steps changed: first", 1.0, late, late, 5.0),
        ] {
            assert_eq!(
                steady.paced(percent(from), since, now),
                percent(weight),
                "{name}"
            );
        }
    }

    #[test]
    fn a_gate_that_is_passed_begins_the_next_step_at_that_instant() {
        let noon = START + 180 * MINUTE;
        let steps = |at| ramp(&[held(1.0, 10), passed(25.0, at), held(50.0, 60), gate(100.0)]);
        let open = steps(Some(noon));
        for (name, ramp, now, weight) in [
            ("its step begins", &open, START + 10 * MINUTE, 25.0),
            ("before", &open, noon - 1, 25.0),
            ("at the instant", &open, noon, 50.0),
            (
                "later steps count from it",
                &open,
                noon + 60 * MINUTE - 1,
                50.0,
            ),
            ("to the end", &open, noon + 60 * MINUTE, 100.0),
            ("in advance: not yet", &steps(Some(START)), START, 1.0),
            (
                "in advance: no step",
                &steps(Some(START)),
                START + 10 * MINUTE,
                50.0,
            ),
            ("not passed", &steps(None), u64::MAX, 25.0),
        ] {
            assert_eq!(ramp.scheduled(now), percent(weight), "{name}");
        }
        // A delayed ramp goes through it without a stop.
        let late = noon + 90 * MINUTE;
        for (minutes, weight) in [(0, 1.0), (9, 1.0), (10, 50.0), (69, 50.0), (70, 100.0)] {
            let now = late + minutes * MINUTE;
            assert_eq!(
                open.paced(percent(1.0), late, now),
                percent(weight),
                "{minutes}"
            );
        }
    }

    #[test]
    fn no_step_begins_in_a_pause_and_holds_go_on_counting() {
        // START is a Friday, 08:00.
        let night = Pause {
            days: Pause::EVERY_DAY,
            from: 18 * 60,
            to: 8 * 60,
        };
        let weekend = Pause {
            days: 0b110_0000,
            from: 0,
            to: pauses::DAY,
        };
        let pauses = Pauses::new(vec![night, weekend]).unwrap();
        let monday = START + 3 * 24 * 60 * MINUTE;
        let steps = [
            held(5.0, 60),
            held(10.0, 10 * 60),
            passed(50.0, Some(monday)),
            gate(100.0),
        ];
        let ramp = |start| Ramp::new(start, steps.to_vec(), pauses.clone()).unwrap();
        for (name, start, now, weight) in [
            ("start at the end of a pause", START, START, 5.0),
            ("start in a pause", START - MINUTE, START - 1, 0.0),
            ("it begins at its end", START - MINUTE, START, 5.0),
            ("in the day", START, START + 60 * MINUTE, 10.0),
            (
                "the hold ends at 19:00",
                START,
                START + 20 * 60 * MINUTE,
                10.0,
            ),
            ("nor on Saturday", START, START + 30 * 60 * MINUTE, 10.0),
            ("a gate on Monday: both begin", START, monday, 100.0),
            ("just before", START, monday - 1, 10.0),
        ] {
            assert_eq!(ramp(start).scheduled(now), percent(weight), "{name}");
        }
        let late = START + 12 * 60 * MINUTE;
        let paced = ramp(START).paced(percent(5.0), late, late + 60 * MINUTE);
        assert_eq!(paced, percent(5.0), "a delayed ramp pauses as well");
    }

    #[test]
    fn no_user_leaves_the_canary_while_it_grows() {
        let even = Even {
            from: percent(5.0),
            by: percent(7.0),
            to: percent(50.0),
            every: Duration::from_mins(2),
            then: Some(Share::ALL),
        };
        let ramp = Ramp::new(START, even.steps().unwrap(), Pauses::default()).unwrap();
        for weight_at in [
            &(|now| ramp.scheduled(now)) as &dyn Fn(u64) -> Share,
            &|now| ramp.paced(percent(12.0), START + 9 * MINUTE, now),
        ] {
            let instants = (START + 9 * MINUTE..START + 60 * MINUTE).step_by(1_000);
            let weights: Vec<_> = instants.map(weight_at).collect();
            assert!(weights.is_sorted());
            assert_eq!(weights.last(), Some(&Share::ALL));
        }
    }

    #[test]
    fn the_short_form_expands_to_steps() {
        let even = |from, by, to, then: Option<f64>| Even {
            from: percent(from),
            by: percent(by),
            to: percent(to),
            every: Duration::from_mins(2),
            then: then.map(percent),
        };
        for (even, steps) in [
            (
                even(5.0, 20.0, 50.0, Some(100.0)),
                vec![
                    held(5.0, 2),
                    held(25.0, 2),
                    held(45.0, 2),
                    held(50.0, 2),
                    gate(100.0),
                ],
            ),
            (
                even(5.0, 5.0, 10.0, None),
                vec![held(5.0, 2), held(10.0, 2)],
            ),
            (even(5.0, 5.0, 5.0, Some(5.0)), vec![held(5.0, 2)]),
        ] {
            assert_eq!(even.steps(), Ok(steps), "{even:?}");
        }
        for (even, flaw) in [
            (even(5.0, 0.0, 10.0, None), Flaw::NoStride),
            (even(5.0, 1.0, 4.0, None), Flaw::Backwards),
            (even(5.0, 1.0, 10.0, Some(9.0)), Flaw::FallsBack),
            (even(0.0, 0.0001, 50.0, None), Flaw::TooMany),
        ] {
            assert_eq!(even.steps(), Err(flaw), "{even:?}");
        }
    }

    #[test]
    fn invalid_steps_are_refused() {
        for (steps, flaw) in [
            (vec![], Flaw::Empty),
            (vec![held(5.0, 1), held(4.0, 1)], Flaw::Shrinks(1)),
            (vec![held(5.0, 0)], Flaw::NoHold(0)),
            (vec![held(5.0, 1); MAX_STEPS + 1], Flaw::TooMany),
        ] {
            assert_eq!(Ramp::new(START, steps, Pauses::default()), Err(flaw));
        }
    }
}
