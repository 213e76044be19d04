//! A request that somebody asks about, and what a proxy would know of it.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use divvy::outside::Outside;
use serde::Deserialize;
use serde_json::Value;

/// Headers, names in lower case.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Its headers, pseudo-headers among them.
    pub headers: Headers,
    /// What is not in them.
    pub known: Known,
}

/// What a proxy knows of a request beside its headers.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The claims of its verified token.
    pub claims: Option<Value>,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// The URI in the certificate of whoever sent it.
    pub peer: Option<String>,
    /// Whether it is on its way out of the workload beside the proxy.
    pub outbound: bool,
    /// When, in milliseconds since 1970.
    pub now: Option<u64>,
    /// What is drawn for it.
    pub random: Option<[u8; 16]>,
}

impl Ask {
    /// A request line such as `GET https://shop.example.com/checkout?a=b`, or only the URL or
    /// the path.
    pub fn line(line: &str) -> Result<Headers> {
        let line = line.trim();
        let (method, url) = match line.split_once(' ') {
            Some((method, url)) => (method, url.trim()),
            None => ("GET", line),
        };
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("https", url),
        };
        let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(path);
        if host.contains(' ') || target.contains(' ') || method.is_empty() {
            bail!(
                "{line:?} is no request: METHOD URL is meant, as in GET https://shop.example/cart"
            );
        }
        let target = target.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        let mut headers = vec![(":method", method), (":scheme", scheme), (":path", &target)];
        if !host.is_empty() {
            headers.push((":authority", host));
        }
        let owned = headers
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Ok(owned.collect())
    }

    /// A header as curl takes it: `name: value`.
    pub fn header(text: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        // A pseudo-header begins with a colon.
        let colon = text.get(1..).and_then(|rest| rest.find(':'));
        let colon =
            colon.with_context(|| format!("{text:?} is no header: name: value is meant"))?;
        let (name, value) = (&text[..=colon], &text[colon + 2..]);
        Ok((name.trim().to_ascii_lowercase().into(), value.trim().into()))
    }

    /// One line of `--batch`.
    pub fn from_json(text: &str) -> Result<Self> {
        let raw: Raw = serde_json::from_str(text)?;
        let mut headers = Self::line(&raw.request)?;
        match raw.headers {
            Value::Null => {}
            Value::Object(map) => {
                for (name, value) in map {
                    let value = value
                        .as_str()
                        .context("the value of a header is a string")?;
                    headers.push((name.to_ascii_lowercase().into(), value.into()));
                }
            }
            Value::Array(list) => {
                for pair in list {
                    let [name, value] = [0, 1].map(|nth| pair.get(nth).and_then(Value::as_str));
                    let (name, value) = name.zip(value).context("a header is [name, value]")?;
                    headers.push((name.to_ascii_lowercase().into(), value.into()));
                }
            }
            _ => bail!("headers are an object, or a list of [name, value]"),
        }
        let known = Known {
            claims: raw.claims,
            source: raw.source_ip,
            peer: raw.peer,
            outbound: raw.outbound,
            now: raw.at.as_deref().map(time).transpose()?,
            random: raw.random.as_deref().map(random).transpose()?,
        };
        Ok(Self { headers, known })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
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
}

/// An instant as a configuration writes it, in milliseconds since 1970.
pub fn time(text: &str) -> Result<u64> {
    let instant = humantime::parse_rfc3339(text)
        .with_context(|| format!("{text:?} is no instant such as 2026-12-01T09:00:00Z"))?;
    let since = instant
        .duration_since(std::time::UNIX_EPOCH)
        .context("is before 1970")?;
    Ok(u64::try_from(since.as_millis())?)
}

/// 32 hexadecimal digits.
pub fn random(text: &str) -> Result<[u8; 16]> {
    let bits = (text.len() == 32)
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten();
    let bits = bits.with_context(|| format!("{text:?} is not 32 hexadecimal digits"))?;
    Ok(bits.to_be_bytes())
}

impl Outside for Known {
    fn property(&self, path: &str) -> Option<Vec<u8>> {
        const CLAIMS: &str = "metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0";
        match path {
            "source\0address" => {
                let port = 4711;
                Some(
                    std::net::SocketAddr::new(self.source?, port)
                        .to_string()
                        .into_bytes(),
                )
            }
            "connection\0uri_san_peer_certificate" => Some(self.peer.clone()?.into_bytes()),
            "xds\0listener_direction" => {
                let direction: u64 = if self.outbound { 2 } else { 1 };
                Some(direction.to_le_bytes().to_vec())
            }
            path => {
                // Under whichever key jwt_authn leaves them.
                let mut segments = path.strip_prefix(CLAIMS)?.split('\0').skip(1);
                let claims = self.claims.as_ref()?;
                let claim = segments.try_fold(claims, |value, segment| value.get(segment))?;
                serialized(claim)
            }
        }
    }

    fn random(&self) -> Option<[u8; 16]> {
        self.random
    }

    fn now(&self) -> Option<u64> {
        self.now
    }
}

/// A value as Envoy hands it over: bytes without a type, and none for what has a null in it.
fn serialized(value: &Value) -> Option<Vec<u8>> {
    let block = |pairs: Vec<(Vec<u8>, Vec<u8>)>| {
        let size = |length: usize| u32::try_from(length).map(u32::to_le_bytes).ok();
        let mut bytes = size(pairs.len())?.to_vec();
        for (name, value) in &pairs {
            bytes.extend(size(name.len())?);
            bytes.extend(size(value.len())?);
        }
        for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(part);
            bytes.push(0);
        }
        Some(bytes)
    };
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(vec![u8::from(*flag)]),
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(list) => {
            let pairs = list
                .iter()
                .map(|item| Some((serialized(item)?, Vec::new())));
            block(pairs.collect::<Option<_>>()?)
        }
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(name, item)| Some((name.clone().into_bytes(), serialized(item)?)));
            block(pairs.collect::<Option<_>>()?)
        }
    }
}
