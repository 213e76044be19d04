//! Signed sticky cookies, minted identities and overrides: what is valid, what is counted, and what a
//! change of the keys does.
mod keys;
mod minted;
mod overrides;
mod sticky;
mod units;

use std::cell::RefCell;
use std::collections::BTreeMap;

use divvy::output::{self, HeaderChange};
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy::signature::{KeyPurpose, KeyRing, SignatureResult};
use divvy::{config, decide};
use serde_json::{Value, json};

/// 2026-12-01T00:00:00Z in milliseconds.
const NOW: u64 = 1_796_083_200_000;
const HOUR: u64 = 3_600_000;

const OLD: &str = "2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const NEW: &str = "2027a:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

/// A proxy: its keys, its configuration and its clock.
#[derive(Debug)]
struct Site {
    policy: Policy,
    world: Clocked,
}

/// Counts results by purpose.
#[derive(Debug)]
struct Clocked {
    now: Option<u64>,
    counts: RefCell<BTreeMap<(KeyPurpose, SignatureResult), u32>>,
}

impl Environment for Clocked {
    fn random_bits(&self) -> Option<[u8; 16]> {
        Some([9; 16])
    }

    fn now(&self) -> Option<u64> {
        self.now
    }

    fn count_signature(&self, purpose: KeyPurpose, result: SignatureResult) {
        *self
            .counts
            .borrow_mut()
            .entry((purpose, result))
            .or_default() += 1;
    }
}

/// What a request becomes.
#[derive(Debug, Default)]
struct Visit {
    assignment: String,
    cookies: Vec<String>,
    /// Header changes, without divvy's own headers.
    changes: Vec<(String, Option<String>)>,
}

impl Visit {
    /// The value of a cookie in the response.
    fn cookie(&self, name: &str) -> Option<String> {
        let begin = format!("{name}=");
        let line = self
            .cookies
            .iter()
            .find_map(|line| line.strip_prefix(&begin))?;
        line.split(';').next().map(ToOwned::to_owned)
    }
}

fn ring(keys: &str) -> KeyRing {
    KeyRing::read(Some(keys.as_bytes()))
}

impl Site {
    fn new(config: &Value, keys: &str) -> Self {
        let policy = config::parse_with(config.to_string().as_bytes(), &ring(keys));
        Self {
            policy: policy.unwrap_or_else(|errors| panic!("{errors}")),
            world: Clocked {
                now: Some(NOW),
                counts: RefCell::default(),
            },
        }
    }

    fn at(mut self, now: u64) -> Self {
        self.world.now = Some(now);
        self
    }

    fn visit<'h>(&'h self, headers: &'h [(&'h str, &'h str)]) -> Visit {
        let bytes = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.visit_with(bytes)
    }

    fn visit_with<'h>(&'h self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Visit {
        let policy = &self.policy;
        let request = Request::from_headers(&policy.names, headers).with_environment(&self.world);
        let outcome = decide::decide(policy, &request);
        let mut visit = Visit {
            assignment: output::assignment(policy, &outcome.decisions).unwrap_or_default(),
            cookies: output::cookies(policy, &request, &outcome),
            changes: Vec::new(),
        };
        output::change_request(policy, &request, &outcome, &mut Vec::new(), |change| {
            let (name, value) = match change {
                HeaderChange::Set(name, value) => {
                    (name, Some(String::from_utf8_lossy(value).into_owned()))
                }
                HeaderChange::Remove(name) => (name, None),
            };
            if !name.starts_with("x-divvy-") {
                visit.changes.push((name.to_owned(), value));
            }
        });
        visit
    }

    /// How often a result was counted.
    fn count(&self, purpose: KeyPurpose, result: SignatureResult) -> u32 {
        let counts = self.world.counts.borrow();
        counts.get(&(purpose, result)).copied().unwrap_or_default()
    }

    fn total(&self) -> u32 {
        self.world.counts.borrow().values().sum()
    }
}

/// A rollout `checkout` of v1 and v2 with a signed sticky canary.
fn sticky(weight: f64, fields: &Value) -> Value {
    let mut cookie = json!({"cookie": "got", "signed": true, "maxAge": "30d"});
    for (name, value) in fields.as_object().unwrap() {
        cookie[name] = value.clone();
    }
    json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "checkout", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "target": "{version}", "strategy": {"canary": {"version": "v2", "weight": weight}},
            "sticky": cookie,
        }],
    })
}

/// Each byte of a text replaced by another of its alphabet, and by one outside of it.
fn flipped(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len()).flat_map(move |place| {
        [1_u8, 2, 4, 16, 64, 128].map(|bit| {
            let mut changed = bytes.clone();
            changed[place] ^= bit;
            changed
        })
    })
}
