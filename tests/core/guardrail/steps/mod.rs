//! Evidence for the steps of a ramp, gates and steps back, in one process.

mod breaches;

use std::rc::Rc;
use std::time::Duration;

use divvy::bucket::Share;
use divvy::guardrail::{
    Arm, Guardrail, OnBreach, Pause, Pauses, Plan, Ramp, Standing, State, Step, Until, is_waiting,
    weight,
};
use divvy::response::HealthSample;

use super::{MINUTE, NOON, SECOND, V2, Worker, latency, one_percent, over_stable, percent, ramp};

fn plan_of(guardrail: Guardrail, ramp: Ramp) -> Rc<Plan> {
    Rc::new(Plan::new("1", guardrail, Some(ramp), "v1", ["v2"]))
}

/// 5 %, 25 % and 50 % for ten minutes each, then 100 %, with evidence.
fn waiting(guardrail: Guardrail) -> Rc<Plan> {
    plan_of(guardrail, ramp())
}

fn on_breach(on_breach: OnBreach, recover_after: u64) -> Guardrail {
    Guardrail {
        on_breach,
        recover_after: Some(Duration::from_mins(recover_after)),
        ..one_percent()
    }
}

/// 5 % for ten minutes, 25 % until the gate is passed at this time, 50 % for an hour, 100 %.
fn gated(passed: Option<u64>, pauses: Pauses) -> Ramp {
    let hold = |mins| Until::Hold(Duration::from_mins(mins));
    let untils = [hold(10), Until::Gate(passed), hold(60), Until::Gate(None)];
    let steps = [5.0, 25.0, 50.0, 100.0].into_iter().zip(untils);
    let steps = steps.map(|(weight, until)| Step {
        weight: percent(weight),
        until,
    });
    Ramp::new(NOON, steps.collect(), pauses).unwrap()
}

impl Worker {
    /// Two good requests per second to v2 until this time. The log with its minutes.
    fn healthy_until(&mut self, end: u64) -> Vec<(u64, String)> {
        let mut log = Vec::new();
        while self.now < end {
            self.count(V2, 2, 0);
            log.extend(self.until(self.now + SECOND));
        }
        log
    }

    fn is_waiting(&self) -> bool {
        is_waiting(&self.plan, Some(&self.state))
    }
}

#[test]
fn a_healthy_version_with_enough_requests_grows_by_the_clock() {
    let mut worker = Worker::new(&waiting(one_percent()));
    let mut log = Vec::new();
    for (minute, weight) in [(9, 5.0), (11, 25.0), (19, 25.0), (21, 50.0), (31, 100.0)] {
        log.extend(worker.healthy_until(NOON + minute * MINUTE));
        assert_eq!(worker.weight(), percent(weight), "minute {minute}");
        assert!(!worker.is_waiting());
    }
    assert_eq!(log, []);
}

#[test]
fn a_step_without_requests_waits_and_catches_up_with_one_window_per_step() {
    let mut worker = Worker::new(&waiting(one_percent()));
    let log = worker.until(NOON + 40 * MINUTE);
    let line = "v2 waits at 5 % for evidence: 0 of 20 requests since the step began";
    assert_eq!(log, [(NOON + 10 * MINUTE, line.to_owned())]);
    assert_eq!(worker.weight(), percent(5.0));
    assert!(worker.is_waiting());
    assert_eq!(worker.standing(), Standing::Healthy, "it is not a breach");
    // The step has lasted for longer than a window, so the requests suffice.
    worker.count(V2, 20, 0);
    worker.tick_at(worker.now + SECOND);
    assert_eq!(worker.weight(), percent(25.0));
    let begin = worker.now;
    worker.healthy_until(begin + 29 * SECOND);
    assert_eq!(worker.weight(), percent(25.0), "a window is 30 s");
    assert!(worker.is_waiting());
    worker.healthy_until(begin + 30 * SECOND);
    assert_eq!(worker.weight(), percent(50.0));
    let log = worker.healthy_until(begin + 60 * SECOND);
    assert_eq!(log[0].1, "v2 has the scheduled weight again, 100 %");
    assert_eq!(worker.weight(), Share::ALL);
    assert!(!worker.is_waiting());
}

