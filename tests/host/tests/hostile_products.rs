//! Configurations and requests with two long lists, each within its limit: the cost of their
//! product is bounded as well.

use divvy_host_tests::fixture::{PLUGIN, ROOT_ID, from_user};
use divvy_host_tests::{Configured, Exchange, Module, Process, RootId, Vm};
use serde_json::{Value, json};

/// Maximum memory of a VM in pages of 64 KiB, as in `hostile_configurations`.
const PAGES: u64 = 96 * (1 << 20) / 65_536;
/// Maximum instructions of a configuration, as there.
const FUEL: u64 = 6_000_000_000;

fn list(count: usize, element: impl Fn(usize) -> Value) -> Value {
    (0..count).map(element).collect()
}

/// These rollouts, then a rollout `b` with one rule.
fn configuration(mut rollouts: Vec<Value>, when: &Value) -> Value {
    let mut last = blue_green("b");
    last["rules"] = json!([{"name": "r", "when": when, "use": "v2"}]);
    rollouts.push(last);
    json!({"identity": [{"header": "x-user-id"}], "rollouts": rollouts})
}

fn blue_green(name: &str) -> Value {
    json!({
        "name": name,
        "versions": [{"name": "v1"}, {"name": "v2"}],
        "stable": "v1",
        "strategy": {"blueGreen": {"active": "v1"}},
    })
}

/// Configures a VM and asserts its instructions and memory, whether accepted or not.
fn bounded(configuration: &Value) -> (Vm, Configured) {
    let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
    let before = vm.fuel_used();
    let configured = vm.configure(ROOT_ID, PLUGIN, configuration.to_string());
    let configured = configured.unwrap_or_else(|trap| panic!("{trap}"));
    let fuel = vm.fuel_used() - before;
    assert!(fuel <= FUEL, "{fuel} instructions");
    assert_small(&vm);
    (vm, configured)
}

fn assert_small(vm: &Vm) {
    assert!(vm.memory_pages() <= PAGES, "{} pages", vm.memory_pages());
}

fn fuel_of(vm: &mut Vm, root: RootId, exchange: &Exchange) -> u64 {
    // The first request defines series.
    vm.exchange(root, exchange).unwrap();
    let before = vm.fuel_used();
    vm.exchange(root, exchange).unwrap();
    vm.fuel_used() - before
}

#[test]
fn many_hosts_with_many_paths_take_no_memory_for_each_pair() {
    let mut rollout = blue_green("a");
    rollout["match"] = json!([{
        "hosts": list(4_000, |nth| json!(format!("h{nth}"))),
        "path": {"in": list(4_000, |nth| json!(format!("/{nth}")))},
    }]);
    bounded(&json!({"rollouts": [rollout]}));
}

#[test]
fn claims_above_the_limit_cost_only_their_errors() {
    let claims = list(
        24_000,
        |nth| json!({"jwtClaim": format!("c{nth}"), "present": true}),
    );
    bounded(&configuration(vec![], &json!({"any": claims})));
}

#[test]
fn unknown_versions_of_an_earlier_rollout_cost_a_bounded_error_each() {
    let mut leader = blue_green("a");
    leader["versions"] = list(32, |nth| {
        let long = format!("n{nth}{}", "n".repeat(14_000));
        let name = if nth == 0 { "v1" } else { &long };
        json!({ "name": name })
    });
    let assigned = list(
        11_000,
        |_| json!({"assigned": {"rollout": "a", "version": "x"}}),
    );
    bounded(&configuration(vec![leader], &json!({"any": assigned})));
}

#[test]
fn regular_expressions_with_many_groups_take_bounded_memory_in_use() {
    let groups = "(a)".repeat(600);
    let regexes = list(200, |_| json!({"header": "h", "regex": groups}));
    let (mut vm, configured) = bounded(&configuration(vec![], &json!({"any": regexes})));
    let exchange = from_user("alice").header("h", "aaaa");
    vm.exchange(configured.root, &exchange).unwrap();
    assert_small(&vm);
}

#[test]
fn a_header_that_is_forged_a_hundred_times_is_computed_once() {
    let rollouts: Vec<_> = (0..20).map(|nth| blue_green(&format!("r{nth}"))).collect();
    let (mut vm, configured) = bounded(&json!({ "rollouts": rollouts }));
    let root = configured.root;
    let plain = fuel_of(&mut vm, root, &from_user("alice"));
    let forged = (0..100).fold(from_user("alice"), |exchange, _| {
        exchange.header("x-divvy-assignment", "")
    });
    let forged = fuel_of(&mut vm, root, &forged);
    assert!(forged < 10 * plain, "{forged} instead of {plain}");
}
