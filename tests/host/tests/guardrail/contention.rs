//! Shared data that eight VMs write at once, that always answers CAS mismatch, or that fails.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use divvy_host_tests::fixture::CANARY_USER;
use divvy_host_tests::{Call, Process, Status};
use serde_json::json;

use super::{
    MANY, ROLLED_BACK, STABLE_USER, Worker, guarded, known, one_percent, patient, request,
    standing, tally,
};

/// Maximum writes per tick; after that the filter waits for the next tick.
const TRIES: u64 = 16;
const VMS: usize = 8;

fn workers(process: &Process) -> Vec<Worker> {
    let configuration = patient();
    (0..VMS)
        .map(|_| Worker::new(process, &configuration))
        .collect()
}

/// [`workers`] after their first tick, which also writes the names of the gauges.
fn settled(process: &Process) -> Vec<Worker> {
    let mut workers = workers(process);
    workers.iter_mut().for_each(Worker::tick);
    workers
}

#[test]
fn eight_vms_on_eight_threads_lose_no_count() {
    const ROUNDS: u32 = 400;
    let process = Process::new();
    let threads = workers(&process).into_iter().map(|mut worker| {
        thread::spawn(move || {
            for _ in 0..ROUNDS {
                worker.fail(1);
                worker.answer(CANARY_USER, 2, 200);
                worker.answer(STABLE_USER, 3, 200);
                worker.tick();
            }
            worker
        })
    });
    let threads: Vec<_> = threads.collect();
    let workers = threads.into_iter().map(|thread| thread.join().unwrap());
    // A worker that gave up adds its counts at the next tick.
    for mut worker in workers.collect::<Vec<_>>() {
        worker.tick();
    }
    let all = u32::try_from(VMS).unwrap() * ROUNDS;
    let expected = [tally(0, 3 * all), tally(all, 3 * all)];
    assert_eq!(known(&process, &patient()), expected);
}

/// Before each of the first `times` writes of `worker`, one of `others` counts a failure and
/// writes. Returns the number of writes of `worker`.
fn interfere(worker: &mut Worker, others: Vec<Worker>, times: usize) -> Arc<AtomicU64> {
    let writes = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&writes);
    let others = Mutex::new(others);
    let mut left = times;
    worker.vm.intercept(move |call| {
        if call != Call::SetSharedData {
            return None;
        }
        let nth = seen.fetch_add(1, SeqCst);
        if left > 0 {
            left -= 1;
            let mut others = others.lock().unwrap();
            let place = usize::try_from(nth).unwrap() % others.len();
            others[place].fail(1);
            others[place].tick();
        }
        None
    });
    writes
}

#[test]
fn a_vm_that_loses_seven_writes_merges_with_each_of_them() {
    let process = Process::new();
    let mut others = settled(&process);
    let mut worker = others.pop().unwrap();
    worker.answer(CANARY_USER, 5, 200);
    let writes = interfere(&mut worker, others, 7);
    worker.tick();
    assert_eq!(writes.load(SeqCst), 8);
    assert_eq!(known(&process, &patient())[1], tally(7, 12));
}

#[test]
fn a_vm_that_always_loses_gives_up_and_adds_its_counts_at_the_next_tick() {
    let process = Process::new();
    let mut others = settled(&process);
    let mut worker = others.pop().unwrap();
    worker.answer(CANARY_USER, 5, 200);
    let writes = interfere(&mut worker, others, usize::MAX);
    worker.tick();
    assert_eq!(writes.load(SeqCst), TRIES);
    let theirs = u32::try_from(TRIES).unwrap();
    assert_eq!(known(&process, &patient())[1], tally(theirs, theirs));
    worker.vm.stop_intercepting();
    worker.tick();
    assert_eq!(known(&process, &patient())[1], tally(theirs, theirs + 5));
}

#[test]
fn two_vms_that_write_first_at_the_same_time_are_both_counted() {
    let process = Process::new();
    let mut others = workers(&process);
    assert_eq!(process.shared_data(super::KEY), None);
    let mut worker = others.pop().unwrap();
    worker.answer(CANARY_USER, 5, 200);
    interfere(&mut worker, others, 1);
    worker.tick();
    assert_eq!(known(&process, &patient())[1], tally(1, 6));
}

