//! The target of a request: where the path ends, and at what a prefix of it ends.
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
    invariants::hold_for(policy, &headers);

    // The whole rule of path prefixes, said once more.
    let under = path == b"/shop" || path.starts_with(b"/shop/");
    assert_eq!(looked_at(target), under);
    let below = [b"/shop/", target].concat();
    let beside = [b"/shopx", target].concat();
    assert!(looked_at(&below) && !looked_at(&beside));
});

fn looked_at(target: &[u8]) -> bool {
    let decisions = invariants::hold_for(&UNDER_SHOP, &[(b":path", target)]);
    output::assignment(&UNDER_SHOP, &decisions).is_some()
}
