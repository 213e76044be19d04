//! Configurations with different revisions or limits that count at the same time: a draining
//! listener and its successor, or two listeners whose plugins have the same name.

use std::rc::Rc;
use std::time::Duration;

use divvy::guardrail::blob::MAX_BYTES;
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::{Arm, Guardrail, Local, Plan, Standing, State};
use divvy::response::HealthSample;

use super::{
    HOUR, MINUTE, NOON, SECOND, V2, Worker, latency, one_percent, percent, plan, plan_with_ramp,
};

/// [`one_percent`] with another window, and therefore with separate counts.
fn windowed(seconds: u64) -> Guardrail {
    let mut guardrail = one_percent();
    guardrail.errors.as_mut().unwrap().window = Duration::from_secs(seconds);
    guardrail
}

fn tally(bad: u32, all: u32) -> Tally {
    Tally { bad, all }
}

#[test]
fn alternating_revisions_keep_their_counts_and_verdicts() {
    let [first, second] = ["1", "2"].map(|revision| plan(revision, one_percent()));
    let mut worker = Worker::new(&first);
    for turn in 1..=10 {
        for (plan, failures) in [(&first, 0), (&second, u32::from(turn == 6))] {
            worker.switch(plan);
            worker.count(V2, 10, 10 * failures);
            worker.until(worker.now + SECOND);
        }
        worker.switch(&first);
        assert_eq!(worker.known(), tally(0, 10 * turn));
        assert_eq!(worker.standing(), Standing::Healthy);
        worker.switch(&second);
        let expected = match turn {
            ..6 => Standing::Healthy,
            _ => Standing::RolledBack,
        };
        assert_eq!(worker.standing(), expected, "turn {turn}");
    }
}

#[test]
fn a_verdict_is_kept_until_three_other_revisions_are_written() {
    let revisions = ["1", "2", "3", "4"].map(|revision| plan(revision, one_percent()));
    for (others, standing) in [
        (1, Standing::RolledBack),
        (2, Standing::RolledBack),
        (3, Standing::Healthy),
    ] {
        let mut worker = Worker::new(&revisions[0]);
        worker.fails();
        worker.until(NOON + SECOND);
        for other in &revisions[1..=others] {
            worker.switch(other);
            assert_eq!(worker.standing(), Standing::Healthy);
            worker.count(V2, 1, 0);
            worker.until(worker.now + SECOND);
        }
        worker.switch(&revisions[0]);
        assert_eq!(worker.standing(), standing, "{others}");
    }
}

#[test]
fn a_replaced_configuration_does_not_add_its_revision() {
    let revisions = ["1", "2", "3", "4"].map(|revision| plan(revision, one_percent()));
    let mut worker = Worker::new(&revisions[0]);
    for revision in &revisions[..3] {
        worker.switch(revision);
        worker.count(V2, 1, 0);
        worker.until(worker.now + SECOND);
    }
    let bytes = worker.state.encode();
    assert_eq!(State::open(&revisions[3], Some(&bytes), false), None);
    for revision in &revisions[..3] {
        worker.switch(revision);
        assert_eq!(worker.known(), tally(0, 1));
    }
}

#[test]
fn limit_sets_of_one_revision_share_verdicts_but_not_counts() {
    let [short, long] = [30, 60].map(|seconds| plan("1", windowed(seconds)));
    let mut worker = Worker::new(&short);
    worker.count(V2, 100, 0);
    worker.until(NOON + SECOND);
    worker.switch(&long);
    assert_eq!(worker.known(), tally(0, 0), "its counts are empty");
    worker.count(V2, 10, 0);
    worker.until(NOON + 2 * SECOND);
    worker.switch(&short);
    assert_eq!(worker.known(), tally(0, 100), "those by others are kept");
    worker.fails();
    worker.until(NOON + 3 * SECOND);
    assert_eq!(worker.standing(), Standing::RolledBack);
    worker.switch(&long);
    assert_eq!(worker.standing(), Standing::RolledBack);
    assert_eq!(worker.known(), tally(0, 0), "void since the verdict");
}

/// Plans of one revision with windows of 30 s and 60 s.
fn recovering(recover_after: Duration) -> [Rc<Plan>; 2] {
    [30, 60].map(|seconds| {
        let guardrail = Guardrail {
            recover_after: Some(recover_after),
            ..windowed(seconds)
        };
        plan("1", guardrail)
    })
}

