//! Values that pretend to be signed, and the variable with the keys.
//!
//! The first line is a value of `DIVVY_KEYS`, the others are a sticky cookie, a minted identity, and
//! overrides by header, cookie and query. No bytes have a valid signature, so a request with them
//! is decided like one without them.
#![no_main]

use std::cell::Cell;
use std::sync::LazyLock;

use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy::signature::{KeyPurpose, KeyRing, SignatureResult};
use divvy::{config, decide, output};
use divvy_fuzz::Pair;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Maximum number of signatures that are computed for a request.
const MAX_VERIFIED: u32 = 16;

/// One policy for each place of an override.
static POLICIES: LazyLock<[Policy; 3]> = LazyLock::new(|| {
    let keys = KeyRing::read(Some(b"2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"));
    ["header", "cookie", "query"].map(|place| {
        let config = json!({
            "identity": [{"cookie": "uid", "mint": {"maxAge": "30d", "signed": true}}],
            "overrides": {place: "x-override"},
            "rollouts": [{
                "name": "checkout", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
                "target": "{version}", "strategy": {"canary": {"version": "v2", "weight": 50}},
                "sticky": {"cookie": "got", "signed": true, "maxAge": "30d"},
            }],
        });
        let policy = config::parse_with(config.to_string().as_bytes(), &keys);
        policy.unwrap_or_else(|errors| panic!("{errors}"))
    })
});

/// A fixed clock and fixed random bits; counts signatures that are not valid.
#[derive(Debug, Default)]
struct World {
    refused: Cell<u32>,
}

impl Environment for World {
    fn random_bits(&self) -> Option<[u8; 16]> {
        Some([9; 16])
    }

    fn now(&self) -> Option<u64> {
        Some(1_796_083_200_000)
    }

    fn count_signature(&self, purpose: KeyPurpose, result: SignatureResult) {
        assert_ne!(result, SignatureResult::Ok, "{purpose:?} is forged");
        if result == SignatureResult::Bad {
            self.refused.set(self.refused.get() + 1);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    check_keys(line());
    let [sticky, minted, header, cookie, query] = std::array::from_fn(|_| line());

    let cookies = [b"got=", sticky, b"; uid=", minted, b"; x-override=", cookie].concat();
    let path = [b"/a?b=c&x-override=", query, b"&d"].concat();
    let forged: [Pair<'_>; 4] = [
        (b":authority", b"shop.example"),
        (b":path", &path),
        (b"cookie", &cookies),
        (b"x-override", header),
    ];
    let honest: [Pair<'_>; 2] = [(b":authority", b"shop.example"), (b":path", b"/a?b=c&d")];
    for policy in &*POLICIES {
        assert_eq!(assignment(policy, &forged), assignment(policy, &honest));
    }
});

fn assignment(policy: &Policy, headers: &[Pair<'_>]) -> Option<String> {
    let world = World::default();
    let request = Request::from_headers(&policy.names, headers.iter().copied());
    let request = request.with_environment(&world);
    let outcome = decide::decide(policy, &request);
    for line in output::cookies(policy, &request, &outcome) {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
    }
    assert!(world.refused.get() <= MAX_VERIFIED);
    output::assignment(policy, &outcome.decisions)
}

/// Keys have ids of the alphabet, and no message shows a key.
fn check_keys(value: &[u8]) {
    let ring = KeyRing::read(Some(value));
    assert!(ring.ids().len() <= 4);
    for id in ring.ids() {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        assert!((1..=8).contains(&id.len()) && id.bytes().all(valid), "{id}");
    }
    let KeyRing::Invalid(messages) = ring else {
        return;
    };
    assert!(!messages.is_empty());
    // No word of the messages has 20 letters.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let text = String::from_utf8_lossy(value);
    let keys = text.split(',').filter_map(|entry| entry.split_once(':'));
    for (_, key) in keys.filter(|(_, key)| key.len() > 20 && key.bytes().all(is_letter)) {
        let shown = messages.iter().any(|message| message.contains(key));
        assert!(!shown, "{messages:?}");
    }
}
