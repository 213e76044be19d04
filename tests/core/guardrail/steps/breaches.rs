//! Steps after a breach, a recovery, a jump of the clock and a push.

use super::*;

#[test]
fn a_gate_that_is_passed_lifts_neither_a_rollback_nor_the_wait_of_an_earlier_step() {
    let passed = NOON + 30 * MINUTE;
    let ramp = || gated(Some(passed), Pauses::default());
    let mut worker = Worker::new(&plan_of(on_breach(OnBreach::Rollback, 60), ramp()));
    worker.healthy_until(NOON + 11 * MINUTE);
    worker.fails();
    worker.until(NOON + 31 * MINUTE);
    assert_eq!(worker.standing(), Standing::RolledBack);

    let mut worker = Worker::new(&plan_of(one_percent(), ramp()));
    worker.until(NOON + 31 * MINUTE);
    assert_eq!(worker.weight(), percent(5.0));
    worker.count(V2, 20, 0);
    worker.tick_at(worker.now + SECOND);
    assert_eq!(worker.weight(), percent(50.0), "through the gate");
}

#[test]
fn after_a_freeze_or_a_rollback_each_step_takes_one_window_with_evidence() {
    for (kind, first) in [(OnBreach::Freeze, 25.0), (OnBreach::Rollback, 5.0)] {
        let passed = NOON + 20 * MINUTE;
        let ramp = gated(Some(passed), Pauses::default());
        let mut worker = Worker::new(&plan_of(on_breach(kind, 30), ramp));
        worker.healthy_until(NOON + 15 * MINUTE);
        worker.fails();
        worker.until(NOON + 45 * MINUTE);
        let log = worker.until(NOON + 45 * MINUTE + 2 * SECOND);
        assert_eq!(log.len(), 1, "{log:?}");
        if kind == OnBreach::Freeze {
            let line = "v2 goes on from 25 %, one step per window with evidence";
            assert_eq!(log[0].1, line);
        }
        assert!(worker.is_waiting());
        // Without requests it stays, also at a gate that was passed before the breach.
        worker.until(NOON + 60 * MINUTE);
        assert_eq!(worker.weight(), percent(first), "{kind:?}");
        worker.healthy_until(worker.now + MINUTE + 30 * SECOND);
        assert_eq!(worker.weight(), percent(50.0), "{kind:?}");
    }
}

#[test]
fn step_back_goes_one_step_down_per_window_and_to_stable_below_the_first() {
    let plan = waiting(Guardrail {
        recover_after: None,
        ..on_breach(OnBreach::StepBack, 0)
    });
    let mut worker = Worker::new(&plan);
    worker.healthy_until(NOON + 25 * MINUTE);
    assert_eq!(worker.weight(), percent(50.0));
    let mut log = Vec::new();
    for _ in 0..90 {
        worker.count(V2, 40, 20);
        log.extend(worker.until(worker.now + SECOND));
    }
    let begin = NOON + 25 * MINUTE + SECOND;
    let seconds: Vec<_> = log.iter().map(|(at, _)| (at - begin) / SECOND).collect();
    assert_eq!(seconds, [0, 30, 60], "a window is 30 s");
    assert!(log[0].1.starts_with("v2 goes back to 25 %: "), "{log:?}");
    let end = "errors.max is 1 %; it stays so until the revision changes";
    assert!(log[0].1.ends_with(end), "{log:?}");
    assert!(log[1].1.starts_with("v2 goes back to 5 %: "), "{log:?}");
    assert!(
        log[2].1.starts_with("v2 is rolled back to stable: "),
        "{log:?}"
    );
    assert_eq!(worker.standing(), Standing::RolledBack);
}

#[test]
fn after_a_step_back_the_ramp_stays_until_recover_after_and_then_catches_up() {
    let mut worker = Worker::new(&waiting(on_breach(OnBreach::StepBack, 10)));
    worker.healthy_until(NOON + 25 * MINUTE);
    worker.fails();
    worker.until(worker.now + SECOND);
    assert_eq!(worker.weight(), percent(25.0));
    assert_eq!(worker.standing(), Standing::Frozen);
    let back = worker.now;
    worker.healthy_until(back + 10 * MINUTE - SECOND);
    assert_eq!(worker.weight(), percent(25.0));
    worker.healthy_until(back + 10 * MINUTE);
    assert_eq!(worker.standing(), Standing::Healthy);
    worker.healthy_until(back + 10 * MINUTE + 31 * SECOND);
    assert_eq!(worker.weight(), percent(50.0));
    worker.healthy_until(back + 11 * MINUTE + 2 * SECOND);
    assert_eq!(worker.weight(), Share::ALL);
}

