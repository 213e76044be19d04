//! The host of this package, tested with a small filter written by hand (`toy.wat`).

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use divvy_host_tests::{
    Action, Call, Exchange, Headers, LogLevel, Module, Process, RootId, Status, Vm, VmOptions,
};

static TOY: LazyLock<Module> = LazyLock::new(|| toy(false));

fn toy(metered: bool) -> Module {
    let wasm = wat::parse_str(include_str!("toy.wat")).unwrap();
    Module::compile(&wasm, metered).unwrap()
}

fn configured(process: &Process) -> (Vm, RootId) {
    let mut vm = Vm::start(&TOY, process).unwrap();
    let configured = vm.configure("root", "toy", "yes").unwrap();
    assert!(configured.accepted);
    (vm, configured.root)
}

fn request() -> Exchange {
    Exchange::get("/").header("x-in", b"\xffbytes")
}

#[test]
fn a_request_runs_through_the_filter_and_shows_its_effects() {
    let process = Process::new();
    let (mut vm, root) = configured(&process);
    let stream = vm.exchange(root, &request().status(503)).unwrap();

    let headers = stream.request_headers.as_ref().unwrap();
    assert_eq!(headers.get("x-out"), Some(b"\xffbytes".as_slice()));
    let code = 503_u64.to_le_bytes();
    assert_eq!(stream.property(&["code"]), Some(code.as_slice()));
    assert_eq!(process.counter("requests"), Some(1));
    assert_eq!(vm.open_streams(), 0);
}

#[test]
fn headers_cannot_be_changed_from_the_log_callback() {
    let process = Process::new();
    let (mut vm, root) = configured(&process);
    let stream = vm.exchange(root, &request()).unwrap();
    let headers = stream.request_headers.as_ref().unwrap();
    assert_eq!(headers.get("x-in"), Some(b"\xffbytes".as_slice()));
}

#[test]
fn a_configuration_is_readable_only_during_its_callback() {
    let process = Process::new();
    let mut vm = Vm::start(&TOY, &process).unwrap();
    assert!(!vm.configure("root", "toy", "").unwrap().accepted);
    assert_eq!(process.shared_data("conf"), None);
    assert!(vm.configure("root", "toy", "yes").unwrap().accepted);
    assert_eq!(process.shared_data("conf").unwrap().0, b"yes");
}

#[test]
fn calls_are_counted_by_name_and_by_whether_they_return_bytes() {
    let process = Process::new();
    let (mut vm, root) = configured(&process);
    vm.take_counts();
    vm.exchange(root, &request()).unwrap();
    let counts = vm.take_counts();
    assert_eq!(counts.of(Call::GetHeaderMapValue), 2);
    assert_eq!(counts.by_name()["proxy_get_header_map_pairs"], 1);
    assert_eq!(counts.returning_bytes(), 4);
    assert_eq!(counts.total(), 10);
    assert_eq!(vm.counts().total(), 0);
}

#[test]
fn a_hook_replaces_the_result_and_the_effect_of_a_call() {
    let process = Process::new();
    let (mut vm, root) = configured(&process);
    vm.intercept(|call| (call == Call::IncrementMetric).then_some(Status::NOT_FOUND));
    vm.exchange(root, &request()).unwrap();
    assert_eq!(process.counter("requests"), Some(0));
    vm.stop_intercepting();
    vm.exchange(root, &request()).unwrap();
    assert_eq!(process.counter("requests"), Some(1));
}

#[test]
fn a_trap_names_its_callback_and_ends_the_vm() {
    let (mut vm, root) = configured(&Process::new());
    let trap = vm.exchange(root, &Exchange::get("/trap")).unwrap_err();
    assert_eq!(trap.callback, "proxy_on_request_headers");
    assert!(trap.cause.contains("unreachable"), "{trap}");
    assert!(vm.has_trapped());
    assert!(vm.exchange(root, &request()).is_err());
}

#[test]
fn a_pause_is_reported() {
    let (mut vm, root) = configured(&Process::new());
    let id = vm.open(root).unwrap();
    let headers = Headers::from([(":path", "/")]);
    assert_eq!(
        vm.request_headers(id, headers, true).unwrap(),
        Action::Pause
    );
    let line = vm.log().last().unwrap();
    assert_eq!(
        (line.level, line.message.as_str()),
        (LogLevel::Warn, "no x-in")
    );
}

#[test]
fn the_vm_sees_its_environment() {
    let mut options = VmOptions::default();
    options.environment.clear();
    let options = options.env("A", "1").env("B", "");
    let vm = Vm::start_with(&TOY, &Process::new(), options).unwrap();
    assert_eq!(vm.log()[0].message, "A=1\0B=\0");
}

#[test]
fn the_test_sets_the_wall_clock_also_backwards() {
    let process = Process::new();
    let (mut vm, root) = configured(&process);
    for now in [5_000, 3_000] {
        process.clock().set_realtime(now);
        vm.exchange(root, &request()).unwrap();
        assert_eq!(process.gauge("clock"), Some(now));
    }
}

#[test]
fn an_import_that_envoy_does_not_have_is_reported_and_counted() {
    let (mut vm, root) = configured(&Process::new());
    assert_eq!(TOY.unknown_imports(), ["env.proxy_levitate"]);
    vm.tick(root).unwrap();
    assert_eq!(vm.counts().of(Call::Unknown), 1);
}

#[test]
fn memory_pages_counts_grown_memory() {
    let (mut vm, root) = configured(&Process::new());
    let before = vm.memory_pages();
    vm.tick(root).unwrap();
    assert_eq!(vm.memory_pages(), before + 1);
}

#[test]
fn metric_ids_are_new_with_each_definition_and_values_belong_to_the_process() {
    let process = Process::new();
    let (mut one, root) = configured(&process);
    let (mut two, other) = configured(&process);
    one.exchange(root, &request()).unwrap();
    two.exchange(other, &request()).unwrap();
    assert_eq!(process.counter("requests"), Some(2));
    assert_eq!(one.metric_ids(), 2);
    one.configure("root", "toy", "again").unwrap();
    assert_eq!(one.metric_ids(), 4);
}

#[test]
fn fuel_counts_the_same_for_the_same_work() {
    let mut vm = Vm::start(&toy(true), &Process::new()).unwrap();
    let root = vm.configure("root", "toy", "yes").unwrap().root;
    let mut cost = || {
        let before = vm.fuel_used();
        vm.exchange(root, &request()).unwrap();
        vm.fuel_used() - before
    };
    let first = cost();
    assert!(first > 50, "{first}");
    assert_eq!(cost(), first);
}

#[test]
fn the_vms_of_a_process_may_run_in_threads() {
    let process = Process::new();
    let calls = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (mut vm, root) = configured(&process);
                for _ in 0..1_000 {
                    vm.exchange(root, &request()).unwrap();
                }
                calls.fetch_add(vm.counts().of(Call::IncrementMetric), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(process.counter("requests"), Some(8_000));
    assert_eq!(calls.into_inner(), 8_000);
}
