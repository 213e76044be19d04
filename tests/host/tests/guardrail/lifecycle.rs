//! Lifetime of a verdict and of its gauges when VMs restart, roots are replaced or return, and
//! rollouts are removed.

use divvy_host_tests::Process;
use divvy_host_tests::fixture::CANARY_USER;
use serde_json::{Value, json};

use super::{
    MANY, ROLLED_BACK, STABLE_USER, Worker, guarded, known, one_percent, patient, request,
    standing, tally, weight, with,
};

/// A worker whose v2 was just rolled back.
pub fn rolled_back(process: &Process) -> Worker {
    let mut worker = Worker::new(process, &one_percent());
    worker.fail(MANY);
    worker.second();
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
    worker
}

/// [`one_percent`] with another weight, other limits and one more version in the same revision.
fn edited() -> Value {
    let mut edited = guarded(json!({"errors": {"max": 2, "window": "1m"}, "minRequests": 50}));
    edited["rollouts"][0]["strategy"]["canary"]["weight"] = json!(50);
    let versions = edited["rollouts"][0]["versions"].as_array_mut().unwrap();
    versions.insert(1, json!({"name": "v3"}));
    edited
}

impl Worker {
    /// Applies a configuration in a new VM or in this one.
    fn update(&mut self, new_vm: bool, configuration: &Value) {
        if new_vm {
            *self = Worker::new(&self.vm.process().clone(), configuration);
        } else {
            self.push(configuration);
        }
    }
}

#[test]
fn a_verdict_survives_new_vms_of_the_same_configuration() {
    let process = Process::new();
    // VMs restart after a trap or a push.
    drop(rolled_back(&process));
    for _ in 0..4 {
        let mut new = Worker::new(&process, &one_percent());
        assert_eq!(new.ask(CANARY_USER).0, ROLLED_BACK, "before its first tick");
        assert_eq!(standing(&process, "v2"), Some(2));
        new.second();
        assert_eq!(new.ask(CANARY_USER).0, ROLLED_BACK);
        assert_eq!(weight(&process, "v2"), Some(0));
    }
}

#[test]
fn a_verdict_survives_a_push_of_the_same_revision_whether_vms_are_kept_or_not() {
    for new_vm in [false, true] {
        let process = Process::new();
        let mut worker = rolled_back(&process);
        worker.update(new_vm, &edited());
        for _ in 0..3 {
            assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK, "new VM: {new_vm}");
            assert_eq!(standing(&process, "v2"), Some(2), "new VM: {new_vm}");
            assert_eq!(standing(&process, "v3"), Some(0), "new VM: {new_vm}");
            worker.second();
        }
    }
}

#[test]
fn a_verdict_ends_with_a_new_revision_whether_vms_are_kept_or_not() {
    for new_vm in [false, true] {
        let process = Process::new();
        let mut worker = rolled_back(&process);
        let next = with(one_percent(), "revision", json!("2"));
        worker.update(new_vm, &next);
        for _ in 0..3 {
            let assignment = worker.ask(CANARY_USER).0;
            assert_eq!(assignment, "checkout=v2;reason=split", "new VM: {new_vm}");
            assert_eq!(standing(&process, "v2"), Some(0), "new VM: {new_vm}");
            assert_eq!(weight(&process, "v2"), Some(250_000), "new VM: {new_vm}");
            worker.second();
        }
    }
}

#[test]
fn a_rollout_that_is_switched_off_and_on_again_is_still_rolled_back() {
    let process = Process::new();
    let mut worker = rolled_back(&process);
    worker.push(&with(one_percent(), "enabled", json!(false)));
    assert_eq!(worker.ask(CANARY_USER).0, "checkout=v1;reason=disabled");
    worker.second();
    worker.push(&one_percent());
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
}

#[test]
fn a_verdict_of_b_holds_when_envoy_returns_to_a_without_configuring_it() {
    // B has the limits of A, whose root then reads the state at each tick, or other limits.
    for b in [with(one_percent(), "metrics", json!("requests")), edited()] {
        for a_ticks in [false, true] {
            let process = Process::new();
            let mut worker = Worker::new(&process, &one_percent());
            worker.ask(CANARY_USER);
            worker.second();
            let a = worker.push(&b);
            worker.fail(2 * MANY);
            worker.second();
            if a_ticks {
                worker.vm.tick(a).unwrap();
            }
            assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
            worker.root = a;
            for _ in 0..3 {
                let assignment = worker.ask(CANARY_USER).0;
                assert_eq!(assignment, ROLLED_BACK, "ticks: {a_ticks}");
                assert_eq!(standing(&process, "v2"), Some(2));
                assert_eq!(weight(&process, "v2"), Some(0));
                worker.second();
            }
        }
    }
}

