//! Requests to explain, from arguments or a line of `--batch`.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use divvy::policy::Policy;
use serde::Deserialize;
use serde_json::Value;

use crate::environment::{GivenEnvironment, time_or_now, unreachable};

/// Names in lower case and values.
pub type HeaderList = Vec<(Vec<u8>, Vec<u8>)>;

/// A request and its environment.
#[derive(Clone, Debug, Default)]
pub struct RequestInput {
    /// Headers including pseudo-headers.
    pub headers: HeaderList,
    /// What a proxy would know beside the headers.
    pub environment: GivenEnvironment,
}

impl RequestInput {
    /// The pseudo-headers of a request line such as `GET https://shop.example.com/checkout?a=b`;
    /// the method, scheme and host may be missing.
    pub fn request_line(line: &str) -> Result<HeaderList> {
        let line = line.trim();
        let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(path);
        if host.contains(' ') || target.contains(' ') || method.is_empty() {
            bail!(
                "{line:?} is not a request: write METHOD URL, as in GET https://shop.example/cart"
            );
        }
        let target = target.split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        let mut headers = vec![(":method", method), (":scheme", scheme), (":path", &target)];
        if !host.is_empty() {
            headers.push((":authority", host));
        }
        let headers = headers.into_iter();
        Ok(headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect())
    }

    /// Adds a header; `host` replaces the host of the request, as Envoy reads it.
    pub fn add(headers: &mut HeaderList, (name, value): (Vec<u8>, Vec<u8>)) {
        if name != b"host" {
            return headers.push((name, value));
        }
        headers.retain(|(name, _)| name != b":authority");
        headers.push((b":authority".to_vec(), value));
    }

    /// A header in curl's form, `name: value`.
    pub fn header(text: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        // A pseudo-header begins with a colon.
        let colon = text.get(1..).and_then(|rest| rest.find(':'));
        let colon =
            colon.with_context(|| format!("{text:?} is not a header: write name: value"))?;
        let (name, value) = (&text[..=colon], &text[colon + 2..]);
        Ok((name.trim().to_ascii_lowercase().into(), value.trim().into()))
    }

    /// A line of `--batch`.
    pub fn from_json(text: &str, policy: &Policy) -> Result<Self> {
        let line: BatchLine = serde_json::from_str(text)?;
        let mut headers = Self::request_line(&line.request)?;
        let mut add = |name: &str, value: &str| {
            let header = (name.to_ascii_lowercase().into(), value.into());
            Self::add(&mut headers, header);
        };
        match &line.headers {
            Value::Null => {}
            Value::Object(map) => {
                for (name, value) in map {
                    add(
                        name,
                        value.as_str().context("a header value is not a string")?,
                    );
                }
            }
            Value::Array(list) => {
                for pair in list {
                    let [name, value] = [0, 1].map(|index| pair.get(index).and_then(Value::as_str));
                    let pair = name.zip(value);
                    let (name, value) = pair.context("a header is not a list [name, value]")?;
                    add(name, value);
                }
            }
            _ => bail!("headers is neither an object nor a list of [name, value]"),
        }
        let environment = GivenEnvironment {
            claims: line.claims,
            source: line.source_ip,
            peer: line.peer,
            outbound: line.outbound,
            now: line.at.map(|at| time_or_now(Some(&at))).transpose()?,
            random: line.random.as_deref().map(random).transpose()?,
            unreachable: unreachable(policy, &line.unreachable)?,
        };
        Ok(Self {
            headers,
            environment,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchLine {
    request: String,
    #[serde(default)]
    headers: Value,
    claims: Option<Value>,
    source_ip: Option<IpAddr>,
    peer: Option<String>,
    #[serde(default)]
    outbound: bool,
    at: Option<String>,
    random: Option<String>,
    #[serde(default)]
    unreachable: Vec<String>,
}

/// The bits of 32 hexadecimal digits.
pub fn random(text: &str) -> Result<[u8; 16]> {
    let bits = u128::from_str_radix(text, 16).ok();
    let bits = bits.filter(|_| text.len() == 32);
    let bits = bits.with_context(|| format!("{text:?} is not 32 hexadecimal digits"))?;
    Ok(bits.to_be_bytes())
}
