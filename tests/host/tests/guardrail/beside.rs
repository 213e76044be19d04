//! Configurations of one plugin that get new streams at the same time, as with two listeners or
//! a listener that drains for minutes; and a root that is configured twice.

use divvy_host_tests::fixture::{CANARY_USER, PLUGIN, start};
use divvy_host_tests::{Process, RootId};
use serde_json::{Value, json};

use super::{MANY, ROLLED_BACK, Worker, guarded, known, one_percent, patient, tally, weight, with};

const CANARY: &str = "checkout=v2;reason=split";

/// [`one_percent`] in another revision.
fn second() -> Value {
    with(one_percent(), "revision", json!("2"))
}

/// The revision of [`one_percent`] with another window.
fn windowed() -> Value {
    guarded(json!({"errors": {"max": 1, "window": "1m"}}))
}

/// One VM with a root for each of two configurations.
fn two(process: &Process, one: &Value, other: &Value) -> (Worker, [RootId; 2]) {
    let mut worker = Worker::new(process, one);
    let first = worker.push(other);
    let roots = [first, worker.root];
    (worker, roots)
}

impl Worker {
    /// Assignment of a user by this root.
    fn ask_at(&mut self, root: RootId, user: &str) -> String {
        self.root = root;
        self.ask(user).0
    }

    /// Advances the clock by a second, then ticks both roots.
    fn second_of(&mut self, roots: [RootId; 2]) {
        self.root = roots[0];
        self.second();
        self.vm.tick(roots[1]).unwrap();
    }
}

#[test]
fn two_revisions_that_both_get_streams_keep_separate_verdicts_and_counts() {
    for bad in [0, 1] {
        let process = Process::new();
        let configurations = [one_percent(), second()];
        let (mut worker, roots) = two(&process, &configurations[0], &configurations[1]);
        let good = 1 - bad;
        for _ in 0..MANY {
            assert_eq!(worker.ask_at(roots[good], CANARY_USER), CANARY);
            worker.root = roots[bad];
            worker.fail(1);
        }
        for _ in 0..10 {
            worker.second_of(roots);
            worker.ask_at(roots[good], CANARY_USER);
            worker.ask_at(roots[bad], CANARY_USER);
        }
        for _ in 0..3 {
            assert_eq!(worker.ask_at(roots[bad], CANARY_USER), ROLLED_BACK);
            assert_eq!(worker.ask_at(roots[good], CANARY_USER), CANARY);
            worker.second_of(roots);
        }
        assert_eq!(worker.transitions().len(), 1);
        assert_eq!(known(&process, &configurations[good])[1].bad, 0);
        assert!(known(&process, &configurations[good])[1].all >= MANY);
    }
}

#[test]
fn a_configuration_with_few_streams_is_judged_beside_a_busy_one() {
    let process = Process::new();
    let (mut worker, [busy, quiet]) = two(&process, &one_percent(), &second());
    // The busy configuration always gets the last stream before a tick, so the gauges are its own.
    for _ in 0..MANY {
        worker.root = quiet;
        worker.fail(1);
        for _ in 0..5 {
            assert_eq!(worker.ask_at(busy, CANARY_USER), CANARY);
        }
        worker.second_of([busy, quiet]);
    }
    assert_eq!(worker.ask_at(quiet, CANARY_USER), ROLLED_BACK);
    assert_eq!(worker.ask_at(busy, CANARY_USER), CANARY);
    assert_eq!(worker.transitions().len(), 1);
}

#[test]
fn two_sets_of_limits_in_one_revision_share_verdicts_but_not_counts() {
    let process = Process::new();
    let configurations = [one_percent(), windowed()];
    let (mut worker, roots) = two(&process, &configurations[0], &configurations[1]);
    for round in 1..=5 {
        for root in roots {
            worker.ask_at(root, CANARY_USER);
        }
        worker.ask_at(roots[1], CANARY_USER);
        worker.second_of(roots);
        for (configuration, each) in configurations.iter().zip([1, 2]) {
            assert_eq!(known(&process, configuration)[1], tally(0, each * round));
        }
    }
    worker.root = roots[0];
    worker.fail(MANY);
    for _ in 0..2 {
        worker.second_of(roots);
        for root in roots {
            worker.ask_at(root, CANARY_USER);
        }
    }
    for root in roots {
        assert_eq!(worker.ask_at(root, CANARY_USER), ROLLED_BACK);
    }
    assert_eq!(worker.transitions().len(), 1);
}

