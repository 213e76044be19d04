//! A canary that grows by the clock.
//!
//! The clock alone says which step is in force, so proxies that never talk to each other
//! agree, and so does one that was restarted a moment ago. A guardrail can only hold a
//! proxy back: [`Ramp::paced`] walks the steps again from some instant on, one hold each,
//! and never overtakes the clock.
//!
//! Weights never fall from step to step, so nobody leaves the canary while it grows.

use std::time::Duration;

use super::millis;
use crate::bucket::Share;

/// The most steps that a ramp may have, those of a short form counted one by one.
pub const MAX_STEPS: usize = 1_000;

/// A weight and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The share of users that the canary gets.
    pub weight: Share,
    /// How long. `None` waits for the next configuration; what the last step says does
    /// not matter, it lasts anyway.
    pub hold: Option<Duration>,
}

/// The short form: equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Even {
    /// The first weight.
    pub from: Share,
    /// What each step adds.
    pub by: Share,
    /// Where it ends; the last step is clipped to it.
    pub to: Share,
    /// How long each step is held, the one at `to` as well.
    pub every: Duration,
    /// The weight after that. `None`: it stays at `to`.
    pub then: Option<Share>,
}

/// Why steps are no ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no step.
    Empty,
    /// There are more than [`MAX_STEPS`].
    TooMany,
    /// The weight of the step with this index is below that of the one before it.
    Shrinks(usize),
    /// The step with this index is held for no time.
    NoHold(usize),
    /// `by` is 0, so `to` is never reached.
    NoStride,
    /// `to` is below `from`.
    Backwards,
    /// `then` is below `to`.
    FallsBack,
}

/// A canary that grows by the clock. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Milliseconds since the Unix epoch.
    start: u64,
    steps: Box<[Step]>,
}

impl Even {
    /// The steps that this is short for.
    ///
    /// # Errors
    /// When they do not grow, or are too many.
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
        let hold = Some(self.every);
        let mut steps = Vec::new();
        let mut weight = self.from;
        while weight < self.to {
            if steps.len() >= MAX_STEPS {
                return Err(Flaw::TooMany);
            }
            steps.push(Step { weight, hold });
            weight = weight.plus(self.by);
        }
        let weight = self.to;
        steps.push(Step { weight, hold });
        if let Some(weight) = self.then.filter(|then| *then > self.to) {
            steps.push(Step { weight, hold: None });
        }
        Ok(steps)
    }
}

impl Ramp {
    /// The ramp that begins its first step at `start`.
    ///
    /// # Errors
    /// When the steps are none, too many, shrink, or take no time.
    pub fn new(start: u64, steps: Vec<Step>) -> Result<Self, Flaw> {
        if steps.is_empty() {
            return Err(Flaw::Empty);
        }
        if steps.len() > MAX_STEPS {
            return Err(Flaw::TooMany);
        }
        let mut before = Share::NONE;
        for (index, step) in steps.iter().enumerate() {
            if step.weight < before {
                return Err(Flaw::Shrinks(index));
            }
            if step.hold.is_some_and(|hold| millis(hold) == 0) {
                return Err(Flaw::NoHold(index));
            }
            before = step.weight;
        }
        let steps = steps.into_boxed_slice();
        Ok(Self { start, steps })
    }

    /// The weight that the clock gives: nobody before `start`.
    pub fn scheduled(&self, now: u64) -> Share {
        self.weight(self.step(now))
    }

    /// The weight where a guardrail let this proxy go on from `weight` at the instant
    /// `since`: that step lasts a whole hold from then on, and so do the ones after it. The
    /// clock's weight where that is less.
    pub fn paced(&self, weight: Share, since: u64, now: u64) -> Share {
        let Some(scheduled) = self.step(now) else {
            return Share::NONE;
        };
        // Of two VMs, one may read the clock a little before the other.
        let spent = now.saturating_sub(since);
        let walked = self.walk(self.resumed(weight), spent);
        self.weight(Some(walked.min(scheduled)))
    }

    /// The weight of the first step, where a recovery begins.
    pub fn first(&self) -> Share {
        self.weight(Some(0))
    }

    /// The weight that everybody is heading for.
    pub fn last(&self) -> Share {
        self.weight(self.steps.len().checked_sub(1))
    }

    fn weight(&self, step: Option<usize>) -> Share {
        step.and_then(|step| self.steps.get(step))
            .map_or(Share::NONE, |step| step.weight)
    }

    /// The step that the clock gives; `None` before the first.
    fn step(&self, now: u64) -> Option<usize> {
        Some(self.walk(0, now.checked_sub(self.start)?))
    }