/// A few seconds of delay, such as those of a tick, do not add up over the steps.
#[test]
fn a_step_that_begins_at_most_5_seconds_late_does_not_delay_the_next_one() {
    let until = Until::Hold(Duration::from_secs(31));
    let steps = [5.0, 25.0, 50.0].map(|weight| Step {
        weight: percent(weight),
        until,
    });
    // The second step is due after 31 s, the third one after 62 s.
    for (evidence, third) in [(36, 62), (37, 67)] {
        let ramp = Ramp::new(NOON, steps.to_vec(), Pauses::default()).unwrap();
        let mut worker = Worker::new(&plan_of(one_percent(), ramp));
        worker.until(NOON + (evidence - 1) * SECOND);
        assert_eq!(worker.weight(), percent(5.0));
        worker.count(V2, 20, 0);
        worker.tick_at(NOON + evidence * SECOND);
        assert_eq!(worker.weight(), percent(25.0));
        worker.healthy_until(NOON + (third - 1) * SECOND);
        assert_eq!(
            worker.weight(),
            percent(25.0),
            "evidence after {evidence} s"
        );
        worker.healthy_until(NOON + third * SECOND);
        assert_eq!(
            worker.weight(),
            percent(50.0),
            "evidence after {evidence} s"
        );
    }
}

#[test]
fn a_step_is_left_if_its_requests_are_within_the_limits_over_the_whole_step() {
    let consecutive = Guardrail {
        consecutive_errors: Some(10),
        ..Guardrail::default()
    };
    for (name, guardrail, v2, v1, lack) in [
        ("enough", one_percent(), (20, 0), (0, 0), None),
        ("at the limit", one_percent(), (200, 2), (0, 0), None),
        (
            "one request too few",
            one_percent(),
            (19, 0),
            (0, 0),
            Some("19 of 20 requests since the step began"),
        ),
        (
            "above the limit, too few for a verdict",
            one_percent(),
            (20, 1),
            (0, 0),
            Some("1 of 20 requests failed, errors.max is 1 %"),
        ),
        (
            "no requests to stable",
            over_stable(),
            (20, 5),
            (0, 0),
            None,
        ),
        (
            "more than stable",
            over_stable(),
            (40, 2),
            (40, 0),
            Some("2 of 40 requests failed, 0 of 40 to stable, errors.overStable is 1 %"),
        ),
        ("like stable", over_stable(), (40, 2), (40, 2), None),
        (
            "all failed, by several workers",
            consecutive,
            (20, 20),
            (0, 0),
            Some("20 of 20 requests failed, consecutiveErrors is 10"),
        ),
    ] {
        let mut worker = Worker::new(&waiting(guardrail));
        worker.tick_at(NOON + SECOND);
        // Spread over the step, so that no window holds enough for a verdict.
        worker.count(Arm::STABLE, v1.0, v1.1);
        let (all, bad) = v2;
        for request in 0..all {
            worker.count(V2, 1, u32::from(request < bad));
            worker.tick_at(worker.now + 2 * SECOND);
            // Another worker counts the next request.
            worker.local = divvy::guardrail::Local::new(&worker.plan);
        }
        let log = worker.until(NOON + 10 * MINUTE + SECOND);
        let lines: Vec<_> = log.iter().map(|(_, line)| &**line).collect();
        let expected = lack.map(|lack| format!("v2 waits at 5 % for evidence: {lack}"));
        assert_eq!(lines, expected.as_slice(), "{name}");
        let weight = if lack.is_some() { 5.0 } else { 25.0 };
        assert_eq!(worker.weight(), percent(weight), "{name}");
    }
}

