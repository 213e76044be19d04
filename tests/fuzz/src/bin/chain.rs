//! Assignments of a trusted upstream proxy, and sticky cookies: the first line is the assignment,
//! the second the cookie of a sticky rollout.
#![no_main]

use std::sync::LazyLock;

use divvy::decide::{Outcome, decide};
use divvy::output::{self, HeaderChange};
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy_fuzz::invariants;
use libfuzzer_sys::fuzz_target;

const CHAIN: &[u8] = include_bytes!("../../chain.json");

static POLICY: LazyLock<Policy> = LazyLock::new(|| divvy::config::parse(CHAIN).expect("valid"));

/// The peer of the connection.
#[derive(Debug)]
struct Peer(&'static str);

impl Environment for Peer {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        Some(self.0.into())
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        Some([7; 16])
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (assignment, cookie) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let policy = &*POLICY;
    for path in [&b"/"[..], b"/search/x"] {
        let cookies = [b"got=", cookie, b"; arm=", cookie].concat();
        let headers: [(&[u8], &[u8]); 5] = [
            (b":path", path),
            (b":method", b"GET"),
            (b"accept", b"text/html"),
            (b"cookie", &cookies),
            (b"x-divvy-assignment", assignment),
        ];
        let [trusted, untrusted] = [
            Peer("spiffe://td/ns/a/sa/b"),
            Peer("spiffe://evil/ns/a/sa/b"),
        ];
        let honoured = Request::from_headers(&policy.names, headers).with_environment(&trusted);
        let outcome = invariants::check(policy, &honoured);

        // An assignment of an untrusted peer changes nothing.
        let forged = Request::from_headers(&policy.names, headers).with_environment(&untrusted);
        let honest = Request::from_headers(&policy.names, headers[..4].iter().copied());
        let honest = honest.with_environment(&untrusted);
        let (forged, honest) = (decide(policy, &forged), decide(policy, &honest));
        assert_eq!(forged, honest, "a forged assignment");

        // The next proxy reads and forwards the same assignment.
        let sent = assignment_of(policy, &honoured, &outcome);
        let again = [
            headers[0],
            headers[1],
            (b"x-divvy-assignment", sent.as_bytes()),
        ];
        let again = Request::from_headers(&policy.names, again).with_environment(&trusted);
        let next = decide(policy, &again);
        assert_eq!(next.forwarded, outcome.forwarded, "{sent}");

        // A cookie that the client returns is not set again.
        let given = output::cookies(policy, &honoured, &outcome);
        let back: Vec<_> = given
            .iter()
            .filter_map(|line| line.split(';').next())
            .collect();
        let back = back.join("; ");
        let with_cookies = [
            headers[0],
            headers[1],
            headers[2],
            (b"cookie", back.as_bytes()),
        ];
        let with_cookies = Request::from_headers(&policy.names, with_cookies);
        let with_cookies = with_cookies.with_environment(&untrusted);
        if !outcome.memories.is_empty() && outcome.forwarded.is_empty() {
            let next = decide(policy, &with_cookies);
            for (rollout, memory) in &outcome.memories {
                let same = next.memories.iter().find(|(of, _)| of == rollout);
                assert!(
                    same.is_none_or(|(_, new)| new != memory),
                    "{back}: set twice"
                );
            }
        }
    }
});

fn assignment_of(policy: &Policy, request: &Request<'_>, outcome: &Outcome<'_>) -> String {
    let mut sent = String::new();
    output::change_request(policy, request, outcome, &mut Vec::new(), |change| {
        if let HeaderChange::Set("x-divvy-assignment", value) = change {
            sent = String::from_utf8(value.to_vec()).expect("text");
        }
    });
    sent
}
