//! What a proxy would know of a request beside its headers, as the command line gives it. Must
//! not depend on other modules.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use divvy::policy::{Policy, RolloutId, VersionId};
use divvy::request::{Claim, Direction, Environment, serialize_pairs};
use serde_json::Value;

/// Fixed answers for everything that a decision may ask the proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenEnvironment {
    /// Claims of the verified token.
    pub claims: Option<Value>,
    /// Source address of the request.
    pub source: Option<IpAddr>,
    /// URI in the certificate of the client.
    pub peer: Option<String>,
    /// Whether the listener is an outbound one of a sidecar.
    pub outbound: bool,
    /// Time in milliseconds since 1970.
    pub now: Option<u64>,
    /// 128 random bits.
    pub random: Option<[u8; 16]>,
    /// Versions that the proxy cannot reach.
    pub unreachable: Vec<(RolloutId, VersionId)>,
}

impl GivenEnvironment {
    /// An environment that knows only the time, in milliseconds since 1970.
    pub fn at(now: u64) -> Self {
        Self {
            now: Some(now),
            ..Self::default()
        }
    }
}

impl Environment for GivenEnvironment {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        Some(self.peer.clone()?.into_bytes())
    }

    fn listener_direction(&self) -> Option<Direction> {
        Some(if self.outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        })
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        let address = SocketAddr::new(self.source?, 4711);
        Some(address.to_string().into_bytes())
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        // The first segment is the metadata key of jwt_authn; claims are the same under
        // each.
        let mut segments = claim.segments().skip(1);
        let claims = self.claims.as_ref()?;
        let claim = segments.try_fold(claims, |value, segment| value.get(segment))?;
        serialized(claim)
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        self.random
    }

    fn now(&self) -> Option<u64> {
        self.now
    }

    fn is_unreachable(&self, rollout: RolloutId, version: VersionId) -> bool {
        self.unreachable.contains(&(rollout, version))
    }
}

/// The bytes of a property in Envoy's format, which has no types. `None` for a value that
/// contains null.
fn serialized(value: &Value) -> Option<Vec<u8>> {
    let pairs: Option<Vec<(Vec<u8>, Vec<u8>)>> = match value {
        Value::Null => return None,
        Value::Bool(flag) => return Some(vec![u8::from(*flag)]),
        Value::Number(number) => return Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::String(text) => return Some(text.clone().into_bytes()),
        Value::Array(list) => {
            let pair = |item: &Value| Some((serialized(item)?, Vec::new()));
            list.iter().map(pair).collect()
        }
        Value::Object(map) => {
            let pair = |(name, item): (&String, &Value)| {
                Some((name.clone().into_bytes(), serialized(item)?))
            };
            map.iter().map(pair).collect()
        }
    };
    Some(serialize_pairs(&pairs?))
}

/// The versions of `--unreachable`: `VERSION` of each rollout that has it, or `ROLLOUT=VERSION`.
pub fn unreachable(policy: &Policy, given: &[String]) -> Result<Vec<(RolloutId, VersionId)>> {
    let mut all = Vec::new();
    for text in given {
        let (only, name) = match text.split_once('=') {
            Some((rollout, version)) => (Some(rollout), version),
            None => (None, text.as_str()),
        };
        let before = all.len();
        for (id, rollout) in policy.numbered() {
            if only.is_none_or(|only| *rollout.name == *only) {
                let version = rollout.version_of_name(name);
                all.extend(version.map(|version| (id, version)));
            }
        }
        ensure!(
            all.len() > before,
            "{text:?} is not a version: write VERSION, or ROLLOUT=VERSION"
        );
    }
    Ok(all)
}

/// The time of `--at` in milliseconds since 1970; the current time without it.
pub fn time_or_now(at: Option<&str>) -> Result<u64> {
    let instant = match at {
        Some(text) => humantime::parse_rfc3339(text)
            .with_context(|| format!("{text:?} is not an instant such as 2026-12-01T09:00:00Z"))?,
        None => SystemTime::now(),
    };
    let since = instant.duration_since(SystemTime::UNIX_EPOCH);
    Ok(u64::try_from(
        since.context("the time is before 1970")?.as_millis(),
    )?)
}
