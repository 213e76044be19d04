//! Gauges show the configuration that gets new streams, in whichever VM.
//!
//! No callback names that configuration: Envoy starts new VMs for a configuration or keeps the
//! old ones, returns to an earlier configuration without configuring it again, and each worker
//! switches at a different time.

use divvy_host_tests::fixture::{
    CANARY_USER, accept, broken, canary, configured, from_user, inert, offer, plugin_gauge, start,
    weight, weighted,
};
use divvy_host_tests::{Call, Process, RootId, Vm};
use serde_json::{Value, json};

/// Sends two requests to a root.
fn serve(vm: &mut Vm, root: RootId) {
    for user in [CANARY_USER, "user-1"] {
        vm.exchange(root, &from_user(user)).unwrap();
    }
}

/// Sends two requests to a root, then a tick.
fn serve_and_tick(vm: &mut Vm, root: RootId) {
    serve(vm, root);
    vm.tick(root).unwrap();
}

/// The gauges of a configuration.
#[derive(Debug, PartialEq)]
struct Shown {
    hash: Option<u64>,
    inert: Option<u64>,
    weights: [Option<u64>; 2],
}

fn shown(process: &Process) -> Shown {
    Shown {
        hash: plugin_gauge(process, "divvy_config_hash"),
        inert: inert(process),
        weights: ["v1", "v2"].map(|version| weight(process, "checkout", version)),
    }
}

/// The gauges of a process that got only this configuration.
fn alone(configuration: &Value) -> Shown {
    let process = Process::new();
    offer(&mut start(&process), configuration);
    shown(&process)
}

/// [`canary`] with another name of its rollout.
fn renamed(name: &str) -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["name"] = json!(name);
    configuration
}

