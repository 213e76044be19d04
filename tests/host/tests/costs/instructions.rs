//! Instructions per request in the filter, apart from the machine: wasmtime's fuel.
//!
//! The table in `instructions.md` is part of the repository. A change that makes a path dearer by
//! more than 5 % changes the table in the same commit:
//! `make bless`.

use std::collections::BTreeMap;
use std::path::Path;

use divvy_host_tests::fixture::{CANARY_USER, accept, assignment, from_user};
use divvy_host_tests::{Module, Process, Vm};

use serde_json::{Value, json};

use super::paths::{Case, paths, signed, sticky_cookie};

const TABLE: &str = "tests/instructions.md";
const HEAD: &str = "\
# Instructions per request

Instructions of the filter for one request, from its headers to its log line, after the first use of
every series, without the work of the host. A test fails if a path needs more than 5 % more;
`make bless` writes this table.

| path | instructions |
|---|--:|
";

fn fuel(path: &Case) -> u64 {
    let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
    let mut roots = Vec::new();
    roots.resize_with(path.listeners, || accept(&mut vm, &path.configuration));
    for _ in 0..3 {
        for root in &roots {
            vm.exchange(*root, &path.exchange).unwrap();
        }
    }
    let before = vm.fuel_used();
    vm.exchange(roots[0], &path.exchange).unwrap();
    vm.fuel_used() - before
}

/// The table's figures by path.
fn read(table: &str) -> BTreeMap<String, u64> {
    let rows = table.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let (name, figure) = line.split_once(" | ")?;
        Some((name.to_owned(), figure.parse().ok()?))
    });
    rows.collect()
}

#[test]
fn no_path_takes_5_percent_more_instructions_than_the_table_says() {
    let mut table = HEAD.to_owned();
    let mut now = Vec::new();
    for path in paths() {
        let figure = fuel(&path);
        table += &format!("| {} | {figure} |\n", path.name);
        now.push((path.name, figure));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("DIVVY_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let committed = read(&std::fs::read_to_string(&file).unwrap_or_default());
    let names: Vec<_> = now.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut known: Vec<_> = committed.keys().cloned().collect();
    let mut asked = names;
    known.sort();
    asked.sort();
    assert_eq!(known, asked, "the paths of {TABLE}");
    let dearer: Vec<_> = now
        .iter()
        .filter(|(name, figure)| figure * 100 > committed[*name] * 105)
        .map(|(name, figure)| format!("{name}: {figure}, it was {}", committed[*name]))
        .collect();
    assert!(dearer.is_empty(), "dearer than {TABLE} says: {dearer:#?}");
}

/// Instructions of a request with this sticky cookie, and its assignment.
fn with_cookie(configuration: &Value, cookie: &str) -> (u64, String) {
    let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
    let root = accept(&mut vm, configuration);
    let exchange = from_user(CANARY_USER).header("cookie", format!("got={cookie}"));
    for _ in 0..3 {
        vm.exchange(root, &exchange).unwrap();
    }
    let before = vm.fuel_used();
    let stream = vm.exchange(root, &exchange).unwrap();
    (vm.fuel_used() - before, assignment(&stream).unwrap())
}

#[test]
fn the_signature_of_a_cookie_costs_at_most_30_000_instructions() {
    let mut unsigned = signed();
    unsigned["rollouts"][0]["sticky"]["signed"] = json!(false);
    let mut fuels = Vec::new();
    for configuration in [unsigned, signed()] {
        let (fuel, assignment) = with_cookie(&configuration, &sticky_cookie(&configuration));
        assert!(assignment.ends_with("reason=sticky"), "{assignment}");
        fuels.push(fuel);
    }
    let more = fuels[1] - fuels[0];
    assert!(more <= 30_000, "{more} more than {}", fuels[0]);
}

/// The place of the first wrong character says nothing about the right signature.
#[test]
fn a_wrong_signature_takes_the_same_instructions_wherever_it_is_wrong() {
    let cookie = sticky_cookie(&signed());
    let begin = cookie.rfind(':').unwrap() + 1;
    let mut figures = std::collections::BTreeSet::new();
    for place in begin..cookie.len() {
        // Both are possible as the last character, which has four bits that are always 0.
        let other = if cookie.as_bytes()[place] == b'A' {
            "Q"
        } else {
            "A"
        };
        let mut wrong = cookie.clone();
        wrong.replace_range(place..=place, other);
        let (fuel, assignment) = with_cookie(&signed(), &wrong);
        assert!(
            assignment.ends_with("reason=split"),
            "{wrong}: {assignment}"
        );
        figures.insert(fuel);
    }
    assert_eq!(cookie.len() - begin, 22);
    assert_eq!(figures.len(), 1, "{figures:?}");
}