#[test]
fn counts_before_a_verdict_of_other_limits_are_void_after_the_recovery() {
    let [short, long] = recovering(Duration::from_secs(5));
    let mut worker = Worker::new(&long);
    // Not enough for a verdict.
    worker.count(V2, 19, 19);
    worker.until(NOON + SECOND);
    worker.switch(&short);
    worker.fails();
    worker.until(NOON + 2 * SECOND);
    assert_eq!(worker.standing(), Standing::RolledBack);
    worker.until(NOON + 8 * SECOND);
    assert_eq!(worker.standing(), Standing::Healthy);
    worker.switch(&long);
    worker.count(V2, 19, 0);
    assert_eq!(worker.until(NOON + 9 * SECOND), []);
    assert_eq!(worker.known(), tally(0, 19));
}

#[test]
fn a_replaced_configuration_does_not_count_during_a_verdict_of_other_limits() {
    let [old, new] = [30, 60].map(|seconds| plan("1", windowed(seconds)));
    let mut worker = Worker::new(&new);
    worker.fails();
    worker.until(NOON + SECOND);
    let bytes = worker.state.encode();
    let mut state = State::open(&old, Some(&bytes), false).unwrap();
    assert_eq!(state.standing(&old, V2), Standing::RolledBack);
    let mut local = Local::new(&old);
    local.count(V2, tally(40, 40));
    let ticked = state.tick(&old, &local, NOON + 2 * SECOND, None, false);
    assert!(!ticked.changed);
    assert_eq!(state.known(&old, V2, NOON + 2 * SECOND), tally(0, 0));
}

#[test]
fn a_clock_set_back_shortens_no_verdict_with_several_limit_sets() {
    let [short, long] = recovering(Duration::from_mins(10));
    let mut worker = Worker::new(&long);
    worker.count(V2, 10, 0);
    worker.until(NOON + SECOND);
    worker.switch(&short);
    worker.fails();
    worker.until(NOON + MINUTE);
    for plan in [&long, &short] {
        worker.switch(plan);
        worker.tick_at(NOON - HOUR);
    }
    worker.until(NOON - HOUR + 8 * MINUTE);
    assert_eq!(worker.standing(), Standing::RolledBack);
    worker.until(NOON - HOUR + 10 * MINUTE);
    assert_eq!(worker.standing(), Standing::Healthy);
    // What was counted before it was set back does not return when the clock gets there again.
    worker.until(NOON);
    worker.switch(&long);
    worker.until(NOON + 2 * SECOND);
    assert_eq!(worker.known(), tally(0, 0));
}

#[test]
fn a_replaced_configuration_ignores_a_changed_clock() {
    // The ramp of the old configuration is at 5 %; the new one gives v2 to all users.
    let old = plan_with_ramp(one_percent());
    let new = plan("1", one_percent());
    for set in [NOON - HOUR, NOON + HOUR] {
        let mut worker = Worker::new(&new);
        worker.until(NOON + 5 * MINUTE);
        let bytes = worker.state.encode();
        let mut state = State::open(&old, Some(&bytes), false).unwrap();
        let mut local = Local::new(&old);
        local.count(V2, tally(1, 1));
        let ticked = state.tick(&old, &local, set, Some(worker.now), false);
        assert!(!ticked.changed && ticked.transitions.is_empty());
        assert_eq!(state.encode(), bytes);
        // Nor does it hide from those in charge, a tick later, that it was set.
        let ticked = state.tick(&old, &local, set + SECOND, Some(set), false);
        let bytes = if ticked.changed {
            state.encode()
        } else {
            bytes
        };
        let mut state = State::open(&old, Some(&bytes), true).unwrap();
        let before = Some(worker.now);
        let ticked = state.tick(&old, &Local::new(&old), set + SECOND, before, true);
        assert!(ticked.changed || set < NOON);
        assert_eq!(ticked.transitions.len(), usize::from(set > NOON));
        let weight = state.weight(&old, V2, set + SECOND);
        assert!(weight <= percent(5.0), "{weight:?}");
    }
}