    /// Where somebody is who has spent this time since the beginning of a step.
    fn walk(&self, from: usize, mut spent: u64) -> usize {
        let last = self.steps.len().saturating_sub(1);
        for (index, step) in self.steps.iter().enumerate().take(last).skip(from) {
            let rest = step.hold.and_then(|hold| spent.checked_sub(millis(hold)));
            let Some(rest) = rest else { return index };
            spent = rest;
        }
        last
    }

    /// The step to go on from at this weight. By the weight, not by the number of a step,
    /// because a new configuration may have other steps in the same revision.
    fn resumed(&self, weight: Share) -> usize {
        let steps = || self.steps.iter().enumerate();
        let same = steps().find(|(_, step)| step.weight == weight);
        let below = || steps().rfind(|(_, step)| step.weight < weight);
        same.or_else(below).map_or(0, |(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const START: u64 = 1_800_000_000_000;

    fn percent(percent: f64) -> Share {
        Share::from_percent(percent).unwrap()
    }

    fn held(weight: f64, minutes: u64) -> Step {
        let hold = Some(Duration::from_mins(minutes));
        Step {
            weight: percent(weight),
            hold,
        }
    }

    fn gate(weight: f64) -> Step {
        let weight = percent(weight);
        Step { weight, hold: None }
    }

    fn ramp(steps: &[Step]) -> Ramp {
        Ramp::new(START, steps.to_vec()).unwrap()
    }

    #[test]
    fn the_clock_gives_the_weight() {
        let steady = ramp(&[held(1.0, 10), held(25.0, 60), held(100.0, 1)]);
        let gated = ramp(&[held(1.0, 10), gate(25.0), gate(100.0)]);
        for (name, ramp, now, weight) in [
            ("long before", &steady, 0, 0.0),
            ("just before", &steady, START - 1, 0.0),
            ("at start", &steady, START, 1.0),
            ("within step 0", &steady, START + 10 * MINUTE - 1, 1.0),
            ("step 1 begins", &steady, START + 10 * MINUTE, 25.0),
            ("step 1 ends", &steady, START + 70 * MINUTE - 1, 25.0),
            ("the last", &steady, START + 70 * MINUTE, 100.0),
            ("and for ever", &steady, u64::MAX, 100.0),
            ("a gate", &gated, START + 10 * MINUTE, 25.0),
            ("waits", &gated, u64::MAX, 25.0),
        ] {
            assert_eq!(ramp.scheduled(now), percent(weight), "{name}");
        }
    }

    #[test]
    fn who_is_held_back_goes_on_one_step_per_hold_and_never_overtakes_the_clock() {
        let steady = ramp(&[held(5.0, 10), held(10.0, 10), held(50.0, 10), gate(100.0)]);
        let late = START + 25 * MINUTE;
        for (name, from, since, now, weight) in [
            ("goes on from 10 %", 10.0, late, late, 10.0),
            ("for a whole hold", 10.0, late, late + 10 * MINUTE - 1, 10.0),
            ("then the next", 10.0, late, late + 10 * MINUTE, 50.0),
            ("and the last", 10.0, late, late + 20 * MINUTE, 100.0),
            ("begins again", 5.0, late, late, 5.0),
            ("and again grows", 5.0, late, late + 20 * MINUTE, 50.0),
            ("before start", 5.0, START - MINUTE, START - 1, 0.0),
            ("a clock behind", 50.0, late, late - 1, 50.0),
            ("ahead of it", 100.0, START, START + MINUTE, 5.0),
            ("steps changed: below", 30.0, late, late, 10.0),
            ("steps changed: at once", 1.0, late, late, 5.0),
        ] {
            assert_eq!(
                steady.paced(percent(from), since, now),
                percent(weight),
                "{name}"
            );
        }
    }

    #[test]
    fn nobody_leaves_the_canary_while_it_grows() {
        let even = Even {
            from: percent(5.0),
            by: percent(7.0),
            to: percent(50.0),
            every: Duration::from_mins(2),
            then: Some(Share::ALL),
        };
        let ramp = Ramp::new(START, even.steps().unwrap()).unwrap();
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
    fn the_short_form_is_short_for_steps() {
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
    fn what_does_not_grow_is_no_ramp() {
        for (steps, flaw) in [
            (vec![], Flaw::Empty),
            (vec![held(5.0, 1), held(4.0, 1)], Flaw::Shrinks(1)),
            (vec![held(5.0, 0)], Flaw::NoHold(0)),
            (vec![held(5.0, 1); MAX_STEPS + 1], Flaw::TooMany),
        ] {
            assert_eq!(Ramp::new(START, steps), Err(flaw));
        }
    }
}
