//! The tables of `tests/cases` on the built filter; `tests/core` runs them on the library. The
//! serialized header map, the host calls and the release build are between the two.

use divvy_cases::groups;
use divvy_host_tests::fixture::{accept, assignment, route, unit};
use divvy_host_tests::{Exchange, Headers, Module, Process, Vm};

#[test]
fn every_case_of_the_tables_gets_its_decision() {
    let mut vm = Vm::start(&Module::filter(), &Process::default()).unwrap();
    for group in groups() {
        let root = accept(&mut vm, &group.config);
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
