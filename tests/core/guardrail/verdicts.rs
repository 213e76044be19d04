//! Limits and the counts that breach them.

use std::rc::Rc;
use std::time::Duration;

use divvy::guardrail::{Arm, Guardrail, Plan, Standing};
use divvy::response::HealthSample;

use super::{MINUTE, NOON, SECOND, V2, Worker, latency, one_percent, over_stable, plan};

#[test]
fn errors_trip_on_evidence_but_not_on_noise() {
    for (name, requests, failures, trips) in [
        ("one of 50", 50, 1, false),
        ("three of 20", 20, 3, false),
        ("five of 20", 20, 5, true),
        ("all of too few", 19, 19, false),
        ("all of enough", 20, 20, true),
        ("at the limit", 100_000, 1_000, false),
        ("barely above it", 100_000, 1_050, false),
        ("surely above it", 100_000, 1_200, true),
    ] {
        let plan = plan("1", one_percent());
        let mut worker = Worker::new(&plan);
        worker.count(V2, requests, failures);
        let log = worker.until(NOON + SECOND);
        assert_eq!(!log.is_empty(), trips, "{name}: {log:?}");
    }
}

#[test]
fn a_window_expires_and_stretches_if_it_has_too_few_requests() {
    // One failing request in each so many seconds, against a window of 30: what it holds
    // is at least 30 seconds, and stretched at most 300.
    for (every, trips) in [(1, true), (5, true), (10, true), (14, true), (20, false)] {
        let plan = plan("1", one_percent());
        let mut worker = Worker::new(&plan);
        for _ in 0..100 {
            worker.count(V2, 1, 1);
            worker.until(worker.now + every * SECOND);
        }
        let standing = worker.state.standing(&plan, V2);
        assert_eq!(standing == Standing::RolledBack, trips, "every {every} s");
    }
    // Four failures of 20, which is not enough, again and again.
    for (gap, trips) in [(10, true), (40, false)] {
        let plan = plan("1", one_percent());
        let mut worker = Worker::new(&plan);
        for _ in 0..100 {
            worker.count(V2, 20, 4);
            for _ in 0..gap {
                worker.count(V2, 1, 0);
                worker.until(worker.now + SECOND);
            }
        }
        let standing = worker.state.standing(&plan, V2);
        assert_eq!(standing == Standing::RolledBack, trips, "{gap} s apart");
    }
}

#[test]
fn a_version_is_compared_with_stable_in_the_same_period() {
    for (name, stable, canary, trips) in [
        ("alike", (1_000, 50), (1_000, 50), false),
        ("within the margin", (1_000, 50), (1_000, 60), false),
        ("above it", (1_000, 50), (1_000, 150), true),
        (
            "more of the canary than of stable",
            (400, 4),
            (2_000, 200),
            true,
        ),
        ("hardly any of stable", (19, 0), (1_000, 300), false),
        ("both fail", (1_000, 1_000), (1_000, 1_000), false),
    ] {
        let plan = plan("1", over_stable());
        let mut worker = Worker::new(&plan);
        worker.count(Arm::STABLE, stable.0, stable.1);
        worker.count(V2, canary.0, canary.1);
        let log = worker.until(NOON + SECOND);
        assert_eq!(!log.is_empty(), trips, "{name}: {log:?}");
    }
}

/// Counts requests with latencies around `millis`, within a factor of 1.5.
fn answers(worker: &mut Worker, arm: Arm, requests: u32, millis: f64) {
    for index in 0..requests {
        let place = f64::from(index) / f64::from(requests);
        let took = Duration::from_secs_f64(millis / 1_000.0 * (0.75 + 0.75 * place));
        worker
            .local
            .record(&worker.plan, arm, HealthSample::Success, Some(took));
    }
}

