//! The tables of `tests/cases` on the built filter; `tests/core` runs them on the library. The
//! serialized header map, the host calls and the release build are between the two.

use std::collections::BTreeMap;

use divvy_cases::{groups, ways};
use divvy_host_tests::fixture::{accept, assignment, route, unit};
use divvy_host_tests::{Exchange, Headers, Module, Process, Vm, VmOptions};

#[test]
fn every_case_of_the_tables_gets_its_decision() {
    let module = Module::filter();
    let mut vms: BTreeMap<Option<String>, Vm> = BTreeMap::new();
    for group in groups() {
        let vm = vms.entry(group.keys.clone()).or_insert_with_key(|keys| {
            let keys = keys
                .iter()
                .map(|keys| ("DIVVY_KEYS".to_owned(), keys.clone()));
            let options = VmOptions {
                environment: keys.collect(),
                ..VmOptions::default()
            };
            let process = Process::default();
            process.clock().set_realtime(ways::now() * 1_000_000);
            Vm::start_with(&module, &process, options).unwrap()
        });
        let root = accept(vm, &group.config);
        for case in group.cases {
            // The filter takes an empty map for an unreadable one.
            let mut request = Headers::from([(":scheme", "http")]);
            for (name, value) in &case.headers {
                request.add(std::str::from_utf8(name).unwrap(), value);
            }
            let exchange = Exchange {
                request,
                properties: case.properties(),
                ..Exchange::get("/").status(200)
            };
            let stream = vm.exchange(root, &exchange).unwrap();
            assert_eq!(route(&stream), case.route, "{}: {case:?}", group.name);
            assert_eq!(unit(&stream), case.unit, "{}: {case:?}", group.name);
            assert_eq!(
                assignment(&stream),
                case.assignment,
                "{}: {case:?}",
                group.name
            );
        }
    }
}
