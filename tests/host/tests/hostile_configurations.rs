//! Configurations of at most 1 MiB that try to exhaust memory, time or the log.
//!
//! Several teams may write configurations for one proxy, and an out-of-memory trap is an outage
//! for all of them. So the cost of a configuration is bounded, whatever it contains.

use divvy_host_tests::fixture::{
    CANARY_USER, PLUGIN, ROOT_ID, accept, canary, from_user, route, start,
};
use divvy_host_tests::{LogLine, Module, Process, RootId, Vm};

const MIB: usize = 1 << 20;

/// Maximum memory of a VM in pages of 64 KiB: twice the 47 MiB of the worst configuration here,
/// a tree of half a million values with its copies.
const PAGES: u64 = 96 * MIB as u64 / 65_536;
/// Maximum instructions of a configuration per VM. The worst here takes 2.9 billion, 0.3 s.
const FUEL: u64 = 6_000_000_000;
/// Maximum log lines of a refusal: a heading, 200 errors, the number of further errors.
const LINES: usize = 202;
/// Maximum bytes of a log line: 600 of the message, the path and a few words.
const LINE_BYTES: usize = 1_000;

/// `before`, as many copies of `element` with commas between as fit into 1 MiB, `after`.
fn filled(before: &str, element: &str, after: &str) -> String {
    let room = MIB - before.len() - after.len();
    let count = (room + 1) / (element.len() + 1);
    let middle = vec![element; count].join(",");
    format!("{before}{middle}{after}")
}

/// `inner` inside `depth` copies of `before` and `after`.
fn wrapped(before: &str, depth: usize, inner: &str, after: &str) -> String {
    format!("{}{inner}{}", before.repeat(depth), after.repeat(depth))
}

/// A configuration of one rollout with these versions, this condition and this strategy.
fn rollout(versions: &str, when: &str, strategy: &str) -> String {
    format!(
        r#"{{"identity":[{{"header":"u"}}],"rollouts":[{{"name":"a","versions":[{versions}],
        "stable":"v1","rules":[{{"name":"r","when":{when},"use":"v1"}}],"strategy":{strategy}}}]}}"#
    )
}

const VERSIONS: &str = r#"{"name":"v1"},{"name":"v2"}"#;
const WHEN: &str = r#"{"header":"h","present":true}"#;
const CANARY: &str = r#"{"canary":{"version":"v2","weight":5}}"#;

/// A configuration of 1 MiB whose condition is `before`, copies of `element`, `after`.
fn condition(before: &str, element: &str, after: &str) -> String {
    let whole = rollout(VERSIONS, "\u{1}", CANARY);
    let (head, tail) = whole.split_once('\u{1}').unwrap();
    filled(
        &format!("{head}{before}"),
        element,
        &format!("{after}{tail}"),
    )
}

fn split(versions: &str, arms: &str) -> String {
    let strategy = format!(r#"{{"abTest":{{"split":[{arms}]}}}}"#);
    rollout(versions, WHEN, &strategy)
}

/// 32 versions with a common target that repeats the name of the version.
fn target_of(times: usize, name: &str) -> String {
    let template = "{version}".repeat(times);
    format!(
        r#"{{"rollouts":[{{"name":"a","target":"{template}","stable":"v1",
        "versions":[{{"name":"v1"}},{{"name":"v2"}},{{"name":"{name}"}},{}],
        "strategy":{{"blueGreen":{{"active":"v2"}}}}}}]}}"#,
        list(29, |nth| format!(
            r#"{{"name":"{nth}{}"}}"#,
            &name[..name.len().min(60)]
        ))
    )
}

fn list(count: usize, element: impl Fn(usize) -> String) -> String {
    (0..count).map(element).collect::<Vec<_>>().join(",")
}

