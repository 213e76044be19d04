//! How a canary's weight comes about: fixed, or by the clock.

use super::limits::{HOLD, MAX_STEPS};
use super::spec;
use super::values::{duration, instant, percent};
use crate::error::{Errors, Path};
use crate::guardrail::Ramp;
use crate::guardrail::ramp::{Even, Flaw, Step};
use crate::strategy::Weight;

/// What a canary says of its weight, and its ramp if it has one.
pub(super) fn weight(
    at: Path<'_>,
    raw: &spec::CanarySpec<'_>,
    errors: &mut Errors,
) -> Option<(Weight, Option<Ramp>)> {
    match (raw.weight, raw.steps, &raw.ramp) {
        (Some(weight), None, None) => {
            if raw.start.is_some() {
                let message = "has no effect with weight: leave it out";
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
            errors.add(at, "has no weight: write weight, steps or ramp");
            None
        }
        _ => {
            errors.add(at, "has several weights: write one of weight, steps, ramp");
            None
        }
    }
}

fn by_clock(
    at: Path<'_>,
    start: Option<u64>,
    steps: Result<Vec<Step>, Flaw>,
    errors: &mut Errors,
) -> Option<(Weight, Option<Ramp>)> {
    // What is wrong with the steps is told without knowing when they begin.
    match steps.and_then(|steps| Ramp::new(start.unwrap_or_default(), steps)) {
        Ok(ramp) => start.map(|_| (Weight::Ramp, Some(ramp))),
        Err(flaw) => {
            report(at, flaw, errors);
            None
        }
    }
}

fn beginning(at: Path<'_>, start: Option<&str>, errors: &mut Errors) -> Option<u64> {
    let Some(start) = start else {
        let message = "has no start: write the instant at which the first step begins";
        errors.add(at, message);
        return None;
    };
    instant(at.field("start"), start, errors)
}

fn step(at: Path<'_>, raw: spec::StepSpec<'_>, errors: &mut Errors) -> Option<Step> {
    let weight = percent(at.field("weight"), raw.weight, errors);
    let hold = match raw.hold {
        Some(hold) => Some(duration(at.field("hold"), hold, HOLD, errors)?),
        None => None,
    };
    Some(Step {
        weight: weight?,
        hold,
    })
}

fn even(at: Path<'_>, raw: &spec::RampSpec<'_>, errors: &mut Errors) -> Option<Even> {
    let from = percent(at.field("from"), raw.from, errors);
    let by = percent(at.field("by"), raw.by, errors);
    let to = percent(at.field("to"), raw.to, errors);
    let every = duration(at.field("every"), raw.every, HOLD, errors);
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

fn report(at: Path<'_>, flaw: Flaw, errors: &mut Errors) {
    match flaw {
        Flaw::Empty => errors.add(at, "is empty"),
        Flaw::TooMany => {
            let message = format_args!("has too many steps: the maximum is {MAX_STEPS}");
            errors.add(at, message);
        }
        Flaw::Shrinks(index) => {
            let at = at.index(index);
            let message = "is less than the weight of the step before: weights must not decrease";
            errors.add(at.field("weight"), message);
        }
        Flaw::NoHold(index) => {
            let at = at.index(index);
            errors.add(at.field("hold"), "is 0: write a duration above 0");
        }
        Flaw::NoStride => errors.add(at.field("by"), "is 0: write a percentage above 0"),
        Flaw::Backwards => errors.add(
            at.field("to"),
            "is less than from: weights must not decrease",
        ),
        Flaw::FallsBack => errors.add(
            at.field("then"),
            "is less than to: weights must not decrease",
        ),
    }
}
