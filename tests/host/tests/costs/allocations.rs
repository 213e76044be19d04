//! Memory allocations of the filter per request.
//!
//! The table in `allocations.md` is part of the repository. A change that takes more or fewer
//! changes the table in the same commit:
//! `make bless`.

use divvy_host_tests::fixture::accept;
use divvy_host_tests::{Module, Process, Vm};

use super::check;
use super::paths::{Case, paths};

const TABLE: &str = "tests/allocations.md";
const HEAD: &str = "\
# Allocations per request

Allocations of the filter in its VM for one request, from its headers to its log line, after the first
use of every series. A test compares; `make bless` writes this table.

The full path allocates for the request's context only. What the proxy passes to the filter is read in
place, in memory that later calls reuse, and so is the assignment header. Header lines and decisions
are in place up to a number that few configurations exceed. Other paths also allocate for claims,
addresses and cookies.

| path | allocations |
|---|--:|
";

fn allocations(path: &Case) -> i64 {
    let module = Module::allocation_counting_filter();
    let mut vm = Vm::start(&module, &Process::new()).unwrap();
    let mut roots = Vec::new();
    roots.resize_with(path.listeners, || accept(&mut vm, &path.configuration));
    for _ in 0..3 {
        for root in &roots {
            vm.exchange(*root, &path.exchange).unwrap();
        }
    }
    let before = vm.counter("allocations").unwrap();
    vm.exchange(roots[0], &path.exchange).unwrap();
    vm.counter("allocations").unwrap() - before
}

#[test]
fn each_path_allocates_as_often_as_in_the_table() {
    let mut table = HEAD.to_owned();
    for path in paths() {
        table += &format!("| {} | {} |\n", path.name, allocations(&path));
    }
    check(TABLE, &table);
}

/// A limit independent of the table; the second assertion shows that allocations are counted.
#[test]
fn the_full_path_allocates_a_few_times_and_a_cookie_for_the_client_more_often() {
    let count = |name: &str| {
        let path = paths().into_iter().find(|path| path.name == name);
        allocations(&path.unwrap())
    };
    let full = count("full path");
    assert!(full <= 2, "{full}");
    assert!(count("sticky, a first answer") > full);
}