fn hostile() -> Vec<(&'static str, String)> {
    let long = "n".repeat(10_000);
    let long_versions = list(32, |nth| format!(r#"{{"name":"{nth}{long}"}}"#));
    vec![
        ("zeros for conditions", condition(r#"{"all":["#, "0", "]}")),
        (
            "zeros for values",
            condition(r#"{"header":"h","in":["#, "0", "]}"),
        ),
        ("empty conditions", condition(r#"{"all":["#, "{}", "]}")),
        (
            "zeros below 58 conditions",
            condition(&r#"{"all":["#.repeat(58), "0", &"]}".repeat(58)),
        ),
        (
            "zeros below 100 negations",
            condition(
                &format!("{}{}", r#"{"not":"#.repeat(100), r#"{"all":["#),
                "0",
                &format!("]}}{}", "}".repeat(100)),
            ),
        ),
        (
            "zeros 58 lists deep",
            filled(
                &format!(r#"{{"rollouts":{}"#, "[".repeat(58)),
                "0",
                &format!("{}}}", "]".repeat(58)),
            ),
        ),
        ("zeros for rollouts", filled(r#"{"rollouts":["#, "0", "]}")),
        ("empty rollouts", filled(r#"{"rollouts":["#, "{}", "]}")),
        (
            "zeros for identities",
            filled(r#"{"identity":["#, "0", "]}"),
        ),
        (
            "zeros to ignore",
            filled(r#"{"ignoreIdentities":["#, "0", "]}"),
        ),
        ("zeros for everything", filled("[", "0", "]")),
        ("lists in lists", wrapped("[", MIB / 2, "", "]")),
        ("objects in objects", wrapped(r#"{"a":"#, MIB / 6, "0", "}")),
        (
            "arms of undeclared versions, long names",
            split(
                &long_versions,
                &list(25_000, |_| r#"{"version":"no","weight":1}"#.to_owned()),
            ),
        ),
        ("rules of undeclared versions, long names", {
            let rule = list(64, |nth| {
                format!(r#"{{"name":"r{nth}","when":{WHEN},"use":"no"}}"#)
            });
            let one = format!(
                r#"{{"name":"a","versions":[{long_versions}],"stable":"v1","rules":[{rule}],"strategy":{CANARY}}}"#
            );
            format!(r#"{{"identity":[{{"header":"u"}}],"rollouts":[{one},{one},{one}]}}"#)
        }),
        (
            "distinct arms",
            split(
                VERSIONS,
                &list(34_000, |nth| format!(r#"{{"version":"{nth}","weight":1}}"#)),
            ),
        ),
        (
            "distinct versions",
            rollout(
                &list(60_000, |nth| format!(r#"{{"name":"{nth}"}}"#)),
                WHEN,
                CANARY,
            ),
        ),
        (
            "names of headers",
            format!(
                r#"{{"headers":{{{}}},"rollouts":0}}"#,
                list(60_000, |nth| format!(r#""{nth}":"{nth}""#))
            ),
        ),
        ("duplicate keys", filled("{", r#""a":0"#, "}")),
        ("duplicate keys without a name", filled("{", r#""":0"#, "}")),
        (
            "distinct keys",
            format!("{{{}}}", list(90_000, |nth| format!(r#""{nth}":0"#))),
        ),
        (
            "one long string",
            format!(r#"{{"version":"{}","rollouts":0}}"#, "v".repeat(MIB - 100)),
        ),
        (
            "an unknown field of one long name",
            format!(r#"{{"{}":0}}"#, "f".repeat(MIB - 100)),
        ),
    ]
}

/// Size of the VM's memory, for messages.
fn mib(vm: &Vm) -> String {
    format!("{} MiB", vm.memory_pages() / 16)
}

fn assert_bounded(name: &str, log: &[LogLine]) {
    assert!(log.len() <= LINES, "{name}: {} lines", log.len());
    let longest = log.iter().map(|line| line.message.len()).max();
    assert!(longest <= Some(LINE_BYTES), "{name}: a line of {longest:?}");
}

/// Gives the bytes to a starting VM and to one with a valid configuration.
fn survive(name: &str, bytes: &str) {
    assert!(bytes.len() <= MIB, "{name}: {} bytes", bytes.len());
    for cold in [true, false] {
        let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
        let good = (!cold).then(|| accept(&mut vm, &canary()));
        vm.take_log();
        let before = vm.fuel_used();
        let configured = vm.configure(ROOT_ID, PLUGIN, bytes);
        let configured = configured.unwrap_or_else(|trap| panic!("{name}: {trap}"));
        assert_eq!(configured.accepted, cold, "{name}: {}", mib(&vm));
        let fuel = vm.fuel_used() - before;
        assert!(fuel <= FUEL, "{name}: {fuel}");
        assert_bounded(name, &vm.take_log());
        // An inert filter logs all errors again.
        vm.tick(configured.root).unwrap();
        assert_bounded(name, &vm.take_log());
        assert!(vm.memory_pages() <= PAGES, "{name}: {}", mib(&vm));
        let good = good.unwrap_or_else(|| accept(&mut vm, &canary()));
        assert_serves(name, &mut vm, good);
    }
}

fn assert_serves(name: &str, vm: &mut Vm, root: RootId) {
    let stream = vm.exchange(root, &from_user(CANARY_USER)).unwrap();
    assert_eq!(route(&stream).as_deref(), Some("v2"), "{name}");
}

#[test]
fn memory_and_log_of_every_configuration_are_bounded() {
    for (name, bytes) in hostile() {
        survive(name, &bytes);
    }
}

#[test]
fn a_long_path_is_shortened_in_the_log() {
    let key = "k".repeat(MIB - 4_000);
    let twice = list(400, |_| r#""a":0"#.to_owned());
    survive(
        "duplicate keys below a long one",
        &format!(r#"{{"{key}":{{{twice}}}}}"#),
    );
}

#[test]
fn a_target_that_repeats_an_overlong_name_does_not_trap() {
    survive("overlong name", &target_of(50_000, &"n".repeat(300_000)));
}

#[test]
fn a_target_that_repeats_a_valid_name_is_bounded() {
    let bytes = target_of(100_000, &"n".repeat(64));
    let mut vm = start(&Process::new());
    vm.configure(ROOT_ID, PLUGIN, &bytes).unwrap();
    assert!(vm.memory_pages() <= PAGES, "{}", mib(&vm));
}

#[test]
fn a_request_without_configuration_makes_few_host_calls_whatever_headers_are_configured() {
    let named = list(60_000, |nth| format!(r#""{nth}":"{nth}""#));
    let bytes = format!(r#"{{"headers":{{{named}}},"rollouts":0}}"#);
    let mut vm = start(&Process::new());
    let configured = vm.configure(ROOT_ID, PLUGIN, bytes).unwrap();
    assert!(configured.accepted);
    for _ in 0..2 {
        vm.take_counts();
        vm.exchange(configured.root, &from_user(CANARY_USER))
            .unwrap();
        // The three default names and the first few configured ones.
        let counts = vm.take_counts();
        assert!(counts.total() <= 16, "{:?}", counts.by_name());
    }
}

#[test]
fn the_largest_valid_configurations_are_bounded() {
    let versions = list(32, |nth| format!(r#"{{"name":"v{nth}"}}"#));
    let rollouts = list(1_000, |nth| {
        format!(
            r#"{{"name":"r{nth}","versions":[{versions}],"stable":"v1","strategy":{{"blueGreen":{{"active":"v2"}}}}}}"#
        )
    });
    let values = list(110_000, |nth| format!(r#""{nth}""#));
    let conditions = list(30_000, |nth| {
        format!(r#"{{"cookie":"{nth}","present":true}}"#)
    });
    for (name, bytes) in [
        ("rollouts", format!(r#"{{"rollouts":[{rollouts}]}}"#)),
        (
            "values",
            rollout(
                VERSIONS,
                &format!(r#"{{"header":"h","in":[{values}]}}"#),
                CANARY,
            ),
        ),
        (
            "conditions",
            rollout(VERSIONS, &format!(r#"{{"any":[{conditions}]}}"#), CANARY),
        ),
    ] {
        assert!(bytes.len() <= MIB, "{name}: {} bytes", bytes.len());
        let mut vm = start(&Process::new());
        let mut last = None;
        for _ in 0..5 {
            let configured = vm.configure(ROOT_ID, PLUGIN, &bytes).unwrap();
            assert!(configured.accepted, "{name}: {:#?}", vm.log());
            if let Some(before) = last.replace(configured.root) {
                assert!(vm.retire(before).unwrap());
            }
        }
        assert!(vm.memory_pages() <= PAGES, "{name}: {}", mib(&vm));
        let good = accept(&mut vm, &canary());
        assert_serves(name, &mut vm, good);
    }
}
