//! Configurations that are accepted, refused or accepted inert, and replaced.
//!
//! A `Process` is one Envoy, a `Vm` one of its threads. In Envoy the main thread gets each
//! configuration first, then the workers.

use divvy_host_tests::fixture::{
    self, CANARY_USER, PLUGIN, ROOT_ID, accept, assignment, broken, canary, configured, from_user,
    inert, offer, plugin_gauge, route, start, weighted,
};
use divvy_host_tests::{Module, Process, RootId, Vm, VmOptions};
use serde_json::{Value, json};

/// The gauge of the share of a version, in millionths.
fn weight(process: &Process, version: &str) -> Option<u64> {
    fixture::weight(process, "checkout", version)
}

fn route_of(vm: &mut Vm, root: RootId) -> Option<String> {
    route(&vm.exchange(root, &from_user(CANARY_USER)).unwrap())
}

fn also_broken() -> Value {
    let mut configuration = broken();
    configuration["version"] = json!("2");
    configuration
}

#[test]
fn the_filter_imports_only_what_envoy_offers() {
    let filter = Module::filter();
    assert_eq!(filter.unknown_imports(), [] as [&str; 0]);
    let exports = filter.exports();
    for needed in ["memory", "_initialize", "proxy_abi_version_0_2_1"] {
        assert!(exports.iter().any(|name| name == needed), "{exports:?}");
    }
    // Without this callback the table of streams grows with each request.
    assert!(exports.iter().any(|name| name == "proxy_on_delete"));
    // Envoy calls this one for each stream if it is exported.
    assert!(!exports.iter().any(|name| name == "proxy_on_done"));
}

#[test]
fn a_valid_configuration_decides_and_sets_the_gauges() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    assert_eq!(route_of(&mut vm, root).as_deref(), Some("v2"));
    assert_eq!(inert(&process), Some(0));
    assert_eq!(weight(&process, "v2"), Some(250_000));
    assert_eq!(weight(&process, "v1"), Some(750_000));
    assert_ne!(plugin_gauge(&process, "divvy_config_hash"), Some(0));
}

#[test]
fn an_invalid_configuration_at_the_first_start_is_accepted_and_decides_nothing() {
    let process = Process::new();
    let mut vm = start(&process);
    let (accepted, root) = offer(&mut vm, &broken());
    assert!(accepted);
    assert_eq!(inert(&process), Some(1));
    let forged = from_user(CANARY_USER)
        .header("x-divvy-route", "v2")
        .header("x-divvy-assignment", "checkout=v2");
    let stream = vm.exchange(root, &forged).unwrap();
    assert_eq!((route(&stream), assignment(&stream)), (None, None));
    assert_eq!(process.counted("divvy_requests_total", &[]), 0);
}

#[test]
fn every_error_of_a_refused_configuration_is_logged_with_its_path() {
    let mut configuration = broken();
    configuration["rollouts"][0]["stable"] = json!("v9");
    let mut vm = start(&Process::new());
    offer(&mut vm, &configuration);
    let log: Vec<_> = vm.log().iter().map(|line| line.message.as_str()).collect();
    for path in ["rollouts[0].strategy.canary.version", "rollouts[0].stable"] {
        assert!(log.iter().any(|line| line.starts_with(path)), "{log:#?}");
    }
}

#[test]
fn strict_refuses_an_invalid_configuration_at_the_first_start() {
    let options = VmOptions::default().env("DIVVY_STRICT", "1");
    let mut vm = Vm::start_with(&Module::filter(), &Process::new(), options).unwrap();
    assert!(!offer(&mut vm, &broken()).0);
    assert!(offer(&mut vm, &canary()).0);
}

#[test]
fn strict_is_on_only_if_it_is_1() {
    for value in ["0", "", "true"] {
        let options = VmOptions::default().env("DIVVY_STRICT", value);
        let mut vm = Vm::start_with(&Module::filter(), &Process::new(), options).unwrap();
        assert!(offer(&mut vm, &broken()).0, "{value:?}");
    }
}

#[test]
fn an_invalid_configuration_is_refused_and_the_valid_one_still_decides() {
    let process = Process::new();
    let (mut vm, good) = configured(&process, &canary());
    let hash = plugin_gauge(&process, "divvy_config_hash");
    assert!(!offer(&mut vm, &broken()).0);
    assert_eq!(route_of(&mut vm, good).as_deref(), Some("v2"));
    assert_eq!(inert(&process), Some(0));
    assert_eq!(plugin_gauge(&process, "divvy_config_hash"), hash);
    assert_eq!(weight(&process, "v2"), Some(250_000));
}

