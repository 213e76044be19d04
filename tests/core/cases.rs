//! `tests/cases/decisions.json` natively. The same table is run through the built filter
//! by `tests/host`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_macros,
    missing_docs,
    reason = "a test"
)]

use divvy::request::Request;
use divvy::{config, decide, output};
use serde_json::Value;

#[test]
fn every_case_of_the_table_is_decided_as_it_says() {
    let groups: Value = serde_json::from_str(include_str!("../cases/decisions.json")).unwrap();
    let mut cases = 0;
    for group in groups.as_array().unwrap() {
        let policy = config::parse(group["config"].to_string().as_bytes())
            .unwrap_or_else(|errors| panic!("{}: {errors}", group["name"]));
        for case in group["cases"].as_array().unwrap() {
            let headers: Vec<(Vec<u8>, Vec<u8>)> = case["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| (latin1(&pair[0]), latin1(&pair[1])))
                .collect();
            let pairs = headers.iter().map(|(name, value)| (&name[..], &value[..]));
            let request = Request::from_headers(&policy.names, pairs);
            let decisions = decide::decide(&policy, &request).decisions;
            let what = format!("{}: {}", group["name"], case["headers"]);
            let assignment = output::assignment(&policy, &decisions);
            assert_eq!(assignment.as_deref(), case["assignment"].as_str(), "{what}");
            let route = output::route(&policy, &decisions);
            assert_eq!(route, case["route"].as_str(), "{what}");
            cases += 1;
        }
    }
    assert!(cases >= 100, "only {cases} cases");
}

/// A header in the table: a character is a byte, so `ÿ` is 0xff.
fn latin1(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}