#[test]
fn consecutive_errors_roll_back_at_once_also_with_step_back() {
    let plan = waiting(Guardrail {
        consecutive_errors: Some(5),
        ..on_breach(OnBreach::StepBack, 10)
    });
    let mut worker = Worker::new(&plan);
    worker.healthy_until(NOON + 25 * MINUTE);
    worker.count(V2, 5, 5);
    worker.until(worker.now + SECOND);
    assert_eq!(worker.standing(), Standing::RolledBack);
}

#[test]
fn a_recovery_does_not_begin_in_a_pause() {
    let pause = Pause {
        days: Pause::EVERY_DAY,
        from: 12 * 60 + 15,
        to: 12 * 60 + 40,
    };
    let pauses = Pauses::new(vec![pause]).unwrap();
    let ramp = gated(None, pauses);
    let mut worker = Worker::new(&plan_of(on_breach(OnBreach::Rollback, 10), ramp));
    worker.healthy_until(NOON + 11 * MINUTE);
    worker.fails();
    worker.until(NOON + 39 * MINUTE);
    assert_eq!(worker.standing(), Standing::RolledBack);
    worker.until(NOON + 41 * MINUTE);
    assert_eq!(worker.standing(), Standing::Healthy);
    assert_eq!(worker.weight(), percent(5.0));
}

#[test]
fn a_step_that_waited_for_evidence_does_not_begin_in_a_pause() {
    let pause = Pause {
        days: Pause::EVERY_DAY,
        from: 12 * 60 + 15,
        to: 12 * 60 + 40,
    };
    let pauses = Pauses::new(vec![pause]).unwrap();
    let mut worker = Worker::new(&plan_of(one_percent(), gated(None, pauses)));
    worker.until(NOON + 16 * MINUTE);
    assert!(worker.is_waiting(), "the schedule is at 25 %");
    worker.healthy_until(NOON + 39 * MINUTE);
    assert_eq!(worker.weight(), percent(5.0));
    worker.healthy_until(NOON + 41 * MINUTE);
    assert_eq!(worker.weight(), percent(25.0));
}

#[test]
fn a_jump_of_the_clock_is_caught_up_with_evidence() {
    let mut worker = Worker::new(&waiting(one_percent()));
    worker.healthy_until(NOON + 5 * MINUTE);
    let jumped = worker.tick_at(NOON + 26 * MINUTE);
    assert_eq!(jumped.len(), 1);
    worker.until(NOON + 36 * MINUTE);
    assert_eq!(
        worker.weight(),
        percent(5.0),
        "one step per hold would be 25 %"
    );
    // 20 requests take 10 s; 25 % and 50 % take 30 s each.
    worker.healthy_until(NOON + 37 * MINUTE + 12 * SECOND);
    assert_eq!(worker.weight(), Share::ALL);
}

#[test]
fn steps_of_equal_weight_are_different_steps() {
    let hold = |weight, mins| Step {
        weight: percent(weight),
        until: Until::Hold(Duration::from_mins(mins)),
    };
    let gate = Step {
        weight: percent(20.0),
        until: Until::Gate(Some(NOON + 30 * MINUTE)),
    };
    let steps = vec![hold(20.0, 10), gate, hold(60.0, 10)];
    let ramp = Ramp::new(NOON, steps, Pauses::default()).unwrap();
    let mut worker = Worker::new(&plan_of(one_percent(), ramp));
    assert_eq!(worker.healthy_until(NOON + 31 * MINUTE), []);
    assert_eq!(worker.weight(), percent(60.0));
}

#[test]
fn the_state_of_a_step_outlives_a_push_and_its_encoding() {
    let plan = waiting(one_percent());
    let mut worker = Worker::new(&plan);
    worker.tick_at(NOON + SECOND);
    worker.count(V2, 15, 0);
    worker.until(NOON + 11 * MINUTE);
    assert!(worker.is_waiting());
    let bytes = worker.state.encode();
    assert_eq!(
        State::open(&plan, Some(&bytes), true),
        Some(worker.state.clone())
    );
    worker.switch(&plan);
    worker.count(V2, 5, 0);
    worker.until(worker.now + SECOND);
    assert_eq!(worker.weight(), percent(25.0), "15 and 5 requests");
}
