//! Ramps: the weight at each instant, and the users who get the canary.

use std::time::Duration;

use divvy_host_tests::Process;
use serde_json::{Value, json};

use super::{MANY, MINUTE, SECOND, Worker, at_weight, guarded, ramp, standing, weight, with};

/// A ramp by the clock alone.
fn ramping(mut guardrail: Value) -> Value {
    guardrail["evidence"] = json!(false);
    with(guarded(guardrail), "strategy", ramp())
}

fn gated() -> Value {
    json!({"canary": {"version": "v2", "start": "2026-12-01T00:10:00Z", "steps": [
        {"weight": 5, "hold": "10m"}, {"weight": 25}, {"weight": 100},
    ]}})
}

fn short() -> Value {
    json!({"canary": {"version": "v2", "start": "2026-12-01T00:10:00Z", "ramp": {
        "from": 5, "by": 20, "to": 50, "every": "10m", "then": 100,
    }}})
}

/// Times since midnight with the weight in percent.
type Table = Vec<(Duration, u64)>;

/// Three forms of a ramp, each with its table: steps, steps with a gate, the short form.
fn schedules() -> [(Value, Table); 3] {
    let minutes = |pairs: &[(u64, u64)]| {
        let pairs = pairs.iter();
        pairs
            .map(|&(at, weight)| (Duration::from_mins(at), weight))
            .collect()
    };
    let mut steps: Table = minutes(&[(0, 0), (10, 5), (20, 25), (30, 50), (40, 100), (600, 100)]);
    // A step does not begin a millisecond early.
    steps.insert(1, (10 * MINUTE - Duration::from_millis(1), 0));
    steps.insert(3, (20 * MINUTE - Duration::from_millis(1), 5));
    [
        (ramp(), steps),
        (
            gated(),
            minutes(&[(0, 0), (10, 5), (20, 25), (30, 25), (600, 25)]),
        ),
        (
            short(),
            minutes(&[(0, 0), (10, 5), (20, 25), (30, 45), (40, 50), (50, 100)]),
        ),
    ]
}

#[test]
fn the_clock_gives_the_same_weight_to_a_running_and_a_starting_proxy() {
    for (strategy, table) in schedules() {
        let configuration = with(
            guarded(json!({"errors": {"max": 1}, "evidence": false})),
            "strategy",
            strategy,
        );
        let process = Process::new();
        let mut always = Worker::new(&process, &configuration);
        for (at, percent) in table {
            always.until(at);
            let elsewhere = Process::new();
            elsewhere.clock().advance(at);
            let mut starts = Worker::new(&elsewhere, &configuration);
            for (name, process) in [("always", &process), ("starts", &elsewhere)] {
                let found = weight(process, "v2");
                assert_eq!(found, Some(percent * 10_000), "{name}, {at:?}");
            }
            assert_eq!(always.on_v2(), at_weight(percent), "{at:?}");
            assert_eq!(starts.on_v2(), at_weight(percent), "{at:?}");
        }
        assert_eq!(always.transitions(), [""; 0]);
    }
}

#[test]
fn a_ramp_without_a_guardrail_grows_in_the_same_way() {
    let mut configuration = ramping(json!({}));
    configuration["rollouts"][0]
        .as_object_mut()
        .unwrap()
        .remove("guardrail");
    let process = Process::new();
    let mut worker = Worker::new(&process, &configuration);
    for (at, percent) in schedules()[0].1.clone() {
        worker.until(at);
        worker.fail(MANY);
        assert_eq!(weight(&process, "v2"), Some(percent * 10_000), "{at:?}");
    }
}

#[test]
fn no_user_leaves_the_canary_while_it_grows() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &ramping(json!({"errors": {"max": 1}})));
    let mut before = Vec::new();
    for minute in 0..45 {
        worker.until(minute * MINUTE);
        let now = worker.on_v2();
        let left: Vec<_> = before.iter().filter(|user| !now.contains(user)).collect();
        assert!(left.is_empty(), "minute {minute}: {left:?} left");
        before = now;
    }
    assert_eq!(before.len(), 400);
}

/// A worker whose v2 fails from 00:30 on, at 50 %.
fn failing_at_50_percent(process: &Process, guardrail: Value) -> Worker {
    let mut worker = Worker::new(process, &ramping(guardrail));
    worker.until(30 * MINUTE);
    worker.fail(MANY);
    worker.until(30 * MINUTE + SECOND);
    worker
}

#[test]
fn a_frozen_ramp_keeps_its_users_and_continues_one_step_per_hold() {
    let guardrail = json!({
        "errors": {"max": 1}, "onBreach": "freeze", "recoverAfter": "15m",
    });
    let process = Process::new();
    let mut worker = failing_at_50_percent(&process, guardrail);
    let held = worker.on_v2();
    for (minute, percent, stands) in [(31, 50, 1), (41, 50, 1), (45, 50, 1), (46, 50, 0)] {
        worker.until(minute * MINUTE);
        assert_eq!(weight(&process, "v2"), Some(percent * 10_000), "{minute}");
        assert_eq!(standing(&process, "v2"), Some(stands), "{minute}");
        assert_eq!(worker.on_v2(), held, "{minute}");
    }
    // A whole hold begins when the ramp continues, at 45:05.
    worker.until(55 * MINUTE);
    assert_eq!(weight(&process, "v2"), Some(500_000));
    worker.until(56 * MINUTE);
    assert_eq!(weight(&process, "v2"), Some(1_000_000));
    let lines = worker.transitions();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("v2 is frozen at 50 %: 30 of 30 requests failed"));
    assert_eq!(lines[1], "v2 goes on from 50 %, one step per hold");
}

#[test]
fn recovery_begins_at_the_first_step_and_waits_twice_as_long_the_next_time() {
    let guardrail = json!({"errors": {"max": 1}, "recoverAfter": "10m"});
    let process = Process::new();
    let mut worker = failing_at_50_percent(&process, guardrail);
    assert_eq!(worker.on_v2(), [0; 0]);
    let table = [
        (31, 0, 2),
        (40, 0, 2),
        (41, 5, 0),
        (50, 5, 0),
        (51, 25, 0),
        (61, 50, 0),
    ];
    for (minute, percent, stands) in table {
        worker.until(minute * MINUTE);
        assert_eq!(weight(&process, "v2"), Some(percent * 10_000), "{minute}");
        assert_eq!(standing(&process, "v2"), Some(stands), "{minute}");
        assert_eq!(worker.on_v2(), at_weight(percent), "{minute}");
    }
    worker.fail(MANY);
    for (minute, stands) in [(62, 2), (71, 2), (81, 2), (82, 0)] {
        worker.until(minute * MINUTE);
        assert_eq!(standing(&process, "v2"), Some(stands), "{minute}");
    }
    let lines = worker.transitions();
    let ends = [
        "tried again in 10m",
        "step, 5 %",
        "tried again in 20m",
        "step, 5 %",
    ];
    assert_eq!(lines.len(), ends.len(), "{lines:?}");
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.ends_with(end), "{line}");
    }
}

/// A verdict ends with the process.
#[test]
fn a_restarted_proxy_takes_the_weight_from_the_clock() {
    let guardrail = json!({"errors": {"max": 1}});
    let process = Process::new();
    failing_at_50_percent(&process, guardrail.clone());
    assert_eq!(standing(&process, "v2"), Some(2));
    let restarted = Process::new();
    restarted.clock().advance(30 * MINUTE);
    Worker::new(&restarted, &ramping(guardrail));
    assert_eq!(weight(&restarted, "v2"), Some(500_000));
}