#[test]
fn latency_is_judged_at_its_quantile() {
    for (name, guardrail, stable, canary, trips) in [
        ("below max", latency(Some(320), None), 100.0, 210.0, false),
        ("above max", latency(Some(320), None), 100.0, 300.0, true),
        ("like stable", latency(None, Some(1.2)), 100.0, 100.0, false),
        (
            "within the multiple",
            latency(None, Some(1.2)),
            100.0,
            115.0,
            false,
        ),
        (
            "twice as slow",
            latency(None, Some(1.2)),
            100.0,
            200.0,
            true,
        ),
        (
            "half a millisecond, twice",
            latency(None, Some(1.2)),
            1.0,
            2.0,
            true,
        ),
        (
            "both above max",
            latency(Some(320), Some(1.2)),
            300.0,
            300.0,
            true,
        ),
        ("faster", latency(Some(320), Some(1.2)), 200.0, 100.0, false),
    ] {
        let plan = plan("1", guardrail);
        let mut worker = Worker::new(&plan);
        answers(&mut worker, Arm::STABLE, 400, stable);
        answers(&mut worker, V2, 400, canary);
        let log = worker.until(NOON + SECOND);
        assert_eq!(!log.is_empty(), trips, "{name}: {log:?}");
    }
}

#[test]
fn a_latency_breach_must_persist() {
    let mut guardrail = latency(Some(320), None);
    guardrail.latency.as_mut().unwrap().lasting = Duration::from_mins(2);
    let plan = plan("1", guardrail);
    let mut worker = Worker::new(&plan);
    // Breaches of at most a minute have no effect, however many there are.
    let mut log = Vec::new();
    for _ in 0..5 {
        for second in 0..300_u32 {
            let millis = if second < 60 { 1_000.0 } else { 50.0 };
            answers(&mut worker, V2, 20, millis);
            log.extend(worker.until(worker.now + SECOND));
        }
    }
    assert_eq!(log, []);
    let since = worker.now;
    while log.is_empty() {
        answers(&mut worker, V2, 20, 1_000.0);
        log.extend(worker.until(worker.now + SECOND));
        assert!(worker.now < since + 4 * MINUTE);
    }
    let took = log[0].0 - since;
    assert!(
        (2 * MINUTE..2 * MINUTE + 10 * SECOND).contains(&took),
        "{took}"
    );
}

#[test]
fn consecutive_failures_trip_at_once() {
    let guardrail = Guardrail {
        consecutive_errors: Some(10),
        recover_after: Some(Duration::from_mins(1)),
        ..Guardrail::default()
    };
    let plan = plan("1", guardrail);
    let mut worker = Worker::new(&plan);
    let record =
        |worker: &mut Worker, arm, sample| worker.local.record(&worker.plan, arm, sample, None);
    for failures in [9, 9, 9] {
        for _ in 0..failures {
            assert!(!record(&mut worker, V2, HealthSample::Failure));
        }
        // A request without a sample does not end the run of errors; a success does.
        assert!(!record(&mut worker, V2, HealthSample::None));
        assert_eq!(worker.until(worker.now + SECOND), []);
        assert!(!record(&mut worker, V2, HealthSample::Success));
    }
    for _ in 0..20 {
        assert!(!record(&mut worker, Arm::STABLE, HealthSample::Failure));
    }
    for _ in 0..9 {
        assert!(!record(&mut worker, V2, HealthSample::Failure));
    }
    assert!(
        record(&mut worker, V2, HealthSample::Failure),
        "tick at once"
    );
    let log = worker.tick_at(worker.now);
    assert_eq!(log.len(), 1);
    // Requests that were open do not count for the next attempt.
    for _ in 0..20 {
        record(&mut worker, V2, HealthSample::Failure);
    }
    let log = worker.until(worker.now + 2 * MINUTE);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0].1, "v2 is tried again");
    assert!(!record(&mut worker, V2, HealthSample::Failure));
}

#[test]
fn versions_are_judged_separately() {
    let plan = Rc::new(Plan::new(
        "1",
        one_percent(),
        None,
        "v1",
        ["v2", "v3", "v4"],
    ));
    let mut worker = Worker::new(&plan);
    worker.count(Arm::STABLE, 100, 100);
    worker.count(Arm(1), 100, 0);
    worker.count(Arm(2), 100, 50);
    worker.count(Arm(3), 10, 10);
    let log = worker.until(NOON + SECOND);
    assert_eq!(log.len(), 1);
    assert!(log[0].1.starts_with("v3 is rolled back"));
    let standings = plan
        .arms()
        .map(|(arm, _)| worker.state.standing(&plan, arm));
    let rolled_back = standings.map(|standing| standing == Standing::RolledBack);
    assert_eq!(rolled_back.collect::<Vec<_>>(), [false, false, true, false]);
}
