//! Users, and their requests to a rollout. Must not depend on the verbs.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::path::Path;

use anyhow::{Result, bail};
use divvy::decide::{self, Outcome};
use divvy::policy::{Policy, RolloutId, VersionId};
use divvy::request::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use uuid::Builder;

use crate::environment::GivenEnvironment;
use crate::limits::MAX_USERS;
use crate::raw::{list, text};
use crate::source::read_text;

/// Where the names of users come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Population {
    /// `user-1`, `user-2` and so on.
    Sequence,
    /// Random UUIDs from this seed.
    Uuid(u64),
    /// The lines of a file.
    Listed(Vec<String>),
}

impl Population {
    /// From `seq`, `uuid`, or the path of a file with one user a line.
    pub fn read(source: &str, seed: u64) -> Result<Self> {
        let path = match source {
            "seq" => return Ok(Self::Sequence),
            "uuid" => return Ok(Self::Uuid(seed)),
            path => path,
        };
        let text = read_text(Path::new(path))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        if lines.is_empty() {
            bail!("{path}: contains no users; write one a line");
        }
        if lines.len() > MAX_USERS {
            bail!(
                "{path}: has {} users; the limit is {MAX_USERS}",
                lines.len()
            );
        }
        Ok(Self::Listed(lines))
    }

    /// This number of users; all users of a file.
    pub fn users(self, number: usize) -> Vec<String> {
        match self {
            Self::Sequence => (1..=number).map(|nth| format!("user-{nth}")).collect(),
            Self::Uuid(seed) => {
                let mut random = Pcg64Mcg::seed_from_u64(seed);
                let mut uuid = || {
                    let mut bytes = [0; 16];
                    random.fill_bytes(&mut bytes);
                    Builder::from_random_bytes(bytes).into_uuid().to_string()
                };
                (0..number).map(|_| uuid()).collect()
            }
            Self::Listed(lines) => lines,
        }
    }
}

/// Makes the requests of users to a rollout.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// Names and values of the request headers.
    headers: Vec<(String, String)>,
    /// The identity source that contains the user's name; for `concat` all its parts.
    sources: Vec<Value>,
    environment: GivenEnvironment,
}

impl RequestTemplate {
    /// Requests that match the first entry of the rollout's `match`, without anything else that a
    /// rule could match. The values that its condition needs are taken from the operators that name
    /// one; `with` adds others.
    pub fn new(config: &Value, rollout: &Value, now: Option<u64>) -> Self {
        let scope = rollout.pointer("/match/0").unwrap_or(&Value::Null);
        let first = |field: &str| scope.get(field)?.get(0)?.as_str();
        let host = first("hosts").unwrap_or("example.com").replace('*', "www");
        let path = scope.get("path");
        let path = path.and_then(|path| path.get("exact").or(path.get("prefix"))?.as_str());
        let headers = [
            (":method", first("methods").unwrap_or("GET")),
            (":scheme", "https"),
            (":authority", &host),
            (":path", path.unwrap_or("/")),
        ];
        let own = rollout.pointer("/identity/0");
        let source = own.or_else(|| config.pointer("/identity/0"));
        let source = source.unwrap_or(&Value::Null);
        let sources = match source.get("concat").and_then(Value::as_array) {
            Some(parts) => parts.clone(),
            None => vec![source.clone()],
        };
        let mut template = Self {
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            sources,
            environment: GivenEnvironment {
                now,
                ..GivenEnvironment::default()
            },
        };
        if let Some(when) = scope.get("when") {
            template.meet(when);
        }
        template
    }

    /// Adds what the condition needs, as far as its operators name a value.
    fn meet(&mut self, when: &Value) {
        for part in list(when, "all").iter().chain(list(when, "any").first()) {
            self.meet(part);
        }
        let Some(value) = accepted(when) else { return };
        let name = |key: &str| when.get(key).and_then(Value::as_str);
        let is = |key: &str| when.get(key).is_some();
        if let Some(name) = name("header") {
            self.headers.push((name.to_ascii_lowercase(), value));
        } else if let Some(name) = name("cookie") {
            self.headers
                .push(("cookie".to_owned(), format!("{name}={value}")));
        } else if let Some(key) = name("query") {
            let path = self.headers.iter_mut().find(|(name, _)| name == ":path");
            if let Some((_, path)) = path {
                add_query(path, key, &value);
            }
        } else if let Some(label) = when.get("label") {
            let pair = format!("{}={value}", text(label, "key"));
            self.headers
                .push((text(label, "header").to_ascii_lowercase(), pair));
        } else if is("peer") {
            self.environment.peer = Some(value);
        } else if is("sourceIp") {
            let address = value.split('/').next().unwrap_or_default();
            self.environment.source = address.parse().ok();
        } else {
            for (field, header) in [
                ("path", ":path"),
                ("method", ":method"),
                ("host", ":authority"),
            ] {
                let mut headers = self.headers.iter_mut();
                if let Some((_, old)) = headers.find(|(name, _)| is(field) && name == header) {
                    old.clone_from(&value);
                }
            }
        }
    }

