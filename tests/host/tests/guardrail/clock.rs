//! A clock that is set back or ahead, that jumps during a request or that the host refuses: no
//! trap, no rollback, no step of a ramp.

use std::time::Duration;

use divvy_host_tests::{Call, Process, Status};
use serde_json::{Value, json};

use super::{
    HOUR, MANY, MINUTE, ROLLED_BACK, SECOND, STABLE_USER, Worker, guarded, midnight, one_percent,
    ramp, standing, weight, with,
};

/// A ramp by the clock alone.
fn ramping() -> Value {
    let guardrail = json!({
        "errors": {"max": 1}, "latency": {"quantile": 0.95, "max": "320ms"},
        "consecutiveErrors": 10, "recoverAfter": "10m", "evidence": false,
    });
    with(guarded(guardrail), "strategy", ramp())
}

/// A worker at 00:15 with a weight of 5 % and failures well below the limit.
fn at_five_percent(process: &Process) -> Worker {
    let mut worker = Worker::new(process, &ramping());
    worker.until(15 * MINUTE);
    let users = worker.on_v2();
    assert_eq!(weight(process, "v2"), Some(50_000));
    let user = format!("user-{}", users[0]);
    worker.answer(&user, 3, 503);
    worker.answer(&user, 997, 200);
    worker.second();
    worker
}

#[test]
fn a_clock_set_ahead_moves_no_user_even_before_the_next_tick() {
    let day = 24 * HOUR;
    for jump in [HOUR, day, 365 * day, Duration::from_nanos(u64::MAX / 2)] {
        let process = Process::new();
        let mut worker = at_five_percent(&process);
        let before = worker.on_v2();
        let now = process.clock().realtime();
        process
            .clock()
            .set_realtime(now.saturating_add(jump.as_nanos() as u64));
        assert_eq!(worker.on_v2(), before, "{jump:?}, before the tick");
        worker.tick();
        assert_eq!(worker.on_v2(), before, "{jump:?}, after the tick");
        assert_eq!(weight(&process, "v2"), Some(50_000), "{jump:?}");
        assert_eq!(standing(&process, "v2"), Some(0), "{jump:?}");
        let line = "v2 goes on from 5 %, one step per hold: the clock jumped ahead";
        assert_eq!(worker.transitions(), [line], "{jump:?}");
    }
}

#[test]
fn after_a_jump_of_the_clock_the_ramp_continues_one_step_per_hold() {
    let process = Process::new();
    let mut worker = at_five_percent(&process);
    let jumped = 15 * MINUTE + SECOND + HOUR;
    process
        .clock()
        .set_realtime(midnight() + jumped.as_nanos() as u64);
    worker.tick();
    for (minute, percent) in [(9, 5), (10, 25), (19, 25), (20, 50), (30, 100)] {
        worker.until(jumped + minute * MINUTE);
        assert_eq!(weight(&process, "v2"), Some(percent * 10_000), "{minute}");
    }
}

#[test]
fn a_clock_set_ahead_advances_the_ramp_in_none_of_eight_vms() {
    let process = Process::new();
    let mut workers: Vec<_> = (0..8).map(|_| Worker::new(&process, &ramping())).collect();
    for step in 0..12 * 15 {
        process.clock().advance(5 * SECOND);
        // At each step one VM is late.
        for (nth, worker) in workers.iter_mut().enumerate() {
            if nth != step % 8 {
                worker.tick();
            }
        }
    }
    let now = process.clock().realtime();
    process.clock().set_realtime(now + HOUR.as_nanos() as u64);
    let before = workers[0].on_v2();
    let mut lines = 0;
    for worker in &mut workers {
        assert_eq!(worker.on_v2(), before);
        worker.tick();
        assert_eq!(worker.on_v2(), before);
        lines += worker.transitions().len();
        assert_eq!(weight(&process, "v2"), Some(50_000));
    }
    assert_eq!(lines, 1, "one VM logs the jump");
}

