//! Signatures in the built filter: the gauge that shows the keys, and what the largest overrides cost.

use divvy_host_tests::fixture::{accept, assignment, canary, from_user, offer};
use divvy_host_tests::{Module, Process, Vm, VmOptions};
use serde_json::{Value, json};

const OLD: &str = "2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const NEW: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";
const UNIT: &str = "unit:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8";

fn start(process: &Process, keys: &str) -> Vm {
    start_module(&Module::filter(), process, keys)
}

fn start_module(module: &Module, process: &Process, keys: &str) -> Vm {
    let options = VmOptions {
        environment: vec![("DIVVY_KEYS".to_owned(), keys.to_owned())],
        ..VmOptions::default()
    };
    Vm::start_with(module, process, options).unwrap()
}

fn signed() -> Value {
    let mut configuration = canary();
    configuration["rollouts"][0]["sticky"] = json!({"cookie": "got", "signed": true});
    configuration
}

/// The values of `divvy_key_info` of the keys 2026d, 2027a and unit.
fn places(process: &Process) -> [Option<u64>; 3] {
    ["2026d", "2027a", "unit"].map(|id| process.gauged("divvy_key_info", &[("divvy_key_id", id)]))
}

#[test]
fn key_info_is_the_place_of_each_key_while_the_configuration_uses_keys() {
    let mut units = canary();
    units["headers"] = json!({"route": "x-divvy-route", "unit": "x-divvy-unit"});
    let mut overrides = canary();
    overrides["overrides"] = json!({"header": "x-ov"});
    let mut minted = canary();
    minted["identity"] = json!([{"cookie": "id", "mint": {"signed": true}}]);
    for (keys, configuration, expected) in [
        (NEW, signed(), [None, Some(1), None]),
        (NEW, overrides.clone(), [None, Some(1), None]),
        (NEW, minted, [None, Some(1), None]),
        (&format!("{OLD},{NEW}"), signed(), [Some(1), Some(2), None]),
        (&format!("{NEW},{OLD}"), signed(), [Some(2), Some(1), None]),
        // The key of units stands behind those that sign.
        (&format!("{UNIT},{NEW}"), signed(), [None, Some(1), Some(2)]),
        (&format!("{NEW},{OLD}"), units, [Some(2), Some(1), None]),
        (NEW, canary(), [None; 3]),
    ] {
        let process = Process::new();
        let mut vm = start(&process, keys);
        let root = accept(&mut vm, &configuration);
        vm.exchange(root, &from_user("1")).unwrap();
        vm.tick(root).unwrap();
        assert_eq!(places(&process), expected, "{keys}: {configuration}");
    }

    // A configuration without signatures sets them to 0, and one that is refused changes nothing.
    let process = Process::new();
    let mut vm = start(&process, &format!("{NEW},{OLD}"));
    for (configuration, expected) in [
        (signed(), [Some(2), Some(1), None]),
        (canary(), [Some(0), Some(0), None]),
        (overrides, [Some(2), Some(1), None]),
    ] {
        let root = accept(&mut vm, &configuration);
        vm.exchange(root, &from_user("1")).unwrap();
        vm.tick(root).unwrap();
        assert_eq!(places(&process), expected, "{configuration}");
    }
    let mut keyless = start(&process, "");
    let (accepted, _) = offer(&mut keyless, &signed());
    assert!(!accepted);
    assert_eq!(places(&process), [Some(2), Some(1), None]);
}

/// 61,440 bytes of headers are what Envoy lets through.
#[test]
fn the_largest_overrides_of_a_request_cost_a_bounded_number_of_instructions() {
    let module = Module::metered_filter();
    let cost = |value: &str| {
        let process = Process::new();
        let mut vm = start_module(&module, &process, NEW);
        let mut configuration = canary();
        configuration["overrides"] = json!({"header": "x-ov"});
        let root = accept(&mut vm, &configuration);
        let exchange = from_user("1").header("x-ov", value);
        vm.exchange(root, &exchange).unwrap();
        let before = vm.fuel_used();
        let stream = vm.exchange(root, &exchange).unwrap();
        let assignment = assignment(&stream).unwrap();
        assert!(!assignment.contains("override"), "{assignment}");
        vm.fuel_used() - before
    };
    let now = Process::new().clock().realtime() / 1_000_000_000;
    let time = |seconds: u64| {
        let mut digits = Vec::new();
        let mut rest = seconds;
        while rest > 0 {
            digits.push(char::from_digit((rest % 36) as u32, 36).unwrap());
            rest /= 36;
        }
        digits.iter().rev().collect::<String>()
    };
    let times = format!("{}:{}", time(now - 60), time(now + 60));
    let token = |host: &str, random: &str| {
        let signature = "A".repeat(22);
        format!("1:2027a:checkout:v2:*:{host}:{times}:{random}:{signature}")
    };
    let sixteen = |token: String| vec![token; 16].join("~");
    let none = cost("1");
    let usual = cost(&sixteen(token("*", &"A".repeat(11)))) - none;
    let long = cost(&sixteen(token("*", &"A".repeat(3_700)))) - none;
    let junk = cost(&"~".repeat(60_000)) - none;
    let many = cost(&vec![token("*", &"A".repeat(11)); 500].join("~")) - none;
    println!("{usual} usual, {long} long, {junk} junk, {many} many");
    // Sixteen signatures are verified, and longer texts are not read.
    assert!(many < usual + usual / 10, "{many} of many, {usual}");
    assert!(junk < usual, "{junk} of separators, {usual}");
    assert!(long < 5 * usual, "{long} of long ones, {usual}");
}
