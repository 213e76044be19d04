//! How a canary's weight comes about: fixed, or by the clock.

use rustc_hash::FxHashSet;

use crate::limits::{DAYS, HOLD, MAX_PAUSES, MAX_STEPS};
use crate::names;
use crate::spec;
use crate::values::{duration, instant, percent, unique};
use divvy_core::guardrail::pauses::DAY;
use divvy_core::guardrail::ramp::{Even, Flaw, Step, Until};
use divvy_core::guardrail::{Pause, Pauses, Ramp};
use divvy_core::strategy::Weight;
use divvy_json::error::Path;

/// What a canary says of its weight, and its ramp if it has one.
pub(crate) fn weight(at: Path<'_>, raw: &spec::CanarySpec<'_>) -> Option<(Weight, Option<Ramp>)> {
    let steps = match (raw.weight, raw.steps, &raw.ramp) {
        (Some(weight), None, None) => {
            for (field, given) in [
                ("start", raw.start.is_some()),
                ("passed", raw.passed.is_some()),
                ("pauses", raw.pauses.is_some()),
            ] {
                if given {
                    let message = "has no effect with weight: leave it out";
                    at.field(field).error(message);
                }
            }
            let share = percent(at.field("weight"), weight)?;
            return Some((Weight::Fixed(share), None));
        }
        (None, Some(_), None) | (None, None, Some(_)) => raw.steps,
        (None, None, None) => {
            at.error("has no weight: write weight, steps or ramp");
            return None;
        }
        _ => {
            at.error("has several weights: write one of weight, steps, ramp");
            return None;
        }
    };
    // All parts are checked, also if one of them has errors.
    let before = at.error_count();
    let start = beginning(at, raw.start);
    let mut gates = Vec::new();
    let count = steps.map_or(0, |steps| steps.len().min(MAX_STEPS));
    let (place, steps) = match (steps, &raw.ramp) {
        (Some(steps), _) => {
            let place = at.field("steps");
            let steps = steps.at_most(MAX_STEPS, "steps", place);
            let mut seen = FxHashSet::default();
            let steps = steps.each(place, |at, raw| {
                if let Some(gate) = raw.gate {
                    let at = at.field("gate");
                    names::other(at, gate);
                    unique(at, gate, &mut seen);
                }
                gates.push(raw.gate);
                step(at, &raw)
            });
            (place, (steps.len() == count).then_some(Ok(steps)))
        }
        (None, Some(ramp)) => {
            let place = at.field("ramp");
            (place, even(place, ramp).map(|even| even.steps()))
        }
        (None, None) => return None,
    };
    let passed = raw.passed.map_or_else(Vec::new, |raw| {
        let mut seen = FxHashSet::default();
        raw.each(at.field("passed"), |at, raw| {
            unique(at.field("gate"), raw.gate, &mut seen);
            let index = gates.iter().position(|gate| *gate == Some(raw.gate));
            // Not if the gate may be that of a step whose shape is wrong.
            if index.is_none() && gates.len() == count {
                unknown_gate(at.field("gate"), raw.gate, &gates);
            }
            Some((index?, instant(at.field("at"), raw.at)?))
        })
    });
    let pauses = match raw.pauses {
        Some(raw) => pauses(at.field("pauses"), raw),
        None => Pauses::default(),
    };
    // The steps are checked even if another part has an error.
    let begin = start.unwrap_or_default();
    let ramp = steps?.and_then(|mut steps| {
        for (index, at) in passed {
            if let Some(step) = steps.get_mut(index) {
                step.until = Until::Gate(Some(at));
            }
        }
        Ramp::new(begin, steps, pauses)
    });
    match ramp {
        Ok(ramp) => (at.error_count() == before).then_some((Weight::Ramp, Some(ramp))),
        Err(flaw) => {
            report(place, flaw);
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

fn unknown_gate(at: Path<'_>, gate: &str, gates: &[Option<&str>]) {
    if gates.iter().all(Option::is_none) {
        at.error(format_args!(
            "{gate:?} is not the gate of a step: no step has a gate"
        ));
    } else {
        at.unknown_name(gate, gates.iter().copied().flatten());
    }
}

fn step(at: Path<'_>, raw: &spec::StepSpec<'_>) -> Option<Step> {
    let weight = percent(at.field("weight"), raw.weight);
    let until = match raw.hold {
        Some(hold) => Until::Hold(duration(at.field("hold"), hold, HOLD)?),
        None => Until::Gate(None),
    };
    if raw.hold.is_some() && raw.gate.is_some() {
        at.error("has hold and gate: write one of them");
    }
    Some(Step {
        weight: weight?,
        until,
    })
}

fn pauses<'t>(at: Path<'_>, raw: spec::Items<'t, spec::PauseSpec<'t>>) -> Pauses {
    if raw.is_empty() {
        at.error("is empty: write a pause or leave the field out");
    }
    let before = at.error_count();
    let all = raw.at_most(MAX_PAUSES, "pauses", at).each(at, pause);
    let pauses = Pauses::new(all);
    if pauses.is_none() && at.error_count() == before {
        at.error("never end: no step could begin");
    }
    pauses.unwrap_or_default()
}

fn pause(at: Path<'_>, raw: spec::PauseSpec<'_>) -> Option<Pause> {
    let mut days = Pause::EVERY_DAY;
    if let Some(raw) = raw.days {
        let at = at.field("days");
        if raw.is_empty() {
            at.error("is empty: write days or leave the field out");
        }
        let mut seen = FxHashSet::default();
        // Not a list of `()`: the first of those in the module adds 34 KB to it.
        let bits = raw.each(at, |at, day: &str| {
            unique(at, day, &mut seen);
            let index = DAYS.iter().position(|known| *known == day);
            if index.is_none() {
                at.unknown_name(day, DAYS.into_iter());
            }
            1_u8.checked_shl(u32::try_from(index?).ok()?)
        });
        days = bits.into_iter().fold(0, |days, day| days | day);
    }
    let (from, to) = match (raw.from, raw.to) {
        (Some(from), Some(to)) => {
            let (start, end) = (minute(at.field("from"), from), minute(at.field("to"), to));
            if start.is_some() && start == end {
                at.field("to")
                    .error("is equal to from: leave both out for whole days");
            }
            (start?, end?)
        }
        (None, None) => {
            if raw.days.is_none() {
                at.error("has no time: write days, or from and to, or all three");
            }
            (0, DAY)
        }
        _ => {
            at.error("has one of from and to: write both");
            return None;
        }
    };
    Some(Pause { days, from, to })
}

/// Minutes since midnight of a time such as `18:30`.
fn minute(at: Path<'_>, text: &str) -> Option<u16> {
    let number = |tens: u8, ones: u8, below: u16| {
        let digit = |byte: u8| char::from(byte).to_digit(10);
        let number = digit(tens)?.saturating_mul(10).saturating_add(digit(ones)?);
        let number = u16::try_from(number).ok()?;
        (number < below).then_some(number)
    };
    let minute = match *text.as_bytes() {
        [a, b, b':', c, d] => number(a, b, 24).zip(number(c, d, 60)),
        _ => None,
    };
    let minute = minute.map(|(hour, minute)| hour.saturating_mul(60).saturating_add(minute));
    if minute.is_none() {
        at.error(format_args!(
            "{text:?} is not a time of day: write it in UTC from 00:00 to 23:59"
        ));
    }
    minute
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
