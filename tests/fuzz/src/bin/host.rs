//! The host of a request, and the rollouts that match it.
#![no_main]

use std::sync::LazyLock;

use divvy::policy::Policy;
use divvy::request::Request;
use divvy::{config, output};
use divvy_fuzz::{invariants, policies};
use libfuzzer_sys::fuzz_target;

static BELOW_SHOP: LazyLock<Policy> = LazyLock::new(|| {
    let config = br#"{"rollouts": [{
        "name": "shop", "match": [{"hosts": ["*.shop.example"]}],
        "versions": [{"name": "v1"}], "stable": "v1", "strategy": {"blueGreen": {"active": "v1"}}
    }]}"#;
    config::parse(config).expect("it is valid")
});

fuzz_target!(|authority: &[u8]| {
    let host = host_of(authority);
    assert!(!host.iter().any(u8::is_ascii_uppercase));
    assert!(host.len() <= authority.len());
    assert!(
        authority.to_ascii_lowercase().starts_with(&host),
        "only the end is removed"
    );

    // Upper case, a port and a final dot do not change the host.
    assert_eq!(host_of(&authority.to_ascii_uppercase()), host);
    if !authority.contains(&b':') && !authority.starts_with(b"[") {
        assert_eq!(host_of(&[authority, b":8080"].concat()), host);
        if !authority.ends_with(b".") {
            assert_eq!(host_of(&[authority, b"."].concat()), host);
            assert_eq!(host_of(&[authority, b".:443"].concat()), host);
            assert_eq!(host_of(&host), host);
        }
    }

    let bracketed = [b"[2001:db8::", authority, b"]"].concat();
    assert_eq!(
        host_of(&[&bracketed, &b":80"[..]].concat()),
        host_of(&bracketed)
    );

    // A wildcard matches one label or more.
    let labels = host.strip_suffix(b".shop.example");
    let below = labels.is_some_and(|labels| !labels.is_empty());
    assert_eq!(
        matches(authority),
        below && host.len() <= invariants::LONGEST_HOST
    );

    let headers = [
        (&b":authority"[..], authority),
        (b":path", b"/checkout"),
        (b":method", b"GET"),
    ];
    invariants::check_lines(policies::rich(), &headers);
});

fn host_of(authority: &[u8]) -> Vec<u8> {
    let names = &policies::rich().names;
    let request = Request::from_headers(names, [(&b":authority"[..], authority)]);
    request.host().expect("there is a host").to_vec()
}

fn matches(authority: &[u8]) -> bool {
    let decisions = invariants::check_lines(&BELOW_SHOP, &[(b":authority", authority)]);
    output::assignment(&BELOW_SHOP, &decisions).is_some()
}
