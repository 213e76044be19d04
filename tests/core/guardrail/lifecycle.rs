//! Rollbacks, freezes, recoveries, ramps, configuration updates, restarts and changed clocks.

use std::rc::Rc;
use std::time::Duration;

use divvy::bucket::Share;
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::simulate::{Behaviour, Process, Setup, Vms};
use divvy::guardrail::{Arm, Guardrail, Local, OnBreach, Plan, Standing, State};

use super::{
    HOUR, MINUTE, NOON, SECOND, V2, Worker, one_percent, percent, plan, plan_with_ramp, ramp,
};

const TEN_MINUTES: Option<Duration> = Some(Duration::from_mins(10));

fn guardrail(on_breach: OnBreach, recover_after: Option<Duration>) -> Guardrail {
    Guardrail {
        on_breach,
        recover_after,
        ..one_percent()
    }
}

#[test]
fn a_rollback_lasts_until_the_revision_changes() {
    let first = plan("1", guardrail(OnBreach::Rollback, None));
    let mut worker = Worker::new(&first);
    worker.fails();
    let log = worker.until(NOON + 24 * HOUR);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        log[0].1,
        "v2 is rolled back to stable: 20 of 40 requests failed, errors.max is 1 %; it stays so \
         until the revision changes"
    );
    assert_eq!(worker.state.standing(&first, V2), Standing::RolledBack);
    assert_eq!(worker.state.standing(&first, V2).gauge(), 2);
    let bytes = worker.state.encode();
    // Other limits and other versions in the same revision do not change it.
    let limits = Guardrail {
        errors: None,
        consecutive_errors: Some(5),
        ..guardrail(OnBreach::Rollback, None)
    };
    let others = Plan::new("1", limits, None, "v1", ["v3", "v2"]);
    let pushed = State::open(&others, Some(&bytes), true).unwrap();
    assert_eq!(pushed.standing(&others, Arm(2)), Standing::RolledBack);
    assert_eq!(pushed.standing(&others, Arm(1)), Standing::Healthy);
    // Even without v2 in between.
    let without = Plan::new("1", one_percent(), None, "v1", ["v3"]);
    let between = State::open(&without, Some(&bytes), true).unwrap().encode();
    let back = State::open(&first, Some(&between), true).unwrap();
    assert_eq!(back.standing(&first, V2), Standing::RolledBack);
    // A new revision does.
    let second = plan("2", one_percent());
    let fresh = State::open(&second, Some(&bytes), true).unwrap();
    assert_eq!(fresh.standing(&second, V2), Standing::Healthy);
}