#[test]
fn after_the_first_valid_configuration_invalid_ones_are_refused() {
    let process = Process::new();
    let mut vm = start(&process);
    let (_, inert_root) = offer(&mut vm, &broken());
    let good = accept(&mut vm, &canary());
    assert_eq!(inert(&process), Some(0));
    vm.retire(inert_root).unwrap();
    assert_eq!(route_of(&mut vm, good).as_deref(), Some("v2"));
    assert!(!offer(&mut vm, &also_broken()).0);
}

#[test]
fn the_vms_of_a_process_share_that_a_configuration_was_accepted() {
    let process = Process::new();
    let (_main_thread, _) = configured(&process, &canary());
    let mut worker = start(&process);
    assert!(!offer(&mut worker, &broken()).0);
    // Other processes and other plugins of this process do not.
    let mut elsewhere = start(&Process::new());
    assert!(offer(&mut elsewhere, &broken()).0);
    let other = worker.configure(ROOT_ID, "other", broken().to_string());
    assert!(other.unwrap().accepted);
}

#[test]
fn an_inert_configuration_stays_inert_for_every_worker() {
    let process = Process::new();
    let mut main_thread = start(&process);
    assert!(offer(&mut main_thread, &broken()).0);
    accept(&mut main_thread, &canary());
    // Envoy caches the result for these bytes and skips the main thread.
    let mut worker = start(&process);
    assert!(offer(&mut worker, &broken()).0);
    assert!(!offer(&mut worker, &also_broken()).0);
}

#[test]
fn bytes_that_are_not_json_are_an_invalid_configuration() {
    let odd: [&[u8]; 6] = [
        b"",
        b"null",
        b"\xff\xfe",
        b"{\"rollouts\":",
        // A protobuf Struct, as it arrives raw.
        b"\x0a\x0f\x0a\x07version\x12\x04\x1a\x021",
        &[b'['; 100_000],
    ];
    for bytes in odd {
        let process = Process::new();
        let mut vm = start(&process);
        vm.configure(ROOT_ID, PLUGIN, bytes).unwrap();
        let (mut vm, root) = configured(&process, &canary());
        assert_eq!(route_of(&mut vm, root).as_deref(), Some("v2"));
    }
}

#[test]
fn a_stream_keeps_the_configuration_it_began_with() {
    let process = Process::new();
    let (mut vm, old) = configured(&process, &canary());
    let exchange = from_user(CANARY_USER);
    let id = vm.open(old).unwrap();
    vm.request_headers(id, exchange.request.clone(), true)
        .unwrap();
    accept(&mut vm, &json!({}));
    vm.response_headers(id, exchange.response.unwrap(), true)
        .unwrap();
    let stream = vm.finish(id).unwrap();
    assert!(vm.retire(old).unwrap());
    assert_eq!(route(&stream).as_deref(), Some("v2"));
    let v2 = [("divvy_version", "v2"), ("divvy_class", "2xx")];
    assert_eq!(process.counted("divvy_responses_total", &v2), 1);
}

#[test]
fn ten_thousand_configurations_take_no_more_memory_than_a_thousand() {
    let process = Process::new();
    let (mut vm, mut root) = configured(&process, &canary());
    let mut push = |configurations: u32| {
        for nth in 0..configurations {
            // Different bytes each time, every tenth invalid.
            let mut next = weighted(nth % 100);
            next["version"] = json!(nth.to_string());
            if nth % 10 == 9 {
                let mut bad = broken();
                bad["version"] = json!(nth.to_string());
                let (accepted, refused) = offer(&mut vm, &bad);
                assert!(!accepted);
                vm.retire(refused).unwrap();
            }
            let older = std::mem::replace(&mut root, accept(&mut vm, &next));
            vm.exchange(root, &from_user("alice")).unwrap();
            assert!(vm.retire(older).unwrap());
            vm.take_log();
        }
        (
            vm.memory_pages(),
            vm.metric_ids(),
            process.shared_keys().len(),
        )
    };
    let after_a_thousand = push(1_000);
    assert_eq!(push(9_000), after_a_thousand);
}

#[test]
fn repeated_invalid_configurations_leave_nothing_in_shared_data() {
    let process = Process::new();
    let (mut vm, _) = configured(&process, &canary());
    let before = process.shared_keys();
    for nth in 0..1_000 {
        let mut bad = broken();
        bad["version"] = json!(nth.to_string());
        assert!(!offer(&mut vm, &bad).0);
    }
    assert_eq!(process.shared_keys(), before);
}
