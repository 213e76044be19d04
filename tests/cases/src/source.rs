//! The sources of a condition, and requests with a value for them.

use serde_json::{Value, json};

use crate::{Case, bytes};

/// The sources of a condition that have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header.
    Header,
    /// A cookie.
    Cookie,
    /// A query parameter.
    Query,
    /// A label in a header.
    Label,
    /// A claim of a token.
    JwtClaim,
    /// The path.
    Path,
    /// The method.
    Method,
    /// The host.
    Host,
    /// The client's address.
    SourceIp,
    /// The URI in the client's certificate.
    Peer,
    /// The user's identity.
    Identity,
}

use Source::{
    Cookie, Header, Host, Identity, JwtClaim, Label, Method, Path, Peer, Query, SourceIp,
};

impl Source {
    /// The source in a condition.
    pub fn written(self) -> Value {
        match self {
            Header => json!({"header": "x-a"}),
            Cookie => json!({"cookie": "c"}),
            Query => json!({"query": "q"}),
            Label => json!({"label": {"header": "x-labels", "key": "k"}}),
            JwtClaim => json!({"jwtClaim": ["https://shop.example/a", "b.c"]}),
            Path => json!({"path": true}),
            Method => json!({"method": true}),
            Host => json!({"host": true}),
            SourceIp => json!({"sourceIp": true}),
            Peer => json!({"peer": true}),
            Identity => json!({"identity": true}),
        }
    }

    /// The operator with its texts in the shape of this source's values.
    pub fn operands(self, operator: &Value) -> serde_json::Map<String, Value> {
        let from_the_beginning = ["exact", "prefix", "in", "regex"];
        let mut operands = operator.as_object().expect("an object").clone();
        for (name, operand) in &mut operands {
            let texts: Vec<&mut Value> = match operand {
                Value::Array(list) if name != "cidr" => list.iter_mut().collect(),
                Value::String(_) if name != "semver" && name != "cidr" => vec![operand],
                _ => continue,
            };
            for text in texts {
                let plain = text.as_str().expect("a text").to_owned();
                if self == Path && from_the_beginning.contains(&name.as_str()) {
                    *text = json!(format!("/{plain}"));
                }
            }
        }
        operands
    }

    /// A value in the shape of this source's, if it can have one like it.
    pub fn shape(self, value: &str) -> Option<String> {
        match self {
            Path => Some(format!("/{value}")),
            // An empty one is none.
            Host | Method | Peer if value.is_empty() => None,
            // Hosts lose what looks like a port.
            Host if value.ends_with(':') || value.contains('/') => None,
            SourceIp if value.parse::<std::net::IpAddr>().is_err() => None,
            _ => Some(value.to_owned()),
        }
    }

    /// A request with this value.
    pub fn carry(self, value: &str) -> Case {
        let header = |name: &str, value: String| Case {
            headers: vec![(name.as_bytes().to_vec(), bytes(&value))],
            ..Case::default()
        };
        match self {
            Header => header("x-a", value.to_owned()),
            Cookie => header("cookie", format!("a=x; c={value}")),
            Query => header(":path", format!("/?a=x&q={}", escaped(value))),
            Label => header("x-labels", format!("a=x;k={value}")),
            Path => header(":path", value.to_owned()),
            Method => header(":method", value.to_owned()),
            Host => header(":authority", value.to_owned()),
            Identity => header("x-user-id", value.to_owned()),
            JwtClaim => Case {
                claims: Some(json!({"https://shop.example/a": {"b.c": value}})),
                ..Case::default()
            },
            Peer => Case {
                peer: Some(value.to_owned()),
                ..Case::default()
            },
            SourceIp => Case {
                source: Some(value.to_owned()),
                ..Case::default()
            },
        }
    }

    /// Whether every request has it.
    pub const fn is_in_every_request(self) -> bool {
        matches!(self, Path | Method | Host | SourceIp)
    }
}

/// Percent-encoded but for letters and digits.
fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes(value).into_iter().map(escape).collect()
}
