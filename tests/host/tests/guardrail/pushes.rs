//! Outcomes of requests that began under an earlier revision.

use divvy_host_tests::Process;
use divvy_host_tests::fixture::CANARY_USER;
use serde_json::json;

use super::{Worker, known, one_percent, standing, tally, with};

#[test]
fn an_outcome_of_another_revision_is_dropped() {
    let second = with(one_percent(), "revision", json!("2"));
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    let streams = worker.open_requests();
    worker.second();
    let old = worker.push(&second);
    worker.ask(CANARY_USER);
    worker.second();
    worker.end_requests(streams, 503);
    for _ in 0..3 {
        worker.vm.tick(old).unwrap();
        worker.second();
        assert_eq!(known(&process, &second)[1], tally(0, 1));
        assert_eq!(standing(&process, "v2"), Some(0));
    }
    assert!(worker.vm.retire(old).unwrap());
    worker.second();
    assert_eq!(known(&process, &second)[1], tally(0, 1));
}

#[test]
fn a_dropped_outcome_does_not_return_with_its_revision() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    let streams = worker.open_requests();
    let a = worker.push(&with(one_percent(), "revision", json!("2")));
    worker.ask(CANARY_USER);
    worker.second();
    worker.end_requests(streams, 503);
    worker.vm.tick(a).unwrap();
    // An hour later Envoy returns to the first revision.
    for _ in 0..360 {
        process.clock().advance(super::SECOND * 10);
        worker.tick();
        worker.vm.tick(a).unwrap();
    }
    worker.root = a;
    for _ in 0..3 {
        assert_eq!(worker.ask(CANARY_USER).0, "checkout=v2;reason=split");
        worker.second();
        assert_eq!(standing(&process, "v2"), Some(0));
    }
}
