//! Which way the branches of the filter go, for those who compile it.
//!
//! The table is part of the repository and of the filter's build; see `divvy_slim::branches`. A
//! function that has changed loses its hints until the table is written anew:
//! `DIVVY_BLESS=1 cargo test -p divvy-host-tests --test costs`, then `make build`.

use std::path::Path;

use divvy_host_tests::fixture::accept;
use divvy_host_tests::{Module, Process, Vm};
use divvy_slim::branches::{COUNTS, Table, counting, functions};

use crate::paths::{Case, paths};

const TABLE: &str = "../../src/slim/branches.txt";
const HEAD: &str = "\
# Which way the branches of the filter go when it handles requests: for each function a hash of its
# instructions, then its branches. 0: never taken, 1: always, ?: now this, now that, .: not run.
# Written by a test, tests/host/tests/costs/branches.rs, which says how; read by divvy-slim.
";
/// Of a hundred hints, so many are still to be right: fewer, and it is time to count anew.
const FRESH: usize = 90;

/// Of each kind, after those that find nothing prepared: not every one of them merges what a
/// guardrail has counted.
const REQUESTS: usize = 20;

/// Plays a path, and counts all but what comes first.
fn count(module: &Module, path: &Case, counts: &mut [(u64, u64)]) {
    let mut vm = Vm::start(module, &Process::new()).unwrap();
    let mut roots = Vec::new();
    roots.resize_with(path.listeners, || accept(&mut vm, &path.configuration));
    for nth in 0..3 + REQUESTS {
        if nth == 3 {
            vm.set_counter(COUNTS, 1);
        }
        for root in &roots {
            vm.exchange(*root, &path.exchange).unwrap();
        }
    }
    for (branch, (not_taken, taken)) in counts.iter_mut().enumerate() {
        let mut count = |number: usize| {
            let counter = vm.counter(&number.to_string()).unwrap();
            u64::try_from(counter).unwrap()
        };
        *not_taken += count(2 * branch);
        *taken += count(2 * branch + 1);
    }
}

fn counted() -> Table {
    let wasm = std::fs::read(Module::filter_path()).unwrap();
    let functions = functions(&wasm).unwrap();
    let module = Module::compile(&counting(&wasm).unwrap(), false).unwrap();
    let branches = functions.iter().map(|function| function.branches.len());
    let mut counts = vec![(0, 0); branches.sum()];
    for path in paths() {
        count(&module, &path, &mut counts);
    }
    Table::counted(&functions, counts)
}

#[test]
fn the_filter_says_which_way_its_branches_go() {
    let now = counted();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("DIVVY_BLESS").is_some() {
        std::fs::write(&file, format!("{HEAD}{now}")).unwrap();
    }
    let committed: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let (same, all) = committed.covers(&now);
    assert!(all > 500, "{all} branches");
    assert!(
        same * 100 >= all * FRESH,
        "{TABLE} knows {same} of {all} branches: it has to be written anew"
    );
}
