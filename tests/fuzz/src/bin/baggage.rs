//! The lines of W3C baggage, with a member for the assignment.
#![no_main]

use std::sync::LazyLock;

use divvy::assignment::baggage;
use divvy::decide::decide;
use divvy::output::{self, HeaderChange};
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy_fuzz::invariants;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let chain = include_str!("../../chain.json");
    let mut config: Value = serde_json::from_str(chain).expect("the file is JSON");
    config["headers"] =
        json!({"route": "x-divvy-route", "mirror": "x-divvy-mirror", "baggage": "divvy"});
    config["trust"]["from"] = json!("baggage");
    divvy::config::parse(config.to_string().as_bytes()).expect("valid")
});

/// The peer of the connection.
#[derive(Debug)]
struct Peer(&'static str);

impl Environment for Peer {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        Some(self.0.into())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let policy = &*POLICY;
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let [trusted, untrusted] = [
        Peer("spiffe://td/ns/a/sa/b"),
        Peer("spiffe://evil/ns/a/sa/b"),
    ];
    let headers = lines.iter().map(|line| (&b"baggage"[..], *line));
    let headers = headers.chain([(&b":path"[..], &b"/search/x"[..])]);
    let honoured = Request::from_headers(&policy.names, headers.clone());
    let honoured = honoured.with_environment(&trusted);
    let outcome = invariants::check(policy, &honoured);

    // Baggage of an untrusted peer changes no decision.
    let forged = Request::from_headers(&policy.names, headers).with_environment(&untrusted);
    let honest = Request::from_headers(&policy.names, [(&b":path"[..], &b"/search/x"[..])]);
    let honest = honest.with_environment(&untrusted);
    assert_eq!(
        invariants::check(policy, &forged),
        decide(policy, &honest),
        "forged baggage"
    );

    // The next proxy reads and forwards the same assignment.
    let mut sent = None;
    let full = output::change_request(policy, &honoured, &outcome, &mut Vec::new(), |change| {
        if let HeaderChange::Set("baggage", value) = change {
            sent = Some(value.to_vec());
        }
    });
    if let (false, Some(sent)) = (full, sent) {
        assert!(baggage::find([&*sent].into_iter(), "divvy").is_some());
        let again = [(&b"baggage"[..], &*sent), (b":path", b"/search/x")];
        let again = Request::from_headers(&policy.names, again).with_environment(&trusted);
        let next = decide(policy, &again);
        assert_eq!(next.forwarded, outcome.forwarded);
    }
});
