//! The owner of keys, who signs with the library, and changes of what it signed.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use divvy::bucket::Position;
use divvy::config;
use divvy::cookies::Memory;
use divvy::overrides::OverrideClaims;
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy::signature::{KeyPurpose, KeyRing};
use serde_json::Value;

/// An hour in seconds.
pub const HOUR: u64 = 3_600;

/// A clock, in milliseconds since 1970.
#[derive(Debug)]
struct Clock(u64);

impl Environment for Clock {
    fn now(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// The owner of keys.
pub struct Signer {
    policy: Policy,
    ring: KeyRing,
    /// Seconds since 1970.
    pub now: u64,
}

impl Signer {
    pub fn new(configuration: &Value, keys: &str) -> Result<Signer> {
        let ring = KeyRing::read(Some(keys.as_bytes()));
        let policy = config::parse_with(configuration.to_string().as_bytes(), &ring);
        Ok(Signer {
            policy: policy.map_err(|errors| anyhow!("{errors}"))?,
            ring,
            now: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        })
    }

    /// A sticky cookie for v2 that was written at this time, for a client without a minted identity
    /// or with this one.
    pub fn sticky(&self, written: u64, identity: Option<&str>) -> Result<String> {
        let rollout = self.policy.rollouts.first().context("a rollout")?;
        let sticky = rollout.sticky.as_ref().context("a sticky rollout")?;
        let memory = Memory {
            version: rollout.version_of_name("v2"),
            position: Position::read(b"7").context("a position")?,
            minute: None,
        };
        let clock = Clock(written * 1_000);
        let request = Request::new(&self.policy.names).with_environment(&clock);
        let line = sticky.line("v2", &memory, &request, identity.map(str::as_bytes));
        value_of(&line.context("a cookie")?)
    }

    /// The cookie of a minted identity.
    pub fn identity(&self, uuid: &str) -> Result<String> {
        let mint = self.policy.mint.as_ref().context("a minted cookie")?;
        mint.identities.value(uuid).context("an identity")
    }

    /// An override of `checkout` for v2 that differs from a good one in this.
    pub fn token(&self, change: impl FnOnce(&mut OverrideClaims<'_>)) -> Result<String> {
        let mut claims = OverrideClaims {
            rollout: "checkout",
            version: "v2",
            identity: None,
            host: None,
            from: self.now,
            to: self.now + HOUR,
            random: [0x5a, 1, 0xc3, 7, 0x99, 4, 0xee, 2],
        };
        change(&mut claims);
        let token = claims.sign(&self.ring.of(KeyPurpose::Override));
        token.context("a token")
    }
}

fn value_of(line: &str) -> Result<String> {
    let value = line.split(';').next().and_then(|pair| pair.split_once('='));
    Ok(value.context("a cookie has a value")?.1.to_owned())
}

/// Each byte of a text replaced by others that Envoy accepts in a header or, with `is_text`, in a query.
pub fn flipped(text: &str, is_text: bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for place in 0..text.len() {
        for bit in [1, 2, 4, 32, 128] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] ^= bit;
            let byte = bytes[place];
            let is_sent =
                byte.is_ascii_alphanumeric() || (!is_text && (byte > 0x7f || byte == b'%'));
            if is_sent {
                all.push(bytes);
            }
        }
    }
    all
}