#[test]
fn a_clock_set_back_rolls_nothing_back_and_adds_no_user() {
    let now = 15 * MINUTE + SECOND;
    for (name, to) in [
        (
            "an hour",
            midnight() + now.as_nanos() as u64 - HOUR.as_nanos() as u64,
        ),
        ("a minute", midnight() + 14 * MINUTE.as_nanos() as u64),
        ("to 1970", 0),
    ] {
        let process = Process::new();
        let mut worker = at_five_percent(&process);
        let before = worker.on_v2();
        process.clock().set_realtime(to);
        for _ in 0..3 {
            let users = worker.on_v2();
            assert!(users.iter().all(|user| before.contains(user)), "{name}");
            assert_eq!(standing(&process, "v2"), Some(0), "{name}");
            worker.second();
        }
        // The correction is a jump ahead.
        process
            .clock()
            .set_realtime(midnight() + 2 * now.as_nanos() as u64);
        for _ in 0..3 {
            let users = worker.on_v2();
            assert!(users.iter().all(|user| before.contains(user)), "{name}");
            worker.second();
        }
        let lines = worker.transitions();
        assert!(
            lines.iter().all(|line| !line.contains("rolled back")),
            "{name}: {lines:?}"
        );
        assert_eq!(standing(&process, "v2"), Some(0), "{name}");
    }
}

#[test]
fn a_verdict_lasts_its_announced_time_whatever_the_clock_does() {
    for jump in [1_i64, -1, 24, -24] {
        let process = Process::new();
        let configuration = guarded(json!({"errors": {"max": 1}, "recoverAfter": "10m"}));
        let mut worker = Worker::new(&process, &configuration);
        worker.until(SECOND);
        worker.fail(MANY);
        worker.second();
        let start = process.clock().realtime();
        let jumped = start.saturating_add_signed(jump * HOUR.as_nanos() as i64);
        process.clock().set_realtime(jumped);
        let mut passed = 0;
        worker.tick();
        while standing(&process, "v2") == Some(2) {
            worker.second();
            passed += 1;
            assert!(passed < 700, "{jump} h: still rolled back");
        }
        assert!((598..=602).contains(&passed), "{jump} h: {passed} s");
    }
}

#[test]
fn without_a_clock_there_is_no_verdict_and_a_ramp_gives_stable() {
    for status in [1, 12, 28, 52, u32::MAX] {
        let process = Process::new();
        let mut worker = at_five_percent(&process);
        let user = format!("user-{}", worker.on_v2()[0]);
        worker
            .vm
            .intercept(move |call| (call == Call::ClockTimeGet).then_some(Status(status)));
        for _ in 0..3 {
            worker.answer(STABLE_USER, MANY, 503);
            worker.second();
            let (assignment, route) = worker.ask(&user);
            assert_eq!(assignment, "checkout=v1;reason=error", "{status}");
            assert_eq!(route, "v1");
            assert_eq!(standing(&process, "v2"), Some(0), "{status}");
        }
        worker.vm.stop_intercepting();
        assert_eq!(worker.ask(&user).1, "v2", "{status}");
        worker.second();
        assert_eq!(standing(&process, "v2"), Some(0), "{status}");
        assert_eq!(worker.transitions(), [""; 0]);
    }
}

/// A canary with a fixed weight decides without a clock and keeps its counts.
#[test]
fn requests_counted_without_a_clock_count_after_it_returns() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    worker
        .vm
        .intercept(|call| (call == Call::ClockTimeGet).then_some(Status(28)));
    worker.fail(MANY);
    worker.second();
    assert_eq!(standing(&process, "v2"), Some(0));
    worker.vm.stop_intercepting();
    worker.second();
    assert_eq!(worker.ask(super::CANARY_USER).0, ROLLED_BACK);
}

/// Latency is measured with the monotonic clock.
#[test]
fn a_jump_of_the_clock_does_not_change_the_latency_of_open_requests() {
    let guardrail = json!({
        "errors": {"max": 1}, "latency": {"quantile": 0.95, "max": "320ms"},
    });
    for jump in [HOUR.as_nanos() as i64, -(HOUR.as_nanos() as i64)] {
        let process = Process::new();
        let mut worker = Worker::new(&process, &guarded(guardrail.clone()));
        worker.until(SECOND);
        let streams: Vec<_> = (0..4).flat_map(|_| worker.open_requests()).collect();
        let clock = process.clock();
        clock.set_realtime(clock.realtime().saturating_add_signed(jump));
        worker.end_requests(streams, 200);
        worker.second();
        worker.second();
        assert_eq!(standing(&process, "v2"), Some(0), "{jump}");
    }
}

/// A real one never does; a wrong latency is better than a trap.
#[test]
fn a_monotonic_clock_that_goes_back_does_not_trap() {
    let process = Process::new();
    let mut worker = at_five_percent(&process);
    let streams = worker.open_requests();
    process.clock().set_monotonic(0);
    worker.end_requests(streams, 200);
    worker.second();
    assert_eq!(standing(&process, "v2"), Some(0));
}
