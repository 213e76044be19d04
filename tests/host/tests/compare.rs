//! The comparison of two builds finds planted differences, and none between equal builds.

use divvy_host_tests::Module;
use divvy_host_tests::compare::{Options, Report, compare};

fn with_filter(other: &Module) -> Report {
    let options = Options {
        configurations: 60,
        first: 0,
        requests: 30,
        seed: 1,
        threads: 2,
        log: true,
        without_flags: 0,
    };
    compare([&Module::filter(), other], options)
}

#[test]
fn a_build_does_not_differ_from_itself() {
    let report = with_filter(&Module::filter());
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    assert!(report.accepted >= 60 && report.refused > 0, "{report:?}");
    assert!(report.reasons.len() >= 8, "{:?}", report.reasons);
}

#[test]
fn a_build_with_another_cookie_or_metric_differs() {
    let filter = std::fs::read(Module::filter_path()).unwrap();
    for (text, other) in [
        ("HttpOnly", "HttpOnlx"),
        ("divvy_weight_ppm", "divvy_weight_ppx"),
    ] {
        let mut bytes = filter.clone();
        let mut places = bytes.windows(text.len());
        let place = places.position(|part| part == text.as_bytes()).unwrap();
        bytes[place..place + text.len()].copy_from_slice(other.as_bytes());
        let report = with_filter(&Module::compile(&bytes, false).unwrap());
        assert!(!report.differences.is_empty(), "{text}");
    }
}