#[test]
fn the_recovery_time_doubles_with_each_trip_up_to_a_day() {
    let plan = plan("1", guardrail(OnBreach::Rollback, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    let mut expected = 10 * MINUTE;
    for _ in 0..12 {
        worker.fails();
        worker.until(worker.now + SECOND);
        assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
        let since = worker.now;
        let log = worker.until(since + expected);
        assert_eq!(log, [(since + expected, "v2 is tried again".to_owned())]);
        expected = (expected * 2).min(24 * HOUR);
    }
    assert_eq!(expected, 24 * HOUR);
}

#[test]
fn failures_before_a_recovery_do_not_count_after_it() {
    let plan = plan("1", guardrail(OnBreach::Rollback, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    worker.fails();
    worker.until(NOON + SECOND);
    // Slow requests that began before the rollback, and end just before the recovery.
    worker.until(NOON + 10 * MINUTE);
    worker.fails();
    let log = worker.until(NOON + 11 * MINUTE);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(worker.state.standing(&plan, V2), Standing::Healthy);
}

#[test]
fn a_frozen_ramp_keeps_its_weight_and_continues_by_whole_steps() {
    let plan = plan_with_ramp(guardrail(OnBreach::Freeze, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    worker.until(NOON + 15 * MINUTE);
    worker.fails();
    let mut weights = Vec::new();
    for minute in 16..60 {
        worker.until(NOON + minute * MINUTE);
        weights.push((minute, worker.weight()));
    }
    for (minute, weight) in [(16, 25.0), (25, 25.0), (34, 25.0), (36, 50.0), (46, 100.0)] {
        let found = weights.iter().find(|(at, _)| *at == minute).unwrap().1;
        assert_eq!(found, percent(weight), "minute {minute}");
    }
    assert!(weights.is_sorted());
}

#[test]
fn the_log_of_a_freeze_states_both_weights() {
    let plan = plan_with_ramp(guardrail(OnBreach::Freeze, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    worker.until(NOON + 15 * MINUTE);
    worker.fails();
    let log = worker.until(NOON + 16 * MINUTE);
    let line = "v2 is frozen at 25 %: 20 of 40 requests failed, errors.max is 1 %; it goes on in \
                10m";
    assert_eq!(log[0].1, line);
    assert_eq!(worker.state.standing(&plan, V2).gauge(), 1);
    let log = worker.until(NOON + 30 * MINUTE);
    assert_eq!(log[0].1, "v2 goes on from 25 %, one step per hold");
    assert_eq!(worker.state.standing(&plan, V2).gauge(), 0);
}

#[test]
fn a_ramp_recovers_from_its_first_step() {
    let plan = plan_with_ramp(guardrail(OnBreach::Rollback, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    worker.until(NOON + 35 * MINUTE);
    assert_eq!(worker.weight(), Share::ALL);
    worker.fails();
    worker.until(NOON + 36 * MINUTE);
    // The users that it had are those who are rolled back.
    assert_eq!(worker.weight(), Share::ALL);
    assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
    let log = worker.until(NOON + 46 * MINUTE);
    assert_eq!(log[0].1, "v2 is tried again, from the first step, 5 %");
    for (minute, weight) in [(46, 5.0), (56, 25.0), (66, 50.0), (76, 100.0)] {
        worker.until(NOON + minute * MINUTE);
        assert_eq!(worker.weight(), percent(weight), "minute {minute}");
    }
}

#[test]
fn an_observed_breach_is_logged_at_its_start_and_end() {
    let plan = plan("1", guardrail(OnBreach::Observe, TEN_MINUTES));
    let mut worker = Worker::new(&plan);
    let mut log = Vec::new();
    for second in 1..=120 {
        worker.fails();
        log.extend(worker.until(NOON + second * SECOND));
        assert_eq!(worker.state.standing(&plan, V2), Standing::Healthy);
    }
    log.extend(worker.until(NOON + 10 * MINUTE));
    let lines: Vec<_> = log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("nothing happens, onBreach is observe"));
    assert_eq!(lines[1], "v2 is within its guardrail again");
}

#[test]
fn a_clock_set_ahead_causes_no_trip_no_recovery_and_no_ramp_step() {
    for jump in [HOUR, 24 * HOUR, 365 * 24 * HOUR] {
        let plan = plan_with_ramp(guardrail(OnBreach::Rollback, TEN_MINUTES));
        let mut worker = Worker::new(&plan);
        worker.count(V2, 1_000, 5);
        worker.until(NOON + 5 * MINUTE);
        let now = worker.now;
        let lines = worker.tick_at(now + jump);
        let line = "v2 goes on from 5 %, one step per hold: the clock jumped ahead";
        let lines: Vec<_> = lines.iter().map(|l| l.line(&plan).to_string()).collect();
        assert_eq!(lines, [line]);
        assert_eq!(worker.weight(), percent(5.0));
        worker.until(worker.now + 10 * MINUTE);
        assert_eq!(worker.weight(), percent(25.0));
        // And a verdict waits as long as it would have.
        worker.fails();
        worker.until(worker.now + SECOND);
        worker.tick_at(worker.now + jump);
        assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
        worker.until(worker.now + 9 * MINUTE);
        assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
        worker.until(worker.now + MINUTE);
        assert_eq!(worker.state.standing(&plan, V2), Standing::Healthy);
    }
}

#[test]
fn a_clock_set_back_causes_no_trip_and_does_not_extend_a_verdict() {
    for back in [HOUR, 24 * HOUR, NOON] {
        let plan = plan("1", guardrail(OnBreach::Rollback, TEN_MINUTES));
        let mut worker = Worker::new(&plan);
        worker.until(NOON + 10 * MINUTE);
        worker.count(V2, 1_000, 15);
        worker.until(worker.now + SECOND);
        assert_eq!(worker.tick_at((worker.now).saturating_sub(back)), []);
        // Earlier counts are gone.
        assert_eq!(worker.state.known(&plan, V2, worker.now).all, 0);
        worker.fails();
        worker.until(worker.now + SECOND);
        assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
        worker.until(worker.now + 5 * MINUTE);
        worker.tick_at((worker.now).saturating_sub(back));
        worker.until(worker.now + 4 * MINUTE);
        assert_eq!(worker.state.standing(&plan, V2), Standing::RolledBack);
        worker.until(worker.now + 2 * MINUTE);
        assert_eq!(worker.state.standing(&plan, V2), Standing::Healthy);
    }
}

#[test]
fn vms_with_slightly_different_clocks_lose_no_count() {
    let plan = plan("1", one_percent());
    let mut worker = Worker::new(&plan);
    for tick in 0..20 {
        worker.count(V2, 10, 0);
        let jitter = if tick % 2 == 0 { 0 } else { 30 };
        worker.tick_at(NOON + MINUTE - jitter);
    }
    assert_eq!(worker.state.known(&plan, V2, worker.now).all, 200);
}

fn process(plan: &Rc<Plan>, start: u64, errors: f64) -> Process {
    Process::new(Setup {
        plan: Rc::clone(plan),
        workers: 4,
        rate: 200.0,
        weight: percent(10.0),
        behaviours: [Behaviour::failing(0.001), Behaviour::failing(errors)],
        start,
        seed: start,
    })
}

#[test]
fn proxies_started_at_different_times_have_the_same_weight() {
    let plan = plan_with_ramp(guardrail(OnBreach::Rollback, None));
    let starts = [0, 1, 599, 600, 601, 1_500, 1_900].map(|second| NOON + second * SECOND);
    let mut fleet = starts.map(|start| process(&plan, start, 0.0));
    for second in 1..2_400 {
        let now = NOON + second * SECOND;
        for proxy in fleet.iter_mut().filter(|proxy| proxy.now() < now) {
            proxy.tick();
            assert_eq!(proxy.now(), now);
            assert_eq!(proxy.share(), ramp().scheduled(now), "second {second}");
        }
        if second == 1_000 {
            fleet[0].restart();
        }
    }
}

#[test]
fn workers_of_a_proxy_report_a_clock_change_once() {
    let plan = plan_with_ramp(guardrail(OnBreach::Rollback, None));
    for jump in [HOUR, 24 * HOUR] {
        let mut proxy = process(&plan, NOON, 0.0);
        proxy.run(300);
        proxy.set_clock(proxy.now() + jump);
        assert!(proxy.run(1));
        assert_eq!(proxy.log().len(), 1, "{:?}", proxy.log());
        assert_eq!(proxy.share(), percent(5.0));
        // Nothing trips either when the clock is corrected.
        proxy.set_clock(proxy.now() - jump);
        assert!(!proxy.run(60));
        assert_eq!(proxy.share(), percent(5.0));
    }
}

#[test]
fn a_verdict_survives_updates_but_not_a_new_revision_or_a_restart() {
    for vms in [Vms::Kept, Vms::New] {
        let first = plan("1", guardrail(OnBreach::Rollback, None));
        let second = plan("2", guardrail(OnBreach::Rollback, None));
        let mut proxy = process(&first, NOON, 1.0);
        assert!(proxy.run(10));
        assert_eq!(proxy.log().len(), 1, "one VM logs it");
        proxy.push(&first, vms);
        assert!(!proxy.run(60));
        assert_eq!(proxy.share(), Share::NONE);
        let before = proxy.sent()[1].all;
        assert!(!proxy.run(60));
        assert_eq!(proxy.sent()[1].all, before, "no user gets that version");
        // A new revision has no counts.
        proxy.push(&second, vms);
        proxy.behave([Behaviour::failing(0.0); 2]);
        assert!(!proxy.run(60));
        assert_eq!(proxy.share(), percent(10.0));
        // The old one is what it was.
        proxy.push(&first, vms);
        assert!(!proxy.run(60));
        assert_eq!(proxy.share(), Share::NONE);
        proxy.push(&second, vms);
        proxy.behave([Behaviour::failing(0.0), Behaviour::failing(1.0)]);
        assert!(proxy.run(10));
        proxy.restart();
        assert_eq!(proxy.share(), percent(10.0));
        assert!(proxy.run(10), "and finds out again");
    }
}

#[test]
fn counts_of_a_removed_revision_are_dropped_and_replaced_roots_do_not_judge() {
    let [first, second] = ["1", "2"].map(|revision| plan(revision, one_percent()));
    let mut worker = Worker::new(&second);
    worker.until(NOON + SECOND);
    let bytes = worker.state.encode();
    assert_eq!(State::open(&first, Some(&bytes), false), None);
    // Of the same revision, it counts, and leaves the verdict to others.
    let mut local = Local::new(&second);
    let counts = Tally { bad: 20, all: 40 };
    local.count(V2, counts);
    let mut state = State::open(&second, Some(&bytes), false).unwrap();
    let ticked = state.tick(&second, &local, worker.now, None, false);
    assert!(ticked.changed && ticked.transitions.is_empty());
    let empty = Local::new(&second);
    let ticked = state.tick(&second, &empty, worker.now, None, true);
    assert_eq!(ticked.transitions.len(), 1);
}

#[test]
fn each_proxy_judges_its_own_observations() {
    let plan = plan("1", guardrail(OnBreach::Rollback, None));
    let mut fleet = [0.001, 0.001, 0.5, 0.001].map(|errors| process(&plan, NOON, errors));
    for proxy in &mut fleet {
        proxy.run(120);
    }
    let shares = fleet.map(|proxy| proxy.share());
    let [none, some] = [Share::NONE, percent(10.0)];
    assert_eq!(shares, [some, some, none, some]);
}

#[test]
fn the_first_counts_may_come_from_a_replaced_root() {
    let plan = plan("1", one_percent());
    let mut local = Local::new(&plan);
    let (bad, all) = (1, 3);
    local.count(V2, Tally { bad, all });
    // No VM has ticked yet.
    let mut state = State::open(&plan, None, false).unwrap();
    let ticked = state.tick(&plan, &local, NOON, None, false);
    assert!(ticked.changed && ticked.transitions.is_empty());
    let bytes = state.encode();
    let state = State::open(&plan, Some(&bytes), true).unwrap();
    assert_eq!(state.known(&plan, V2, NOON), Tally { bad, all });
}
