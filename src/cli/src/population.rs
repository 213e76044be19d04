//! Users, and the requests with which they come to a rollout.

use std::path::Path;
use std::{fs, net};

use anyhow::{Context as _, Result, bail};
use divvy::decide::{self, Outcome};
use divvy::policy::Policy;
use divvy::request::Request;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::explain::ask::{Headers, Known};

/// Who the users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Population {
    /// `user-1`, `user-2` and so on.
    Sequence,
    /// UUIDs, from a seed.
    Uuid(u64),
    /// The lines of a file.
    Listed(Vec<String>),
}

impl Population {
    /// `seq`, `uuid`, or the name of a file.
    pub fn read(text: &str, seed: u64) -> Result<Self> {
        match text {
            "seq" => Ok(Self::Sequence),
            "uuid" => Ok(Self::Uuid(seed)),
            path => {
                let text = fs::read_to_string(Path::new(path)).with_context(|| path.to_owned())?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let lines: Vec<_> = lines.map(str::to_owned).collect();
                if lines.is_empty() {
                    bail!("{path}: no users in it, one a line");
                }
                Ok(Self::Listed(lines))
            }
        }
    }

    /// How many there are at most.
    pub fn most(&self, wanted: usize) -> usize {
        match self {
            Self::Listed(lines) => lines.len(),
            _ => wanted,
        }
    }

    /// The first so many of them.
    pub fn users(&self, number: usize) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            Self::Sequence => Box::new((1..=number).map(|nth| format!("user-{nth}"))),
            Self::Uuid(seed) => {
                let mut random = Pcg64Mcg::seed_from_u64(*seed);
                Box::new((0..number).map(move |_| {
                    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
                    let hex = format!("{bits:032x}");
                    // Version 4, variant 1.
                    let variant = ["8", "9", "a", "b"][(bits >> 62) as usize & 3];
                    [
                        &hex[..8],
                        "-",
                        &hex[8..12],
                        "-4",
                        &hex[13..16],
                        "-",
                        variant,
                        &hex[17..20],
                        "-",
                        &hex[20..],
                    ]
                    .concat()
                }))
            }
            Self::Listed(lines) => Box::new(lines.iter().take(number).cloned()),
        }
    }
}

/// Requests that a rollout looks at, of one user after another.
#[derive(Clone, Debug)]
pub struct Visitor {
    headers: Headers,
    /// The sources that the user's name goes into; all parts of a `concat`.
    sources: Vec<Value>,
    known: Known,
}

impl Visitor {
    /// Requests that the rollout of this configuration looks at: those that the first entry of
    /// its `match` describes, without anything that only a condition asks for.
    pub fn of(config: &Value, rollout: &Value, now: Option<u64>) -> Self {
        let scope = rollout.pointer("/match/0");
        let first = |key: &str| {
            let list = scope.and_then(|scope| scope.get(key));
            list.and_then(|list| list.get(0)).and_then(Value::as_str)
        };
        let host = first("hosts").unwrap_or("example.com").replace('*', "www");
        let operand = scope.and_then(|scope| scope.get("path")).and_then(|path| {
            ["exact", "prefix"]
                .iter()
                .find_map(|key| path.get(*key)?.as_str())
        });
        let headers = [
            (":method", first("methods").unwrap_or("GET")),
            (":scheme", "https"),
            (":authority", &host),
            (":path", operand.unwrap_or("/")),
        ];
        let source = config
            .pointer("/identity/0")
            .cloned()
            .unwrap_or(Value::Null);
        let sources = match source.get("concat").and_then(Value::as_array) {
            Some(parts) => parts.clone(),
            None => vec![source],
        };
        let owned = headers.map(|(name, value)| (name.into(), value.into()));
        Self {
            headers: owned.into(),
            sources,
            known: Known {
                now,
                ..Known::default()
            },
        }
    }

    /// Whether both make the same requests.
    pub fn is_like(&self, other: &Self) -> bool {
        self.headers == other.headers && self.sources == other.sources
    }

    /// What is decided for a request of this user.
    pub fn decide<T>(
        &self,
        policy: &Policy,
        user: &str,
        then: impl FnOnce(&Outcome<'_>) -> T,
    ) -> T {
        let text =
            |source: &Value, key: &str| source.get(key).and_then(Value::as_str).map(str::to_owned);
        // Nearly always one header; all else takes a bit longer.
        if let [source] = &*self.sources
            && let Some(Value::String(name)) = source.get("header")
        {
            let name = name.to_ascii_lowercase();
            let own = (name.as_bytes(), user.as_bytes());
            let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
            let request = Request::from_headers(&policy.names, headers.chain([own]));
            return then(&decide::decide(policy, &request.with_outside(&self.known)));
        }
        let (mut headers, mut known) = (self.headers.clone(), self.known.clone());
        for source in &self.sources {
            if let Some(name) = text(source, "header") {
                headers.push((name.to_ascii_lowercase().into(), user.into()));
            } else if let Some(name) = text(source, "cookie") {
                headers.push((b"cookie".into(), format!("{name}={user}").into()));
            } else if let Some(key) = text(source, "query") {
                let path = headers.iter_mut().find(|(name, _)| name == b":path");
                path.into_iter().for_each(|(_, path)| {
                    let mark = if path.contains(&b'?') { "&" } else { "?" };
                    let user = percent_encoding::utf8_percent_encode(
                        user,
                        percent_encoding::NON_ALPHANUMERIC,
                    );
                    path.extend(format!("{mark}{key}={user}").into_bytes());
                });
            } else if let Some(claim) = source.get("jwtClaim") {
                let path = claim
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![claim.clone()]);
                let value = path.iter().rev().fold(
                    json!(user),
                    |inner, segment| json!({segment.as_str().unwrap_or_default(): inner}),
                );
                merge(known.claims.get_or_insert_with(|| json!({})), value);
            } else {
                // An address, or a draw: as far apart as the users are.
                let bits = divvy::config::digest(user.as_bytes());
                known.source = Some(net::Ipv6Addr::from_bits(bits).into());
                known.random = Some(bits.to_be_bytes());
            }
        }
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        let request = Request::from_headers(&policy.names, headers).with_outside(&known);
        then(&decide::decide(policy, &request))
    }
}

/// Adds the members of an object to another, in depth.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
