//! An inert filter logs its errors once a minute per process.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use divvy_host_tests::fixture::{broken, offer, start};
use divvy_host_tests::{Call, LogLine, Process, RootId, Vm};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const PATHS: [&str; 3] = [
    "rollouts[0].stable:",
    "rollouts[0].strategy.canary.version:",
    "rollouts[0].rules[1].use:",
];

/// A configuration with an error at each of [`PATHS`].
fn thrice_broken() -> Value {
    let mut configuration = broken();
    configuration["rollouts"][0]["stable"] = json!("v9");
    configuration["rollouts"][0]["rules"][1]["use"] = json!("v8");
    configuration
}

/// A VM that runs inert and has logged its errors.
fn inert_vm(process: &Process) -> (Vm, RootId) {
    let mut vm = start(process);
    let (accepted, root) = offer(&mut vm, &thrice_broken());
    assert!(accepted);
    vm.take_log();
    (vm, root)
}

fn ticked(vm: &mut Vm, root: RootId) -> Vec<LogLine> {
    vm.tick(root).unwrap();
    vm.take_log()
}

/// Number of complete lists of errors in a log. Asserts that the log contains nothing else.
fn reports(log: &[LogLine]) -> usize {
    let count = |start: &str| {
        let lines = log.iter().filter(|line| line.message.starts_with(start));
        lines.count()
    };
    let headings = count("this proxy has no valid configuration and serves stable: 3 errors");
    for path in PATHS {
        assert_eq!(count(path), headings, "{path} in {log:#?}");
    }
    assert_eq!(log.len(), headings * (1 + PATHS.len()), "{log:#?}");
    headings
}

#[test]
fn one_vm_logs_every_error_each_minute() {
    let process = Process::new();
    let mut vms = [inert_vm(&process), inert_vm(&process)];
    for minute in 0..5 {
        process.clock().advance(MINUTE);
        let mut logged = 0;
        // Each VM ticks twelve times a minute.
        for _ in 0..12 {
            for (vm, root) in &mut vms {
                assert_eq!(vm.tick_period(*root), Some(5_000));
                logged += reports(&ticked(vm, *root));
            }
        }
        assert_eq!(logged, 1, "minute {minute}");
    }
}

#[test]
fn ticks_within_a_minute_log_nothing_more() {
    let process = Process::new();
    let (mut vm, root) = inert_vm(&process);
    let mut logged = 0;
    // The clock starts at a full minute.
    for _ in 0..120 {
        logged += reports(&ticked(&mut vm, root));
        process.clock().advance(Duration::from_secs(5));
    }
    assert_eq!(logged, 10);
}

#[test]
fn vms_that_tick_at_the_same_time_log_once_a_minute() {
    const VMS: usize = 3;
    const MINUTES: usize = 200;
    let process = Process::new();
    let barrier = Barrier::new(VMS);
    let ready = AtomicUsize::new(0);
    let logged: Vec<_> = (0..MINUTES).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..VMS {
            let (mut vm, root) = inert_vm(&process);
            let (process, barrier, ready, logged) = (&process, &barrier, &ready, &logged);
            scope.spawn(move || {
                for (nth, minute) in logged.iter().enumerate() {
                    if barrier.wait().is_leader() {
                        process.clock().advance(MINUTE);
                    }
                    barrier.wait();
                    // Threads wake one after the other; wait until all are awake.
                    ready.fetch_add(1, SeqCst);
                    while ready.load(SeqCst) < (nth + 1) * VMS {
                        std::thread::yield_now();
                    }
                    minute.fetch_add(reports(&ticked(&mut vm, root)), SeqCst);
                }
            });
        }
    });
    for (nth, minute) in logged.iter().enumerate() {
        assert_eq!(minute.load(SeqCst), 1, "minute {nth}");
    }
}

/// The second VM ticks just before a host call in the tick of the first.
#[test]
fn a_vm_that_ticks_during_the_tick_of_another_does_not_log() {
    for moment in [Call::ClockTimeGet, Call::GetSharedData, Call::SetSharedData] {
        let process = Process::new();
        let (mut vm, root) = inert_vm(&process);
        let (mut other, root_of_other) = inert_vm(&process);
        for minute in 0..3 {
            process.clock().advance(MINUTE);
            let (sender, others) = std::sync::mpsc::channel();
            let mut waiting = Some(other);
            vm.intercept(move |call| {
                if call == moment
                    && let Some(mut other) = waiting.take()
                {
                    let log = ticked(&mut other, root_of_other);
                    sender.send((other, log)).unwrap();
                }
                None
            });
            let log = ticked(&mut vm, root);
            vm.stop_intercepting();
            let (returned, log_of_other) = others.recv().unwrap();
            other = returned;
            let logged = reports(&log) + reports(&log_of_other);
            assert_eq!(logged, 1, "minute {minute}, in {}", moment.name());
        }
    }
}

#[test]
fn a_clock_set_back_by_an_hour_does_not_stop_the_log() {
    let process = Process::new();
    let mut vms = [inert_vm(&process), inert_vm(&process)];
    let mut minute = || -> usize {
        process.clock().advance(MINUTE);
        let logs = vms.each_mut().map(|(vm, root)| ticked(vm, *root));
        logs.iter().map(|log| reports(log)).sum()
    };
    assert_eq!(minute(), 1);
    let clock = process.clock();
    clock.set_realtime(clock.realtime() - 3_600_000_000_000);
    for nth in 0..5 {
        assert_eq!(minute(), 1, "minute {nth} after");
    }
    clock.set_realtime(clock.realtime() + 7_200_000_000_000);
    assert_eq!(minute(), 1);
}

#[test]
fn without_clock_or_shared_data_there_is_no_trap_and_no_flood_of_log_lines() {
    for broken in [Call::ClockTimeGet, Call::GetSharedData, Call::SetSharedData] {
        let process = Process::new();
        let (mut vm, root) = inert_vm(&process);
        vm.intercept(move |call| (call == broken).then_some(divvy_host_tests::Status(10)));
        for _ in 0..3 {
            process.clock().advance(MINUTE);
            let log = ticked(&mut vm, root);
            assert!(reports(&log) <= 1, "{}", broken.name());
        }
    }
}
