//! Pieces of memory that the filter takes for a request, apart from the machine.
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

How often one request makes the filter allocate memory in its VM, from its headers to its log
line, once every series has been used. Checked by `costs`, which says how to write this table
anew.

On the full path there are none. What the proxy hands over, be it headers, a status or a property,
comes in memory that one call leaves to the next, and is read there, in place. So does the
assignment, which is put together for the proxy to copy. The stream lives in a table that grows with
the streams at a time, not with each. What is decided lies in the stream itself, for up to three
rollouts; the lines of headers that are asked for beside the request, up to eight; and the list of
who looks at it, up to sixteen.

What is left: decisions for more than three rollouts; claims, addresses and other things that few
configurations ask for, which are kept until the request is decided, in a piece that others do without;
and whatever is a text of its own, such as cookies to give or members of an assignment from upstream.

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

/// The goal that stands apart from the table; and a count that is always none would be one, too.
#[test]
fn the_full_path_allocates_nothing_and_a_cookie_for_the_client_does() {
    let of = |name: &str| {
        let path = paths().into_iter().find(|path| path.name == name);
        allocations(&path.unwrap())
    };
    assert_eq!(of("full path"), 0);
    assert!(of("sticky, a first answer") > 0);
}