#[test]
fn a_root_that_returns_judges_again_and_shows_its_gauges() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    let a = worker.push(&edited());
    worker.ask(CANARY_USER);
    worker.second();
    assert_eq!(weight(&process, "v2"), Some(500_000));
    worker.root = a;
    worker.fail(MANY);
    worker.second();
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
    assert_eq!(standing(&process, "v2"), Some(2));
    assert_eq!(standing(&process, "v3"), Some(0));
}

#[test]
fn a_draining_root_adds_its_counts_and_judges_nothing() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    let streams = worker.open_requests();
    let next = with(one_percent(), "metrics", json!("requests"));
    let old = worker.push(&next);
    worker.ask(STABLE_USER);
    worker.second();
    worker.end_requests(streams, 503);
    worker.vm.tick(old).unwrap();
    assert_eq!(
        standing(&process, "v2"),
        Some(0),
        "an old root does not judge"
    );
    assert_eq!(
        known(&process, &next)[1],
        tally(MANY, MANY),
        "an old root adds its counts"
    );
    assert_eq!(worker.transitions(), [""; 0]);
    worker.tick();
    assert_eq!(standing(&process, "v2"), Some(2), "the current root judges");
    assert_eq!(worker.transitions().len(), 1);
    // The old root does not change gauges.
    for _ in 0..3 {
        worker.vm.tick(old).unwrap();
        assert_eq!(standing(&process, "v2"), Some(2));
        assert_eq!(weight(&process, "v2"), Some(0));
    }
    assert!(worker.vm.retire(old).unwrap());
}

#[test]
fn a_root_that_ends_writes_its_counts() {
    for superseded in [false, true] {
        let process = Process::new();
        let mut worker = Worker::new(&process, &patient());
        worker.fail(3);
        worker.answer(STABLE_USER, 4, 200);
        assert_eq!(known(&process, &patient()), [tally(0, 0); 2]);
        let mut last = worker.root;
        if superseded {
            // The same limits have the same state.
            last = worker.push(&with(patient(), "metrics", json!("requests")));
            worker.ask("user-3");
            worker.tick();
        }
        let ours = u32::from(superseded);
        assert!(worker.vm.retire(last).unwrap());
        let expected = [tally(0, 4), tally(3, 3 + ours)];
        assert_eq!(known(&process, &patient()), expected, "{superseded}");
    }
}

#[test]
fn gauges_of_a_removed_guarded_rollout_are_zero_whether_vms_are_kept_or_not() {
    for next in [json!({}), with(one_percent(), "name", json!("search"))] {
        for new_vm in [false, true] {
            let process = Process::new();
            let mut worker = rolled_back(&process);
            let old = worker.root;
            let (mut old_vm, mut kept) = (None, None);
            if new_vm {
                let new = Worker::new(&process, &next);
                old_vm = Some(std::mem::replace(&mut worker, new));
            } else {
                kept = Some(worker.push(&next));
            }
            for _ in 0..3 {
                assert_eq!(standing(&process, "v2"), Some(0), "new VM: {new_vm}");
                let weights = ["v1", "v2"].map(|version| weight(&process, version));
                assert_eq!(weights, [Some(0), Some(0)], "new VM: {new_vm}");
                // The old root ticks as long as it has streams.
                if let Some(old_vm) = &mut old_vm {
                    old_vm.vm.tick(old).unwrap();
                }
                if let Some(kept) = kept {
                    worker.vm.tick(kept).unwrap();
                }
                worker.second();
            }
        }
    }
}

#[test]
fn a_removed_guardrail_shows_no_verdict() {
    let process = Process::new();
    let mut worker = rolled_back(&process);
    worker.push(&divvy_host_tests::fixture::canary());
    assert_eq!(standing(&process, "v2"), Some(0));
    assert_eq!(weight(&process, "v2"), Some(250_000));
    assert_eq!(worker.ask(CANARY_USER).0, "checkout=v2;reason=split");
    // The guardrail returns with the same revision.
    worker.push(&one_percent());
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
}

#[test]
fn two_plugins_have_separate_guardrail_states() {
    let process = Process::new();
    rolled_back(&process);
    let mut vm = divvy_host_tests::fixture::start(&process);
    let other = vm.configure("divvy", "other", one_percent().to_string());
    let stream = vm.exchange(other.unwrap().root, &request(CANARY_USER));
    let assignment = divvy_host_tests::fixture::assignment(&stream.unwrap());
    assert_eq!(assignment.as_deref(), Some("checkout=v2;reason=split"));
}
