//! Instructions per request in the filter, apart from the machine: wasmtime's fuel.
//!
//! The table in `instructions.md` is part of the repository. A change that makes a path dearer by
//! more than 5 % changes the table in the same commit:
//! `make bless`.

use std::collections::BTreeMap;
use std::path::Path;

use divvy_host_tests::fixture::accept;
use divvy_host_tests::{Module, Process, Vm};

use super::paths::{Case, paths};

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
