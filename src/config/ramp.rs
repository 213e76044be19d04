//! How a canary's weight comes about: fixed, or by the clock.

use super::limits::{HOLD, MAX_STEPS};
use super::spec;
use super::values::{duration, instant, percent};
use crate::guardrail::Ramp;
use crate::guardrail::ramp::{Even, Flaw, Step};
use crate::json::error::Path;
use crate::strategy::Weight;

/// What a canary says of its weight, and its ramp if it has one.
pub(super) fn weight(at: Path<'_>, raw: &spec::CanarySpec<'_>) -> Option<(Weight, Option<Ramp>)> {
    match (raw.weight, raw.steps, &raw.ramp) {
        (Some(weight), None, None) => {
            if raw.start.is_some() {
                let message = "has no effect with weight: leave it out";
                at.field("start").error(message);
            }
            let share = percent(at.field("weight"), weight)?;
            Some((Weight::Fixed(share), None))
        }
        (None, Some(steps), None) => {
            let start = beginning(at, raw.start);
            let at = at.field("steps");
            let count = steps.len();
            let steps = steps.at_most(MAX_STEPS, "steps", at);
            let steps = steps.each(at, step);
            if steps.len() < count {
                return None;
            }
            by_clock(at, start, Ok(steps))
        }
        (None, None, Some(ramp)) => {
            let start = beginning(at, raw.start);
            let at = at.field("ramp");
            let steps = even(at, ramp)?.steps();
            by_clock(at, start, steps)
        }
        (None, None, None) => {
            at.error("has no weight: write weight, steps or ramp");
            None
        }
        _ => {
            at.error("has several weights: write one of weight, steps, ramp");
            None
        }
    }
}

fn by_clock(
    at: Path<'_>,
    start: Option<u64>,
    steps: Result<Vec<Step>, Flaw>,
) -> Option<(Weight, Option<Ramp>)> {
    // The steps are checked even if the start has an error.
    match steps.and_then(|steps| Ramp::new(start.unwrap_or_default(), steps)) {
        Ok(ramp) => start.map(|_| (Weight::Ramp, Some(ramp))),
        Err(flaw) => {
            report(at, flaw);
            None
        }
    }
}

fn beginning(at: Path<'_>, start: Option<&str>) -> Option<u64> {
    let Some(start) = start else {
        let message = "has no start: write the instant at which the first step begins";
        at.error(message);
        return None;
    };
    instant(at.field("start"), start)
}

fn step(at: Path<'_>, raw: spec::StepSpec<'_>) -> Option<Step> {
    let weight = percent(at.field("weight"), raw.weight);
    let hold = match raw.hold {
        Some(hold) => Some(duration(at.field("hold"), hold, HOLD)?),
        None => None,
    };
    Some(Step {
        weight: weight?,
        hold,
    })
}

fn even(at: Path<'_>, raw: &spec::RampSpec<'_>) -> Option<Even> {
    let from = percent(at.field("from"), raw.from);
    let by = percent(at.field("by"), raw.by);
    let to = percent(at.field("to"), raw.to);
    let every = duration(at.field("every"), raw.every, HOLD);
    let then = match raw.then {
        Some(then) => Some(percent(at.field("then"), then)?),
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

fn report(at: Path<'_>, flaw: Flaw) {
    match flaw {
        Flaw::Empty => at.error("is empty"),
        Flaw::TooMany => {
            let message = format_args!("has too many steps: the maximum is {MAX_STEPS}");
            at.error(message);
        }
        Flaw::Shrinks(index) => {
            let at = at.index(index);
            let message = "is less than the weight of the step before: weights must not decrease";
            at.field("weight").error(message);
        }
        Flaw::NoHold(index) => {
            let at = at.index(index);
            at.field("hold").error("is 0: write a duration above 0");
        }
        Flaw::NoStride => at.field("by").error("is 0: write a percentage above 0"),
        Flaw::Backwards => at
            .field("to")
            .error("is less than from: weights must not decrease"),
        Flaw::FallsBack => at
            .field("then")
            .error("is less than to: weights must not decrease"),
    }
}
