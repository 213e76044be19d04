//! Tests of schedules, and of ramps that are held back.

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

/// A ramp that continued from this weight; its step is unknown.
fn progress(weight: f64, since: u64) -> CurrentStep {
    CurrentStep {
        step: MAX_STEPS,
        weight: percent(weight),
        since,
        held: true,
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
            steady.paced(&progress(from, since), now),
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
            open.paced(&progress(1.0, late), now),
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
    let paced = ramp(START).paced(&progress(5.0, late), late + 60 * MINUTE);
    assert_eq!(paced, percent(5.0), "a delayed ramp pauses as well");
}

#[test]
fn the_schedule_has_the_begin_of_each_step() {
    let night = Pause {
        days: Pause::EVERY_DAY,
        from: 18 * 60,
        to: 8 * 60,
    };
    let pauses = Pauses::new(vec![night]).unwrap();
    let steps = [
        held(1.0, 60),
        held(5.0, 10 * 60),
        passed(25.0, Some(START)),
        gate(50.0),
        gate(100.0),
    ];
    let ramp = Ramp::new(START, steps.to_vec(), pauses).unwrap();
    let day = START + 24 * 60 * MINUTE;
    let expected = [
        (Some(START), false),
        (Some(START + 60 * MINUTE), false),
        (Some(day), true),
        (Some(day), false),
        (None, false),
    ];
    let schedule = ramp.schedule().map(|step| (step.begin, step.is_delayed));
    assert_eq!(schedule.collect::<Vec<_>>(), expected);
    assert!(ramp.schedule().map(|step| step.step).eq(steps));
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
        &|now| ramp.paced(&progress(12.0, START + 9 * MINUTE), now),
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
