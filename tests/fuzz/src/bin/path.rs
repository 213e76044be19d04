//! The target of a request: the end of its path, and path prefixes.
#![no_main]

use std::sync::LazyLock;

use divvy::policy::Policy;
use divvy::request::Request;
use divvy::{config, output};
use divvy_fuzz::{invariants, is_part, policies};
use libfuzzer_sys::fuzz_target;

static UNDER_SHOP: LazyLock<Policy> = LazyLock::new(|| {
    let config = br#"{"rollouts": [{
        "name": "shop", "match": [{"path": {"prefix": "/shop"}}],
        "versions": [{"name": "v1"}], "stable": "v1", "strategy": {"blueGreen": {"active": "v1"}}
    }]}"#;
    config::parse(config).expect("it is valid")
});

fuzz_target!(|target: &[u8]| {
    let policy = policies::rich();
    let headers = [(&b":path"[..], target)];
    let request = Request::from_headers(&policy.names, headers);
    let path = request.path().expect("there is a target");
    assert!(is_part(path, target) && !path.contains(&b'?'));
    match request.query() {
        Some(query) => assert_eq!([path, b"?", query].concat(), target),
        None => assert_eq!(path, target),
    }
    invariants::check_lines(policy, &headers);

    // A second implementation of path prefixes.
    let under = path == b"/shop" || path.starts_with(b"/shop/");
    assert_eq!(matches(target), under);
    let below = [b"/shop/", target].concat();
    let beside = [b"/shopx", target].concat();
    assert!(matches(&below) && !matches(&beside));
});

fn matches(target: &[u8]) -> bool {
    let decisions = invariants::check_lines(&UNDER_SHOP, &[(b":path", target)]);
    output::assignment(&UNDER_SHOP, &decisions).is_some()
}
