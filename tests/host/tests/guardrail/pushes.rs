//! Outcomes of requests that began under an earlier revision.

use divvy_host_tests::fixture::CANARY_USER;
use divvy_host_tests::{Process, StreamId};
use serde_json::json;

use super::{MANY, Worker, known, one_percent, request, standing, tally, with};

/// Opens requests to v2 without a response.
pub fn open_requests(worker: &mut Worker) -> Vec<StreamId> {
    let open = |_| {
        let id = worker.vm.open(worker.root).unwrap();
        let headers = request(CANARY_USER).request;
        worker.vm.request_headers(id, headers, true).unwrap();
        id
    };
    (0..MANY).map(open).collect()
}

/// Ends these requests with 503.
pub fn fail(worker: &mut Worker, streams: Vec<StreamId>) {
    let failed = request(CANARY_USER).status(503).response.unwrap();
    for id in streams {
        worker
            .vm
            .response_headers(id, failed.clone(), true)
            .unwrap();
        worker.vm.finish(id).unwrap();
    }
}

#[test]
fn an_outcome_of_another_revision_is_dropped() {
    let second = with(one_percent(), "revision", json!("2"));
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    let streams = open_requests(&mut worker);
    worker.second();
    let old = worker.push(&second);
    worker.ask(CANARY_USER);
    worker.second();
    fail(&mut worker, streams);
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
    let streams = open_requests(&mut worker);
    let a = worker.push(&with(one_percent(), "revision", json!("2")));
    worker.ask(CANARY_USER);
    worker.second();
    fail(&mut worker, streams);
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