#[test]
fn slow_requests_keep_a_step_as_well() {
    for (name, guardrail, v2, stable, leaves) in [
        ("within max", latency(Some(320), None), 300, 300, true),
        ("slower than max", latency(Some(320), None), 400, 400, false),
        ("like stable", latency(None, Some(1.2)), 400, 400, true),
        (
            "slower than stable",
            latency(None, Some(1.2)),
            400,
            300,
            false,
        ),
    ] {
        let mut worker = Worker::new(&waiting(guardrail));
        worker.tick_at(NOON + SECOND);
        for _ in 0..20 {
            for (arm, millis) in [(V2, v2), (Arm::STABLE, stable)] {
                let latency = Some(Duration::from_millis(millis));
                let plan = Rc::clone(&worker.plan);
                let _ = worker
                    .local
                    .record(&plan, arm, HealthSample::Success, latency);
            }
            // Without a verdict, for which a window has too few.
            worker.tick_at(worker.now + 29 * SECOND);
        }
        worker.until(NOON + 10 * MINUTE + SECOND);
        assert_eq!(worker.standing(), Standing::Healthy, "{name}");
        let weight = if leaves { 25.0 } else { 5.0 };
        assert_eq!(worker.weight(), percent(weight), "{name}");
    }
}

#[test]
fn a_process_that_starts_takes_the_scheduled_step() {
    let plan = waiting(one_percent());
    let late = NOON + 25 * MINUTE;
    assert_eq!(weight(&plan, None, V2, late), percent(50.0));
    let mut worker = Worker::new(&plan);
    worker.now = late;
    worker.until(late + SECOND);
    assert_eq!(worker.weight(), percent(50.0));
    // And waits there.
    worker.until(NOON + 31 * MINUTE);
    assert_eq!(worker.weight(), percent(50.0));
    assert!(worker.is_waiting());
}

#[test]
fn without_evidence_and_with_observe_the_clock_alone_counts() {
    let off = Guardrail {
        evidence: false,
        ..one_percent()
    };
    for guardrail in [off.clone(), on_breach(OnBreach::Observe, 10)] {
        let mut worker = Worker::new(&waiting(guardrail));
        assert_eq!(worker.until(NOON + 31 * MINUTE), []);
        assert_eq!(worker.weight(), Share::ALL);
        assert!(!worker.is_waiting());
    }
    // A push that turns it off ends the delay, and one that turns it on does not go back.
    let mut worker = Worker::new(&waiting(one_percent()));
    worker.until(NOON + 25 * MINUTE);
    assert_eq!(worker.weight(), percent(5.0));
    worker.switch(&waiting(off));
    assert_eq!(worker.weight(), percent(50.0));
    assert!(!worker.is_waiting());
}

#[test]
fn a_gate_that_is_passed_needs_no_evidence_and_begins_the_next_step_at_once() {
    let passed = NOON + 100 * MINUTE;
    let closed = plan_of(one_percent(), gated(None, Pauses::default()));
    let open = plan_of(one_percent(), gated(Some(passed), Pauses::default()));
    let mut worker = Worker::new(&closed);
    worker.healthy_until(NOON + 11 * MINUTE);
    worker.until(NOON + 90 * MINUTE);
    assert_eq!(worker.weight(), percent(25.0));
    assert!(!worker.is_waiting(), "a gate that is not passed");
    worker.switch(&open);
    let at = |worker: &Worker, now| worker.state.weight(&open, V2, now);
    worker.until(passed - SECOND);
    assert_eq!(at(&worker, passed - 1), percent(25.0));
    assert_eq!(at(&worker, passed), percent(50.0), "before any tick");
    // A process that starts has the same weight.
    assert_eq!(weight(&open, None, V2, passed - 1), percent(25.0));
    assert_eq!(weight(&open, None, V2, passed), percent(50.0));
    // The step behind it needs evidence again.
    assert_eq!(worker.until(passed + 59 * MINUTE), []);
    worker.until(passed + 61 * MINUTE);
    assert_eq!(worker.weight(), percent(50.0));
    assert!(worker.is_waiting());
}