/// Makes this call fail with this status.
fn refuse(worker: &mut Worker, refused: Call, status: Status) {
    worker
        .vm
        .intercept(move |call| (call == refused).then_some(status));
}

#[test]
fn without_shared_data_requests_are_served_and_counts_wait_for_the_next_tick() {
    for call in [Call::GetSharedData, Call::SetSharedData] {
        for status in Status::failures() {
            let context = format!("{} answers {status:?}", call.name());
            let process = Process::new();
            let mut worker = Worker::new(&process, &one_percent());
            refuse(&mut worker, call, status);
            for _ in 0..3 {
                worker.fail(MANY);
                worker.second();
                let assignment = worker.ask(CANARY_USER).0;
                assert_eq!(assignment, "checkout=v2;reason=split", "{context}");
                assert_eq!(worker.ask(STABLE_USER).1, "v1", "{context}");
            }
            assert_eq!(standing(&process, "v2"), Some(0), "{context}");
            worker.vm.stop_intercepting();
            worker.tick();
            assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK, "{context}");
            let line = worker.transitions().join("\n");
            let counts = "90 of 93 requests failed";
            assert!(line.contains(counts), "{context}: {line}");
        }
    }
}

#[test]
fn endless_cas_mismatches_cost_a_bounded_number_of_calls() {
    let process = Process::new();
    let mut worker = Worker::new(&process, &one_percent());
    worker.tick();
    refuse(&mut worker, Call::SetSharedData, Status::CAS_MISMATCH);
    for _ in 0..3 {
        worker.fail(MANY);
        worker.vm.take_counts();
        worker.second();
        let writes = worker.vm.take_counts().of(Call::SetSharedData);
        assert_eq!(writes, TRIES);
    }
}

/// A run of failures makes the filter write at once; if that fails, the next tick writes.
#[test]
fn failures_in_a_row_that_cannot_be_written_cost_a_bounded_number_of_calls() {
    let process = Process::new();
    let configuration = guarded(json!({"consecutiveErrors": 10}));
    let mut worker = Worker::new(&process, &configuration);
    refuse(&mut worker, Call::SetSharedData, Status::CAS_MISMATCH);
    for _ in 0..MANY {
        worker.vm.take_counts();
        worker.fail(1);
        let counts = worker.vm.take_counts();
        assert!(counts.of(Call::SetSharedData) <= TRIES);
        assert!(counts.total() <= 2 * TRIES + 20, "{:?}", counts.by_name());
    }
    worker.vm.stop_intercepting();
    worker.tick();
    assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK);
}

#[test]
fn eight_vms_that_see_the_same_breach_make_one_transition() {
    let process = Process::new();
    let configuration = one_percent();
    let mut workers: Vec<_> = (0..VMS)
        .map(|_| Worker::new(&process, &configuration))
        .collect();
    for worker in &mut workers {
        worker.fail(MANY);
    }
    let threads = workers.into_iter().map(|mut worker| {
        thread::spawn(move || {
            for _ in 0..5 {
                worker.tick();
            }
            let stream = worker.vm.exchange(worker.root, &request(CANARY_USER));
            let assignment = divvy_host_tests::fixture::assignment(&stream.unwrap());
            (worker.transitions().len(), assignment)
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut lines = 0;
    for thread in threads {
        let (logged, assignment) = thread.join().unwrap();
        assert_eq!(assignment.as_deref(), Some(ROLLED_BACK));
        lines += logged;
    }
    assert_eq!(lines, 1);
}

/// Such bytes come from another plugin or another version of divvy.
#[test]
fn invalid_bytes_in_shared_data_are_replaced() {
    for bytes in [&b""[..], b"\xff", &[0xff; 40_000], b"1", &[1; 300]] {
        let process = Process::new();
        process.set_shared_data(super::KEY, bytes, 0);
        let mut worker = Worker::new(&process, &one_percent());
        worker.fail(MANY);
        worker.second();
        assert_eq!(worker.ask(CANARY_USER).0, ROLLED_BACK, "{}", bytes.len());
    }
}
