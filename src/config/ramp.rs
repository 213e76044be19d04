//! How a canary's weight comes about: fixed, or by the clock.

use std::time::Duration;

use super::error::{At, Errors};
use super::shape;
use super::values::{duration, instant, percent};
use crate::guardrail::Ramp;
use crate::guardrail::ramp::{Even, Flaw, MAX_STEPS, Step};
use crate::policy::Weight;

const SECOND: Duration = Duration::from_secs(1);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a canary says of its weight, and its ramp if it has one.
pub(super) fn weight(
    at: At<'_>,
    raw: &shape::Canary<'_>,
    errors: &mut Errors,
) -> Option<(Weight, Option<Ramp>)> {
    match (raw.weight, raw.steps, &raw.ramp) {
        (Some(weight), None, None) => {
            if raw.start.is_some() {
                let message = "belongs to steps or a ramp: a weight is in force at once";
                errors.add(at.field("start"), message);
            }
            let share = percent(at.field("weight"), weight, errors)?;
            Some((Weight::Fixed(share), None))
        }
        (None, Some(steps), None) => {
            let start = beginning(at, raw.start, errors);
            let at = at.field("steps");
            let count = steps.len();
            let steps = steps.at_most(MAX_STEPS, "steps", at, errors);
            let steps = steps.each(at, errors, step);
            if steps.len() < count {
                return None;
            }
            by_clock(at, start, Ok(steps), errors)
        }
        (None, None, Some(ramp)) => {
            let start = beginning(at, raw.start, errors);
            let at = at.field("ramp");
            let steps = even(at, ramp, errors)?.steps();
            by_clock(at, start, steps, errors)
        }
        (None, None, None) => {
            errors.add(at, "has no weight: weight, steps or ramp");
            None
        }
        _ => {
            errors.add(
                at,
                "has several weights where one is meant: weight, steps or ramp",
            );
            None
        }
    }
}

fn by_clock(
    at: At<'_>,
    start: Option<u64>,
    steps: Result<Vec<Step>, Flaw>,
    errors: &mut Errors,
) -> Option<(Weight, Option<Ramp>)> {
    // What is wrong with the steps is told without knowing when they begin.
    match steps.and_then(|steps| Ramp::new(start.unwrap_or_default(), steps)) {
        Ok(ramp) => start.map(|_| (Weight::Clock, Some(ramp))),
        Err(flaw) => {
            report(at, flaw, errors);
            None
        }
    }
}

fn beginning(at: At<'_>, start: Option<&str>, errors: &mut Errors) -> Option<u64> {
    let Some(start) = start else {
        let message = "has no start: all proxies go by the clock from an instant on";
        errors.add(at, message);
        return None;
    };
    instant(at.field("start"), start, errors)
}

fn step(at: At<'_>, raw: shape::Step<'_>, errors: &mut Errors) -> Option<Step> {
    let weight = percent(at.field("weight"), raw.weight, errors);
    let hold = match raw.hold {
        Some(hold) => Some(duration(at.field("hold"), hold, SECOND..=MONTH, errors)?),
        None => None,
    };
    Some(Step {
        weight: weight?,
        hold,
    })
}

fn even(at: At<'_>, raw: &shape::Ramp<'_>, errors: &mut Errors) -> Option<Even> {
    let from = percent(at.field("from"), raw.from, errors);
    let by = percent(at.field("by"), raw.by, errors);
    let to = percent(at.field("to"), raw.to, errors);
    let every = duration(at.field("every"), raw.every, SECOND..=MONTH, errors);
    let then = match raw.then {
        Some(then) => Some(percent(at.field("then"), then, errors)?),
        None => None,
    };
    Some(Even {
        from: from?,
        by: by?,
        to: to?,
        every: every?,
        then,
    })
}

fn report(at: At<'_>, flaw: Flaw, errors: &mut Errors) {
    match flaw {
        Flaw::Empty => errors.add(at, "is empty"),
        Flaw::TooMany => {
            let message = format_args!("has more than {MAX_STEPS} steps, the most there may be");
            errors.add(at, message);
        }
        Flaw::Shrinks(index) => {
            let at = at.index(index);
            let message = "is less than the step before: a ramp only grows, and nobody leaves";
            errors.add(at.field("weight"), message);
        }
        Flaw::NoHold(index) => {
            let at = at.index(index);
            errors.add(at.field("hold"), "is no time");
        }
        Flaw::NoStride => errors.add(at.field("by"), "is 0, by which nothing grows"),
        Flaw::Backwards => errors.add(at.field("to"), "is less than from: a ramp only grows"),
        Flaw::FallsBack => errors.add(at.field("then"), "is less than to: a ramp only grows"),
    }
}