#[test]
fn different_version_lists_of_one_revision_keep_their_counts() {
    for window in [30, 60] {
        // By the same limits as the first one's, and by others.
        let lists = [(30, "v2"), (window, "v3")];
        let [first, second] = lists
            .map(|(window, name)| Rc::new(Plan::new("1", windowed(window), None, "v1", [name])));
        let mut worker = Worker::new(&first);
        let mut log = Vec::new();
        for turn in 1..=20 {
            worker.switch(&second);
            worker.count(V2, 1, 0);
            log.extend(worker.until(worker.now + SECOND));
            assert_eq!(worker.known(), tally(0, turn));
            worker.switch(&first);
            assert_eq!(worker.known(), tally(turn - 1, turn - 1));
            worker.count(V2, 1, 1);
            log.extend(worker.until(worker.now + SECOND));
        }
        assert_eq!(worker.standing(), Standing::RolledBack);
        assert_eq!(log.len(), 1, "{log:?}");
        worker.switch(&second);
        assert_eq!(worker.standing(), Standing::Healthy);
    }
}

#[test]
fn a_removed_version_is_dropped_when_its_counts_expire() {
    let [first, second] =
        ["v2", "v3"].map(|name| Rc::new(Plan::new("1", one_percent(), None, "v1", [name])));
    let mut worker = Worker::new(&second);
    worker.count(V2, 1, 0);
    worker.until(worker.now + SECOND);
    worker.switch(&first);
    worker.count(V2, 1, 0);
    worker.until(worker.now + SECOND);
    worker.switch(&second);
    let both = worker.state.encode().len();
    // As far back as a window stretches, and the slot that is being filled.
    worker.until(worker.now + 7 * MINUTE);
    worker.count(V2, 1, 0);
    worker.until(worker.now + SECOND);
    assert!(worker.state.encode().len() < both);
    worker.switch(&first);
    assert_eq!(worker.known(), tally(0, 0));
}

#[test]
fn verdicts_take_precedence_over_counts_of_removed_versions() {
    let named = |name: &str| Rc::new(Plan::new("1", one_percent(), None, "v1", [name]));
    let failing = named("v2");
    for first in [true, false] {
        let mut worker = Worker::new(&named("v1-next"));
        let fail = |worker: &mut Worker| {
            worker.switch(&failing);
            worker.fails();
            worker.until(worker.now + SECOND);
        };
        if first {
            fail(&mut worker);
        }
        for number in 0..200 {
            worker.switch(&named(&format!("w{number}")));
            worker.count(V2, 1, 0);
            worker.until(worker.now + SECOND);
            if !first && number == 100 {
                fail(&mut worker);
            }
        }
        assert!(worker.state.encode().len() <= MAX_BYTES);
        worker.switch(&failing);
        assert_eq!(worker.standing(), Standing::RolledBack);
    }
}

#[test]
fn a_state_stays_within_16_kib_without_losing_a_verdict() {
    let names: Vec<String> = (1..=31).map(|n| format!("v{n}")).collect();
    let of = |revision: usize, limit: u64| {
        let mut all = latency(Some(320), Some(1.2));
        all.errors = windowed(30 + limit).errors;
        let names = names.iter().map(String::as_str);
        Rc::new(Plan::new(&revision.to_string(), all, None, "stable", names))
    };
    let fails = |worker: &mut Worker| {
        worker.count(Arm(31), 40, 40);
        worker.until(worker.now + SECOND);
    };
    let mut worker = Worker::new(&of(0, 0));
    for revision in 0..3 {
        worker.switch(&of(revision, 0));
        fails(&mut worker);
    }
    let mut largest = 0;
    for turn in 0..40 {
        let (revision, limit) = (turn % 3, (turn / 3) as u64 % 4);
        worker.switch(&of(revision, limit));
        for request in 0..1_500_u16 {
            // From a millisecond to ten seconds.
            let spread = f64::from(request * 7 % 1_500) / 1_500.0;
            let took = Duration::from_secs_f64(0.001 * 10_f64.powf(spread * 4.0));
            let arm = Arm(request % 31);
            worker
                .local
                .record(&worker.plan, arm, HealthSample::Success, Some(took));
        }
        worker.until(worker.now + SECOND);
        let size = worker.state.encode().len();
        largest = largest.max(size);
        assert!(size <= MAX_BYTES, "{size} bytes");
        let standing = worker.state.standing(&worker.plan, Arm(31));
        assert_eq!(standing, Standing::RolledBack, "turn {turn}");
    }
    assert!(largest > MAX_BYTES / 2, "{largest} bytes are no test");
}