#[test]
fn a_bad_version_is_judged_beside_a_configuration_without_that_version() {
    let process = Process::new();
    let mut other = one_percent();
    let rollout = &mut other["rollouts"][0];
    rollout["versions"] = json!([{"name": "v1"}, {"name": "v3"}]);
    rollout["rules"] = json!([]);
    rollout["strategy"]["canary"]["version"] = json!("v3");
    let (mut worker, roots) = two(&process, &one_percent(), &other);
    // Too few failures for a verdict between two ticks.
    for _ in 0..MANY {
        worker.root = roots[0];
        worker.fail(1);
        assert_eq!(
            worker.ask_at(roots[1], CANARY_USER),
            "checkout=v3;reason=split"
        );
        worker.second_of(roots);
    }
    assert_eq!(worker.ask_at(roots[0], CANARY_USER), ROLLED_BACK);
    assert_eq!(
        worker.ask_at(roots[1], CANARY_USER),
        "checkout=v3;reason=split"
    );
    assert_eq!(worker.transitions().len(), 1);
}

#[test]
fn a_verdict_holds_beside_a_configuration_without_a_guardrail() {
    let process = Process::new();
    let mut unguarded = one_percent();
    let rollout = &mut unguarded["rollouts"][0];
    rollout.as_object_mut().unwrap().remove("guardrail");
    rollout["strategy"] = json!({"canary": {"version": "v2", "start": "2026-11-30T00:00:00Z",
        "steps": [{"weight": 25, "hold": "1h"}, {"weight": 50}]}});
    let (mut worker, roots) = two(&process, &one_percent(), &unguarded);
    worker.root = roots[0];
    worker.fail(MANY);
    worker.second_of(roots);
    for _ in 0..30 {
        assert_eq!(worker.ask_at(roots[0], CANARY_USER), ROLLED_BACK);
        assert_eq!(worker.ask_at(roots[1], CANARY_USER), CANARY);
        // The configuration without a guardrail ticks first.
        worker.second_of([roots[1], roots[0]]);
    }
    assert_eq!(worker.transitions().len(), 1);
}

#[test]
fn a_replaced_root_applies_the_verdict_of_its_successor_at_its_next_tick() {
    let process = Process::new();
    // In a separate VM, where no other configuration got streams.
    let mut old = Worker::new(&process, &windowed());
    assert_eq!(old.ask(CANARY_USER).0, CANARY);
    old.tick();
    let mut new = Worker::new(&process, &one_percent());
    new.fail(MANY);
    new.second();
    old.tick();
    assert_eq!(old.ask(CANARY_USER).0, ROLLED_BACK);
    assert_eq!(weight(&process, "v2"), Some(0));
}

#[test]
fn an_earlier_revision_that_returns_has_its_former_state() {
    let process = Process::new();
    let mut worker = super::lifecycle::rolled_back(&process);
    worker.push(&second());
    assert_eq!(worker.ask(CANARY_USER).0, CANARY);
    worker.second();
    worker.push(&one_percent());
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
    worker.push(&second());
    assert_eq!(worker.ask(CANARY_USER).0, CANARY);
}

#[test]
fn a_reconfigured_root_still_counts_earlier_requests() {
    for at_once in [false, true] {
        let process = Process::new();
        let mut worker = Worker::new(&process, &patient());
        worker.fail(3);
        let streams = worker.open_requests();
        let next = with(patient(), "metrics", json!("requests"));
        let accepted = worker.vm.reconfigure(worker.root, next.to_string());
        assert!(accepted.unwrap().accepted);
        assert_eq!(known(&process, &patient())[1], tally(3, 3));
        worker.end_requests(streams, 503);
        if at_once {
            assert!(worker.vm.retire(worker.root).unwrap());
        } else {
            worker.tick();
        }
        let all = MANY + 3;
        assert_eq!(known(&process, &patient())[1], tally(all, all), "{at_once}");
    }
}

#[test]
fn a_guardrail_in_a_plugin_without_a_name_logs_a_warning() {
    let unwatched = divvy_host_tests::fixture::canary();
    for (name, configuration, warnings) in [
        ("", one_percent(), 1),
        ("", unwatched, 0),
        (PLUGIN, one_percent(), 0),
    ] {
        let mut vm = start(&Process::new());
        vm.configure("divvy", name, configuration.to_string())
            .unwrap();
        let log = vm.take_log().into_iter();
        let logged = log.filter(|line| line.message.contains("the plugin has no name"));
        assert_eq!(logged.count(), warnings, "{name:?}");
    }
}