    /// Names and values of the headers, without an identity.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The same requests with more headers; `:authority` replaces the host.
    pub fn with(mut self, headers: &[(Vec<u8>, Vec<u8>)]) -> Self {
        for (name, value) in headers {
            let [name, value] =
                [name, value].map(|text| String::from_utf8_lossy(text).into_owned());
            if name.starts_with(':') {
                self.headers.retain(|(known, _)| *known != name);
            }
            self.headers.push((name, value));
        }
        self
    }

    /// The same requests in a proxy that cannot reach these versions.
    pub fn without(mut self, unreachable: &[(RolloutId, VersionId)]) -> Self {
        self.environment.unreachable = unreachable.to_vec();
        self
    }

    /// Whether both send the same requests.
    pub fn is_like(&self, other: &Self) -> bool {
        self.headers == other.headers
            && self.sources == other.sources
            && self.environment == other.environment
    }

    /// Decides about a request of this user.
    pub fn decide<T>(
        &self,
        policy: &Policy,
        user: &str,
        then: impl FnOnce(&Outcome<'_>) -> T,
    ) -> T {
        let mut environment = self.environment.clone();
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        let mut headers: Vec<(Cow<'_, str>, Cow<'_, str>)> = headers.collect();
        for source in &self.sources {
            let name = |key: &str| Some(text(source, key)).filter(|name| !name.is_empty());
            if let Some(name) = name("header") {
                // One that a condition needs would be a second line.
                headers.retain(|(other, _)| !name.eq_ignore_ascii_case(other));
                headers.push((name.to_ascii_lowercase().into(), user.into()));
            } else if let Some(name) = name("cookie") {
                headers.push(("cookie".into(), format!("{name}={user}").into()));
            } else if let Some(key) = name("query") {
                let path = headers.iter_mut().filter(|(name, _)| name == ":path");
                path.for_each(|(_, path)| add_query(path.to_mut(), key, user));
            } else if let Some(claim) = source.get("jwtClaim") {
                let path = claim.as_array().cloned();
                let path = path.unwrap_or_else(|| vec![claim.clone()]);
                let nest = |inner, key: &Value| json!({key.as_str().unwrap_or_default(): inner});
                let value = path.iter().rev().fold(json!(user), nest);
                merge(environment.claims.get_or_insert_with(|| json!({})), value);
            } else if source.is_null() || source.get("sourceIp").or(source.get("random")).is_some()
            {
                // Source addresses and random identities that differ for each user.
                let bits = divvy::config::digest(user.as_bytes());
                environment.source = Some(Ipv6Addr::from_bits(bits).into());
                environment.random = Some(bits.to_be_bytes());
            }
        }
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_headers(&policy.names, headers).with_environment(&environment);
        then(&decide::decide(policy, &request))
    }
}

fn add_query(path: &mut String, key: &str, value: &str) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    path.push_str(&format!("{separator}{key}={value}"));
}

/// A value that the operator of a leaf accepts, if it names one.
fn accepted(leaf: &Value) -> Option<String> {
    let text = ["exact", "prefix", "suffix", "contains", "cidr"]
        .into_iter()
        .find_map(|operator| leaf.get(operator)?.as_str());
    let first = |operator: &str| leaf.get(operator)?.get(0)?.as_str();
    let text = text.or_else(|| first("in")).or_else(|| first("cidr"));
    let is_present = leaf.get("present") == Some(&Value::Bool(true));
    let least = || Some(leaf.get("range")?.get("min")?.to_string());
    text.or_else(|| is_present.then_some("1"))
        .map(str::to_owned)
        .or_else(least)
}

/// Adds the members of an object to another one, recursively.
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