#[test]
fn two_roots_with_the_same_configuration_cost_no_more_than_one() {
    let process = Process::new();
    let (mut vm, first) = configured(&process, &canary());
    let second = accept(&mut vm, &canary());
    serve(&mut vm, first);
    serve(&mut vm, second);
    vm.take_counts();
    serve(&mut vm, second);
    let one = vm.take_counts();
    for root in [first, second, first, second] {
        serve(&mut vm, root);
        assert_eq!(vm.take_counts(), one);
    }
    // A tick reads which plugins the process has, which versions are unreachable, and once which
    // configuration the gauges show.
    for root in [first, second, first] {
        vm.tick(root).unwrap();
        let counts = vm.take_counts();
        assert!(counts.total() <= 3, "{:?}", counts.by_name());
    }
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn gauges_show_the_root_that_gets_new_streams() {
    // Envoy returns to an older configuration without configuring it again.
    let process = Process::new();
    let (mut vm, first) = configured(&process, &canary());
    let second = accept(&mut vm, &weighted(50));
    assert_eq!(shown(&process), alone(&weighted(50)));
    serve_and_tick(&mut vm, first);
    assert_eq!(shown(&process), alone(&canary()));
    serve_and_tick(&mut vm, second);
    assert_eq!(shown(&process), alone(&weighted(50)));
}

/// A thousand rollouts have two thousand gauges, and requests may come to two configurations of
/// one plugin by turns.
#[test]
fn requests_set_no_gauges() {
    let many = |prefix: &str| {
        let mut configuration = canary();
        let one = configuration["rollouts"][0].clone();
        let rollouts = (0..1_000).map(|nth| {
            let mut rollout = one.clone();
            rollout["name"] = json!(format!("{prefix}{nth}"));
            rollout["metrics"] = json!("requests");
            rollout["guardrail"] = json!({"errors": {"max": 1}});
            rollout["match"] = json!([{"path": {"prefix": format!("/{nth}")}}]);
            rollout
        });
        configuration["rollouts"] = rollouts.collect();
        configuration
    };
    let process = Process::new();
    let (mut vm, first) = configured(&process, &many("a"));
    let second = accept(&mut vm, &many("b"));
    let request = |nth: usize| {
        let mut exchange = from_user(CANARY_USER);
        exchange.request.replace(":path", format!("/{nth}/"));
        exchange
    };
    // Counters of rollouts beyond the first fifty are defined at their first use.
    for root in [first, second] {
        vm.exchange(root, &request(3)).unwrap();
        vm.exchange(root, &request(999)).unwrap();
    }
    for root in [first, second, first, first] {
        vm.take_counts();
        vm.exchange(root, &request(3)).unwrap();
        vm.exchange(root, &request(998)).unwrap();
        let counts = vm.take_counts();
        assert_eq!(counts.of(Call::RecordMetric), 0, "{:?}", counts.by_name());
        assert!(counts.of(Call::DefineMetric) <= 1, "{:?}", counts.by_name());
    }
    vm.tick(first).unwrap();
    assert_eq!(weight(&process, "a3", "v2"), Some(250_000));
    assert_eq!(weight(&process, "a998", "v2"), Some(250_000));
    assert_eq!(weight(&process, "b3", "v2"), Some(0));
}

#[test]
fn after_a_return_to_an_older_vm_its_ticks_set_the_gauges() {
    let process = Process::new();
    let (mut old, a) = configured(&process, &canary());
    serve_and_tick(&mut old, a);
    let (mut new, b) = configured(&process, &weighted(50));
    serve_and_tick(&mut new, b);
    // An old root ticks as long as it has streams.
    old.tick(a).unwrap();
    assert_eq!(shown(&process), alone(&weighted(50)));

    serve_and_tick(&mut old, a);
    assert_eq!(shown(&process), alone(&canary()));
    new.tick(b).unwrap();
    assert_eq!(shown(&process), alone(&canary()));
    // Two more switches without a tick in between: at its first tick a root learns that the
    // gauges show another configuration, at its second that it got streams since.
    serve_and_tick(&mut new, b);
    assert_eq!(shown(&process), alone(&weighted(50)));
    serve_and_tick(&mut old, a);
    serve_and_tick(&mut old, a);
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn a_late_worker_shows_its_old_gauges_for_at_most_two_ticks() {
    let process = Process::new();
    let (mut quick, a) = configured(&process, &canary());
    let (mut slow, _) = configured(&process, &canary());
    let b = accept(&mut quick, &weighted(50));
    serve_and_tick(&mut quick, b);
    // Envoy has returned to A when the slow worker gets B.
    serve_and_tick(&mut quick, a);
    accept(&mut slow, &weighted(50));
    assert_eq!(shown(&process), alone(&weighted(50)));
    serve_and_tick(&mut quick, a);
    serve_and_tick(&mut quick, a);
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn a_root_without_streams_does_not_change_the_gauges() {
    let process = Process::new();
    let (mut old, old_root) = configured(&process, &canary());
    serve_and_tick(&mut old, old_root);
    let (_new, _) = configured(&process, &weighted(50));
    for _ in 0..3 {
        old.tick(old_root).unwrap();
    }
    assert_eq!(shown(&process), alone(&weighted(50)));
}

/// A busy root usually got a stream between its last tick and the change.
#[test]
fn a_root_without_streams_since_the_change_does_not_change_the_gauges() {
    let process = Process::new();
    let (mut old, old_root) = configured(&process, &canary());
    serve(&mut old, old_root);
    let (_new, _) = configured(&process, &weighted(50));
    old.tick(old_root).unwrap();
    assert_eq!(shown(&process), alone(&weighted(50)));
}

#[test]
fn an_inert_vm_does_not_log_after_a_valid_configuration_replaced_it() {
    let process = Process::new();
    let mut old = start(&process);
    let (accepted, old_root) = offer(&mut old, &broken());
    assert!(accepted);
    serve_and_tick(&mut old, old_root);
    let (_new, _) = configured(&process, &canary());
    old.take_log();
    for _ in 0..3 {
        process.clock().advance(std::time::Duration::from_secs(60));
        old.tick(old_root).unwrap();
    }
    assert_eq!(old.log(), []);
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn an_inert_vm_without_streams_since_the_valid_configuration_does_not_log() {
    let process = Process::new();
    let mut old = start(&process);
    let (_, old_root) = offer(&mut old, &broken());
    serve(&mut old, old_root);
    let (_new, _) = configured(&process, &canary());
    old.take_log();
    process.clock().advance(std::time::Duration::from_secs(60));
    old.tick(old_root).unwrap();
    assert_eq!(old.log(), []);
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn an_inert_configuration_sets_no_gauge_of_a_rollout() {
    let process = Process::new();
    let mut vm = start(&process);
    offer(&mut vm, &broken());
    let shown = shown(&process);
    assert_eq!((shown.inert, shown.weights), (Some(1), [None, None]));
    assert!(shown.hash.is_some_and(|hash| hash > 0), "{shown:?}");
}

#[test]
fn gauges_of_a_removed_rollout_are_zero_in_the_same_vm_and_in_a_new_one() {
    for new_vm in [false, true] {
        for next in [json!({}), renamed("search")] {
            let process = Process::new();
            let (mut vm, root) = configured(&process, &canary());
            serve_and_tick(&mut vm, root);
            if new_vm {
                vm = start(&process);
            }
            accept(&mut vm, &next);
            let shown = shown(&process);
            assert_eq!(shown.weights, [Some(0), Some(0)], "new VM: {new_vm}");
            let of_search = weight(&process, "search", "v2");
            let has_search = next["rollouts"].is_array();
            assert_eq!(of_search, has_search.then_some(250_000), "new VM: {new_vm}");
        }
    }
}

#[test]
fn a_removed_version_has_weight_zero_also_in_a_new_vm() {
    let process = Process::new();
    let mut with_v3 = canary();
    with_v3["rollouts"][0]["versions"][1]["name"] = json!("v3");
    with_v3["rollouts"][0]["strategy"]["canary"]["version"] = json!("v3");
    with_v3["rollouts"][0]["rules"] = json!([]);
    configured(&process, &with_v3);
    assert_eq!(weight(&process, "checkout", "v3"), Some(250_000));
    configured(&process, &canary());
    assert_eq!(weight(&process, "checkout", "v3"), Some(0));
    assert_eq!(shown(&process), alone(&canary()));
}

#[test]
fn a_refused_configuration_changes_no_gauge() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &canary());
    vm.take_counts();
    let (accepted, refused) = offer(&mut vm, &broken());
    assert!(!accepted);
    vm.tick(refused).unwrap();
    assert_eq!(vm.take_counts().of(Call::RecordMetric), 0);
    serve_and_tick(&mut vm, root);
    assert_eq!(shown(&process), alone(&canary()));
}
