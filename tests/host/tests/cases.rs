//! `tests/cases/decisions.json` through the built filter; `tests/core` runs the same table
//! through the library. What the two answer can differ only by what lies between: the
//! serialized header map, the host calls and the release build.

use divvy_host_tests::fixture::{accept, assignment, route};
use divvy_host_tests::{Exchange, Headers, Module, Process, Vm};
use serde_json::Value;

/// A header in the table: a character is a byte, so `ÿ` is 0xff.
fn latin1(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[test]
fn every_case_of_the_table_is_decided_as_it_says() {
    let groups: Value = serde_json::from_str(include_str!("../../cases/decisions.json")).unwrap();
    let mut vm = Vm::start(&Module::filter(), &Process::default()).unwrap();
    for group in groups.as_array().unwrap() {
        let root = accept(&mut vm, &group["config"]);
        for case in group["cases"].as_array().unwrap() {
            // No request is without headers, and an empty map is taken for one unread.
            let mut request = Headers::from([(":scheme", "http")]);
            for pair in case["headers"].as_array().unwrap() {
                let name = String::from_utf8(latin1(&pair[0])).unwrap();
                request.add(&name, latin1(&pair[1]));
            }
            let exchange = Exchange {
                request,
                ..Exchange::get("/").status(200)
            };
            let stream = vm.exchange(root, &exchange).unwrap();
            let what = format!("{}: {}", group["name"], case["headers"]);
            assert_eq!(route(&stream).as_deref(), case["route"].as_str(), "{what}");
            let assigned = assignment(&stream);
            assert_eq!(assigned.as_deref(), case["assignment"].as_str(), "{what}");
        }
    }
}
