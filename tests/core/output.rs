//! Changes of headers that follow from decisions.

use divvy::config;
use divvy::decide::{Outcome, decide, decide_unread};
use divvy::output::*;
use divvy::policy::*;
use divvy::request::Request;

fn policy(match_: &str) -> Policy {
    let rollout = |name: &str, match_: &str| {
        format!(
            r#"{{"name": "{name}", {match_} "target": "{name}-{{version}}", "stable": "v1",
            "versions": [{{"name": "v1"}}, {{"name": "v2"}}],
            "strategy": {{"blueGreen": {{"active": "v2"}}}}}}"#
        )
    };
    let text = format!(
        r#"{{"rollouts": [{}, {}]}}"#,
        rollout("shop", match_),
        rollout("all", "")
    );
    config::parse(text.as_bytes()).unwrap()
}

fn shown<'p>(run: impl FnOnce(&mut dyn FnMut(HeaderChange<'p, '_>))) -> Vec<String> {
    let mut shown = Vec::new();
    run(&mut |change| {
        shown.push(match change {
            HeaderChange::Set(name, value) => {
                format!("{name}: {}", String::from_utf8_lossy(value))
            }
            HeaderChange::Remove(name) => format!("-{name}"),
        });
    });
    shown
}

#[test]
fn every_reserved_header_that_arrived_is_set_or_removed() {
    let policy = &policy(r#""match": [{"hosts": ["shop.example"]}],"#);
    let forged: [(&[u8], &[u8]); 4] = [
        (b":authority", b"shop.example"),
        (b"x-divvy-route", b"a"),
        (b"x-divvy-route", b"b"),
        (b"x-divvy-mirror", b"c"),
    ];
    let request = Request::from_headers(&policy.names, forged);
    let outcome = decide(policy, &request);
    let (nothing, unread) = (Outcome::default(), decide_unread(policy));
    assert_eq!(
        shown(|change| {
            change_request(policy, &request, &outcome, &mut Vec::new(), change);
        }),
        [
            "x-divvy-route: shop-v2",
            "x-divvy-assignment: shop=v2;reason=active, all=v2;reason=active",
            "-x-divvy-mirror",
        ]
    );
    assert_eq!(
        shown(|change| {
            change_request(policy, &request, &nothing, &mut Vec::new(), change);
        }),
        ["-x-divvy-route", "-x-divvy-mirror"]
    );
    assert_eq!(
        shown(|change| strip(policy, change)),
        [
            "-x-divvy-route",
            "-x-divvy-assignment",
            "-x-divvy-mirror",
            "-x-divvy-unit"
        ]
    );
    assert_eq!(
        shown(|change| change_blindly(policy, &unread, change)),
        [
            "-x-divvy-route",
            "x-divvy-assignment: all=v1;reason=error",
            "-x-divvy-mirror",
            "-x-divvy-unit"
        ]
    );
}

#[test]
fn a_request_that_cannot_be_read_is_stable_for_rollouts_that_match_all_requests() {
    let policy = policy(r#""match": [{"hosts": ["shop.example"]}],"#);
    let decisions = decide_unread(&policy).decisions;
    let assignment = assignment(&policy, &decisions);
    assert_eq!(assignment.as_deref(), Some("all=v1;reason=error"));
}
