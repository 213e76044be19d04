//! Instructions and memory of a VM and a configuration before the first request.
//!
//! The table in `start.md` is part of the repository. If a figure grows by more than 5 %, the
//! test fails; `make bless` writes the table.

use std::path::Path;

use divvy_host_tests::fixture::{PLUGIN, ROOT_ID};
use divvy_host_tests::{Module, Process, Vm};
use serde_json::{Value, json};

use super::{ALL, BYS, By, configuration};

const TABLE: &str = "tests/start.md";
const HEAD: &str = "\
# Cost of a configuration

Instructions of the filter until a configuration is in force, and the VM's memory at that point in pages
of 64 KiB; it never shrinks. The first row is a VM without a configuration. A test fails if a figure grows
by more than 5 %; `make bless` writes this table.

| configuration | bytes | instructions | pages |
|---|--:|--:|--:|
";

/// Maximum pages of 64 KiB for ten rollouts (4 MB) and for a thousand (16 MB).
const PAGES_OF_TEN: u64 = 61;
const PAGES_OF_ALL: u64 = 244;
/// Maximum instructions for a thousand rollouts. 375 million took 33 ms in V8; the goal is 50 ms.
const INSTRUCTIONS_OF_ALL: u64 = 375_000_000;

struct Row {
    name: String,
    bytes: usize,
    instructions: u64,
    pages: u64,
}

fn row(name: String, configuration: Option<&Value>) -> Row {
    let mut vm = Vm::start(&Module::metered_filter(), &Process::new()).unwrap();
    let bytes = configuration.map_or_else(String::new, Value::to_string);
    let mut before = 0;
    if configuration.is_some() {
        before = vm.fuel_used();
        let configured = vm.configure(ROOT_ID, PLUGIN, &bytes).unwrap();
        assert!(configured.accepted, "{:#?}", vm.log());
    }
    Row {
        name,
        bytes: bytes.len(),
        instructions: vm.fuel_used() - before,
        pages: vm.memory_pages(),
    }
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("none".to_owned(), None),
        row("empty".to_owned(), Some(&json!({}))),
    ];
    let ten = configuration(By::HostAndPath, 0..10);
    rows.push(row("10 rollouts".to_owned(), Some(&ten)));
    for by in BYS {
        let all = configuration(by, 0..ALL);
        rows.push(row(format!("{ALL} rollouts by {by:?}"), Some(&all)));
    }
    rows
}

/// The figures of a row in the committed table: instructions and pages.
fn committed(table: &str, name: &str) -> Option<[u64; 2]> {
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix(&format!("| {name} | ")))?;
    let cells: Vec<_> = line.trim_end_matches(" |").split(" | ").collect();
    let [_, instructions, pages] = cells[..] else {
        return None;
    };
    Some([instructions.parse().ok()?, pages.parse().ok()?])
}

#[test]
fn no_configuration_exceeds_the_table_by_5_percent_or_the_goals() {
    let rows = rows();
    let mut table = HEAD.to_owned();
    for row in &rows {
        let Row {
            name,
            bytes,
            instructions,
            pages,
        } = row;
        table += &format!("| {name} | {bytes} | {instructions} | {pages} |\n");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("DIVVY_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    for row in rows {
        let name = &row.name;
        let [instructions, pages] =
            committed(&there, name).unwrap_or_else(|| panic!("{TABLE} has no row {name}"));
        let grown = |now: u64, before: u64| now * 100 > before * 105;
        assert!(
            !grown(row.instructions, instructions),
            "{name}: {} instructions, they were {instructions}",
            row.instructions
        );
        assert!(
            !grown(row.pages, pages),
            "{name}: {} pages, they were {pages}",
            row.pages
        );
        let most = if name.starts_with("1000") {
            assert!(row.instructions <= INSTRUCTIONS_OF_ALL, "{name}");
            PAGES_OF_ALL
        } else {
            PAGES_OF_TEN
        };
        assert!(row.pages <= most, "{name}: {} pages", row.pages);
    }
}
