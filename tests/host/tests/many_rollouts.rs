//! Configurations of more than 50 rollouts: the first 50 have their series from the start, the
//! others from their first decision.

use divvy_host_tests::fixture::{accept, canary, configured, from_user, start, weight};
use divvy_host_tests::{Call, Process, RootId, Vm};
use serde_json::{Value, json};

/// Number of rollouts with series from the start.
const AT_ONCE: usize = 50;
/// Number of rollouts in these tests.
const ALL: usize = 60;
/// Two rollouts without series at the start.
const LATE: usize = 51;
const LATER: usize = 57;

fn name(nth: usize) -> String {
    format!("r{nth}")
}

/// Rollouts `r0` to `r59`, each for the paths below its name.
fn many() -> Value {
    let mut configuration = canary();
    let one = configuration["rollouts"][0].clone();
    let rollouts = (0..ALL).map(|nth| {
        let mut rollout = one.clone();
        rollout["name"] = json!(name(nth));
        rollout["match"] = json!([{"path": {"prefix": format!("/{}", name(nth))}}]);
        rollout
    });
    configuration["rollouts"] = rollouts.collect();
    configuration
}

/// A request that only this rollout matches, then a tick, which sets the gauges.
fn visit_and_tick(vm: &mut Vm, root: RootId, nth: usize) {
    visit(vm, root, nth);
    vm.tick(root).unwrap();
}

/// A request that only this rollout matches.
fn visit(vm: &mut Vm, root: RootId, nth: usize) {
    let mut exchange = from_user("alice");
    exchange
        .request
        .replace(":path", format!("/{}/", name(nth)));
    vm.exchange(root, &exchange).unwrap();
}

fn weights(process: &Process, nth: usize) -> [Option<u64>; 2] {
    ["v1", "v2"].map(|version| weight(process, &name(nth), version))
}

const SHOWN: [Option<u64>; 2] = [Some(750_000), Some(250_000)];
const ZERO: [Option<u64>; 2] = [Some(0), Some(0)];
const ABSENT: [Option<u64>; 2] = [None, None];

/// Number of stats of a rollout, of any type.
fn stats_of(process: &Process, nth: usize) -> usize {
    let label = format!("divvy_rollout=.={};.;", name(nth));
    let names = process.stat_names();
    names.iter().filter(|name| name.contains(&label)).count()
}

#[test]
fn only_the_series_of_the_first_fifty_rollouts_exist_from_the_start() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &many());
    for nth in 0..AT_ONCE {
        assert_eq!(weights(&process, nth), SHOWN, "{nth}");
        for version in ["v1", "v2"] {
            let place = format!(
                "divvy_rollout=.={};.;divvy_version=.={version};.;",
                name(nth)
            );
            for class in super::grpc::CLASSES {
                let series = format!("{place}divvy_class=.={class};.;divvy_responses_total");
                assert_eq!(process.counter(&series), Some(0), "{series}");
            }
            let series = format!("{place}divvy_reason=.=split;.;divvy_requests_total");
            assert_eq!(process.counter(&series), Some(0), "{series}");
            let series = format!("{place}divvy_request_duration_ms");
            assert!(process.histogram(&series).is_some(), "{series}");
        }
    }
    for nth in AT_ONCE..ALL {
        assert_eq!(stats_of(&process, nth), 0, "{nth}");
    }
    // A request to one of them defines nothing.
    vm.take_counts();
    for nth in 0..AT_ONCE {
        visit(&mut vm, root, nth);
    }
    assert_eq!(vm.take_counts().of(Call::DefineMetric), 0);
}

#[test]
fn the_weights_of_a_later_rollout_appear_at_the_tick_after_its_first_decision() {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &many());
    visit(&mut vm, root, 3);
    vm.tick(root).unwrap();
    assert_eq!(weights(&process, LATE), ABSENT);
    visit(&mut vm, root, LATE);
    assert_eq!(weights(&process, LATE), ABSENT);
    vm.tick(root).unwrap();
    assert_eq!(weights(&process, LATE), SHOWN);
    assert_eq!(weights(&process, LATER), ABSENT);
    // The second decision defines nothing.
    vm.take_counts();
    visit(&mut vm, root, LATE);
    let of_late = vm.take_counts();
    visit(&mut vm, root, 3);
    assert!(
        of_late.total() <= vm.take_counts().total(),
        "{:?}",
        of_late.by_name()
    );
}

#[test]
fn the_weights_of_a_removed_later_rollout_are_zero() {
    for new_vm in [false, true] {
        let process = Process::new();
        let (mut vm, root) = configured(&process, &many());
        visit(&mut vm, root, LATE);
        visit_and_tick(&mut vm, root, LATER);
        if new_vm {
            vm = start(&process);
        }
        accept(&mut vm, &canary());
        for nth in [0, LATE, LATER] {
            assert_eq!(weights(&process, nth), ZERO, "{nth}, new VM: {new_vm}");
        }
        assert_eq!(weight(&process, "checkout", "v2"), Some(250_000));
    }
}

#[test]
fn after_a_return_to_an_earlier_configuration_weights_of_a_later_rollout_appear_with_its_next_decision()
 {
    let process = Process::new();
    let (mut vm, root) = configured(&process, &many());
    visit_and_tick(&mut vm, root, LATE);
    accept(&mut vm, &canary());
    assert_eq!(weights(&process, LATE), ZERO);
    visit_and_tick(&mut vm, root, LATE);
    assert_eq!(weights(&process, LATE), SHOWN);
    assert_eq!(weights(&process, 0), SHOWN);
}

/// Workers are configured one after the other, while the first already serve.
#[test]
fn a_worker_that_is_configured_later_keeps_the_weights_of_a_later_rollout() {
    let process = Process::new();
    let (mut quick, root) = configured(&process, &many());
    visit(&mut quick, root, LATE);
    let (_slow, _) = configured(&process, &many());
    visit(&mut quick, root, LATE);
    quick.tick(root).unwrap();
    assert_eq!(weights(&process, LATE), SHOWN);
}

/// Both are zeroed when their rollouts are removed.
#[test]
fn weights_that_two_workers_add_at_the_same_time_are_both_kept() {
    let process = Process::new();
    let (mut one, root) = configured(&process, &many());
    let (mut other, root_of_other) = configured(&process, &many());
    visit(&mut one, root, 0);
    visit(&mut other, root_of_other, 0);
    visit(&mut other, root_of_other, LATER);
    visit(&mut one, root, LATE);
    // The other worker writes just before this one does.
    let mut other = Some(other);
    one.intercept(move |call| {
        if call == Call::SetSharedData
            && let Some(mut other) = other.take()
        {
            other.tick(root_of_other).unwrap();
        }
        None
    });
    one.tick(root).unwrap();
    one.stop_intercepting();
    assert_eq!(weights(&process, LATE), SHOWN);
    assert_eq!(weights(&process, LATER), SHOWN);
    accept(&mut one, &canary());
    assert_eq!(weights(&process, LATE), ZERO);
    assert_eq!(weights(&process, LATER), ZERO);
}
