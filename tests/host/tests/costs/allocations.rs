//! Pieces of memory that the filter takes for a request, apart from the machine.
//!
//! The table in `allocations.md` is part of the repository. A change that takes more or fewer
//! changes the table in the same commit:
//! `DIVVY_BLESS=1 cargo test -p divvy-host-tests --test costs`.

use divvy_host_tests::fixture::accept;
use divvy_host_tests::{Module, Process, Vm};

use crate::check;
use crate::paths::{Case, paths};

const TABLE: &str = "tests/allocations.md";
const HEAD: &str = "\
# Allocations per request

How often one request makes the filter allocate memory in its VM, from its headers to its log
line, once every series has been used. Checked by `costs`, which says how to write this table
anew.

On the full path these are:

1. the headers of the request, which the proxy hands over as one block in memory that it asks
   the filter for; all that is read of them is read there, in place;
2. the assignment, put together for the proxy to copy;
3. the status of the response, handed over like the headers.

The stream lives in a table that grows with the streams at a time, not with each. What is
decided lies in the stream itself, for up to three rollouts, and the lines of headers that are
asked for beside the request, up to eight; ten matching rollouts need memory for their decisions
and for the list of who matches. A property, such as a claim, an address or the flags of a
response, is handed over like the headers. Whatever else there is, cookies to give or members of
an assignment from upstream, are texts of their own.

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
fn each_path_allocates_as_often_as_the_table_says() {
    let mut table = HEAD.to_owned();
    for path in paths() {
        table += &format!("| {} | {} |\n", path.name, allocations(&path));
    }
    check(TABLE, &table);
}

/// The goal that stands apart from the table; and what the proxy hands over takes memory in
/// any case, so a count without it would be none.
#[test]
fn the_full_path_allocates_for_what_is_handed_over_and_for_the_assignment() {
    let path = paths().into_iter().find(|path| path.name == "full path");
    let count = allocations(&path.unwrap());
    assert_eq!(count, 3);
}
