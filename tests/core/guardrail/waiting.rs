//! Steps that wait for evidence, under simulated traffic.

use std::rc::Rc;
use std::time::Duration;

use divvy::guardrail::simulate::{Behaviour, Process, Setup};
use divvy::guardrail::{Guardrail, Pauses, Plan, Ramp, Step, Until};

use super::{MINUTE, NOON, SECOND, one_percent, percent};

/// Steps of ten minutes with nearly the same weight, so that the canary always gets about as many
/// requests: 10 %, 10.01 %, 10.02 % and so on.
fn even(steps: u32) -> Ramp {
    let steps = (0..steps).map(|step| Step {
        weight: percent(10.0 + f64::from(step) / 100.0),
        until: Until::Hold(Duration::from_mins(10)),
    });
    Ramp::new(NOON, steps.collect(), Pauses::default()).unwrap()
}

/// A proxy with two workers whose canary gets `rate` requests per second and fails this share.
fn process(guardrail: Guardrail, rate: f64, errors: f64, seed: u64) -> Process {
    let plan = Plan::new("1", guardrail, Some(even(40)), "v1", ["v2"]);
    Process::new(Setup {
        plan: Rc::new(plan),
        workers: 2,
        rate: rate * 10.0,
        weight: percent(10.0),
        behaviours: [0.001, errors].map(Behaviour::failing),
        start: NOON,
        seed,
    })
}

#[test]
fn a_version_that_fails_everything_never_leaves_its_first_step() {
    let consecutive = Guardrail {
        consecutive_errors: Some(10),
        ..Guardrail::default()
    };
    for guardrail in [one_percent(), consecutive] {
        for rate in [0.01, 0.1, 1.0] {
            for seed in 0..2 {
                let mut process = process(guardrail.clone(), rate, 1.0, seed);
                let mut failed = 0;
                // All steps are due after 400 minutes.
                for _ in 0..12 * 60 * 60 {
                    process.tick();
                    let share = process.share();
                    assert!(share <= percent(10.0), "{rate}/s, seed {seed}: {share:?}");
                    failed = process.sent()[1].bad;
                }
                assert!(failed > 0, "{rate}/s, seed {seed}: no requests");
            }
        }
    }
}

#[test]
fn a_healthy_version_is_at_most_one_window_behind_the_clock() {
    const WINDOW: u64 = 30 * SECOND;
    let ramp = even(40);
    for errors in [0.0, 0.001] {
        for seed in 0..8 {
            let mut process = process(one_percent(), 1.0, errors, seed);
            for _ in 0..400 * 60 {
                process.tick();
                let least = ramp.scheduled(process.now() - WINDOW);
                let share = process.share();
                assert!(share >= least, "seed {seed}: {share:?}, not {least:?}");
            }
            assert_eq!(process.share(), ramp.last(), "{errors}, seed {seed}");
        }
    }
}

#[test]
fn of_two_proxies_the_one_without_traffic_stays_until_it_has_some_or_restarts() {
    let mut busy = process(one_percent(), 1.0, 0.0, 1);
    let mut quiet = process(one_percent(), 0.0, 0.0, 2);
    for _ in 0..60 * 60 {
        busy.tick();
        quiet.tick();
    }
    assert_eq!(busy.share(), even(40).scheduled(NOON + 60 * MINUTE));
    assert_eq!(quiet.share(), percent(10.0));
    assert_eq!(quiet.log().len(), 1, "one line: {:?}", quiet.log());
    quiet.restart();
    for _ in 0..60 {
        busy.tick();
        quiet.tick();
    }
    assert_eq!(quiet.share(), busy.share(), "a proxy that starts");
}
