//! Requests for one configuration: random ones, and ones made from its words.

use bytes::Bytes;
use divvy_cases::asks;
use divvy_host_tests::random::Random;
use divvy_lab::client;
use divvy_lab::jwt::valid;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use super::proxy::{Seen, key};

type Line = (Vec<u8>, Vec<u8>);

pub struct Traffic {
    random: Random,
    asked: Vec<Vec<Line>>,
    cookies: Vec<String>,
    mints_and_signs: bool,
}

impl Traffic {
    pub fn new(random: Random, config: &Value) -> Traffic {
        let text = config.to_string();
        Traffic {
            mints_and_signs: text.contains("\"mint\"") && text.contains("\"signed\":true"),
            random,
            asked: asks::requests(config),
            cookies: Vec::new(),
        }
    }

    /// Whether requests without an identity get one, and cookies are verified.
    pub const fn mints_and_signs(&self) -> bool {
        self.mints_and_signs
    }

    /// The cookies of a response; a later client sends them.
    pub fn remember(&mut self, seen: &Seen) {
        let pairs = seen.cookies().map(|cookie| cookie.split(';').next());
        self.cookies.extend(pairs.flatten().map(str::to_owned));
    }

    /// The next request; `None` if no HTTP client can send it.
    pub fn next(&mut self) -> Option<Request<Full<Bytes>>> {
        let random = &mut self.random;
        let mut lines = if random.one_in(3) && !self.asked.is_empty() {
            let nth = random.below(self.asked.len());
            lines_of(&self.asked[nth])
        } else {
            let request = random.request();
            let headers = request.headers.iter();
            let mut lines: Vec<Line> = headers
                .map(|(name, value)| (name.clone().into(), value.clone().into()))
                .collect();
            lines.push((b"x-forwarded-for".into(), request.source.into()));
            if let Some(claims) = &request.claims {
                lines.push(token(claims));
            }
            lines
        };
        if random.one_in(2) {
            let cookies = self.cookies.drain(..);
            lines.extend(cookies.map(|cookie| (b"cookie".into(), cookie.into_bytes())));
        }
        if random.one_in(4) {
            let user = format!("user-{}", random.below(1_000));
            lines.retain(|(name, _)| name != b"x-user-id");
            lines.push((b"x-user-id".into(), user.into_bytes()));
        }
        let status = random.pick(&["200", "200", "200", "204", "302", "404", "429"]);
        let is_head = lines.contains(&(b":method".into(), b"HEAD".into()));
        lines.push((b"x-test-status".into(), status.into()));
        lines.push((b"x-test-echo".into(), b"1".into()));
        for (header, value) in [
            ("x-version", "from-upstream"),
            ("set-cookie", "from=upstream; Path=/"),
            ("cache-control", "public"),
            ("cache-control", "max-age=60, private"),
        ] {
            // Without an echo only the cookie shows that an identity was minted.
            if random.one_in(12) && !is_head && status != "204" {
                let knob = format!("{header}:{value}");
                lines.push((b"x-test-header".into(), knob.into_bytes()));
            }
        }
        sendable(&lines)
    }
}

/// The request of a client for lines with pseudo-headers.
fn sendable(lines: &[Line]) -> Option<Request<Full<Bytes>>> {
    let (mut method, mut path) = ("GET", "/");
    let mut headers = Vec::new();
    for (name, value) in lines {
        match (std::str::from_utf8(name).ok()?, &**value) {
            (":method", value) => method = std::str::from_utf8(value).ok()?,
            (":path", value) => path = std::str::from_utf8(value).ok()?,
            (":authority", value) => headers.push(("host", value)),
            (":scheme", _) => {}
            (name, value) => headers.push((name, value)),
        }
    }
    client::request(method, path, &headers, Bytes::new()).ok()
}

/// Lines that begin with `@` are the address, or a claim.
fn lines_of(asked: &[Line]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut claims = serde_json::Map::new();
    for (name, value) in asked {
        match name.strip_prefix(b"@") {
            None => lines.push((name.clone(), value.clone())),
            Some(b"address") => {
                let text = String::from_utf8_lossy(value).into_owned();
                let address = match text.parse::<std::net::SocketAddr>() {
                    Ok(address) => address.ip().to_string(),
                    Err(_) => text,
                };
                lines.push((b"x-forwarded-for".into(), address.into_bytes()));
            }
            Some(claim) => {
                let name = String::from_utf8_lossy(claim).into_owned();
                claims.insert(name, json!(String::from_utf8_lossy(value)));
            }
        }
    }
    if !claims.is_empty() {
        lines.push(token(&Value::Object(claims)));
    }
    lines
}

fn token(claims: &Value) -> Line {
    let token = key().sign(&valid(claims));
    (
        b"authorization".into(),
        format!("Bearer {token}").into_bytes(),
    )
}
