//! Verdicts while each host call returns each status. `faults` at the top asserts that there is
//! no trap.

use divvy_host_tests::fixture::{CANARY_USER, route};
use divvy_host_tests::{Call, Process, Status};

use super::lifecycle::rolled_back;
use super::{Worker, request, standing};

/// The host calls of a request and a tick with a guardrail.
const CALLS: [Call; 9] = [
    Call::GetProperty,
    Call::GetSharedData,
    Call::SetSharedData,
    Call::GetHeaderMapPairs,
    Call::GetHeaderMapValue,
    Call::ReplaceHeaderMapValue,
    Call::ClockTimeGet,
    Call::IncrementMetric,
    Call::RecordMetric,
];

#[test]
fn no_user_gets_a_rolled_back_version_while_a_call_fails() {
    for call in CALLS {
        for status in Status::failures().chain([Status::OK, Status(u32::MAX)]) {
            let context = format!("{} answers {status:?}", call.name());
            let process = Process::new();
            let mut worker = rolled_back(&process);
            worker
                .vm
                .intercept(move |made| (made == call).then_some(status));
            for _ in 0..3 {
                let stream = worker.vm.exchange(worker.root, &request(CANARY_USER));
                let route = route(&stream.unwrap());
                assert!(matches!(route.as_deref(), None | Some("v1")), "{context}");
                worker.second();
            }
            worker.vm.stop_intercepting();
            worker.second();
            assert_eq!(worker.ask(CANARY_USER).1, "v1", "{context}");
            assert_eq!(standing(&process, "v2"), Some(2), "{context}");
        }
    }
}

/// A failure of the host is not a failure of the version.
#[test]
fn failing_calls_at_the_end_of_requests_roll_no_version_back() {
    for call in [
        Call::GetProperty,
        Call::GetHeaderMapValue,
        Call::GetHeaderMapPairs,
        Call::ReplaceHeaderMapValue,
        Call::ClockTimeGet,
    ] {
        for status in Status::failures() {
            let process = Process::new();
            let mut worker = Worker::new(&process, &super::one_percent());
            worker
                .vm
                .intercept(move |made| (made == call).then_some(status));
            worker.answer(CANARY_USER, 100, 200);
            worker.second();
            worker.vm.stop_intercepting();
            worker.second();
            let context = format!("{} answers {status:?}", call.name());
            assert_eq!(standing(&process, "v2"), Some(0), "{context}");
        }
    }
}
