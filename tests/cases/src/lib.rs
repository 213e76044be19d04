//! Requests and their expected decisions, for three tests: native, the built filter in wasmtime, and
//! the built filter in a real Envoy.
//!
//! `decisions.json` has single cases, [`matrix`] every source with every operator, [`ways`] what a client
//! sends to get a version.

pub mod asks;
pub mod build;
pub mod claims;
pub mod matrix;
pub mod mutate;
pub mod random;
pub mod source;
pub mod ways;

use std::collections::BTreeMap;

use serde_json::Value;

/// A valid configuration with every feature that one request can meet.
pub const RICH: &str = include_str!("../rich.json");

/// The table of decisions, as JSON.
pub const DECISIONS: &str = include_str!("../decisions.json");

/// The valid configuration in which each row of [`broken`] changes one value.
pub const VALID: &str = include_str!("../valid.json");

/// A configuration and requests for it.
#[derive(Clone, Debug)]
pub struct Group {
    /// The subject.
    pub name: String,
    /// The configuration.
    pub config: Value,
    /// The value of `DIVVY_KEYS`; without it there are no keys.
    pub keys: Option<String>,
    /// The requests.
    pub cases: Vec<Case>,
}

/// A request and the expected decision.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its headers, names in lower case.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The claims of its token.
    pub claims: Option<Value>,
    /// The address of the client.
    pub source: Option<String>,
    /// The URI in the client's certificate; a character is a byte.
    pub peer: Option<String>,
    /// The expected route header.
    pub route: Option<String>,
    /// The expected assignment header.
    pub assignment: Option<String>,
    /// The expected unit header.
    pub unit: Option<String>,
    /// The kind of case.
    pub kind: Kind,
}

/// The kind of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A request as Envoy passes it.
    #[default]
    Ordinary,
    /// Lacks something that every request through Envoy has, such as a path.
    Impossible,
    /// Has bytes that Envoy may refuse.
    Hostile,
}

impl Case {
    /// Headers, address and claims as text, for the message of a failed test.
    #[must_use]
    pub fn described(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| {
            let text = String::from_utf8_lossy;
            format!("{}: {}", text(name), text(value))
        });
        let others = [
            &self.source,
            &self.peer,
            &self.claims.as_ref().map(ToString::to_string),
        ];
        let others = others.into_iter().flatten().cloned();
        headers.chain(others).collect::<Vec<_>>().join(", ")
    }

    /// The properties of the stream as Envoy serializes them, by their paths.
    #[must_use]
    pub fn properties(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut properties = BTreeMap::new();
        if let Some(claims) = &self.claims {
            properties = claims::properties(claims);
        }
        if let Some(source) = &self.source {
            let address = if source.contains(':') {
                format!("[{source}]:4711")
            } else {
                format!("{source}:4711")
            };
            properties.insert(b"source\0address".to_vec(), address.into_bytes());
        }
        if let Some(peer) = &self.peer {
            let name = b"connection\0uri_san_peer_certificate".to_vec();
            properties.insert(name, bytes(peer));
        }
        properties
    }
}

/// All groups of cases.
///
/// # Panics
/// When the table is not valid.
#[must_use]
pub fn groups() -> Vec<Group> {
    let table: Value = serde_json::from_str(DECISIONS).expect("decisions.json is JSON");
    let mut groups: Vec<Group> = list(&table).map(group).collect();
    groups.extend(matrix::groups());
    for way in ways::ways() {
        groups.extend(way.groups.into_iter().map(|group| {
            let name = format!("{}: {}", way.row, group.name);
            Group {
                // An update with the same configuration is none.
                config: build::with(group.config, &serde_json::json!({"version": name})),
                name,
                ..group
            }
        }));
    }
    groups
}

/// Configurations with one invalid value, each with its first error.
///
/// # Panics
/// When the table is not valid.
#[must_use]
pub fn broken() -> Vec<(Value, String)> {
    let rows: Value =
        serde_json::from_str(include_str!("../broken.json")).expect("broken.json is JSON");
    let spoiled = |row: &Value| {
        let place = row["at"].as_str().expect("a place");
        let mut config: Value = serde_json::from_str(VALID).expect("valid.json is JSON");
        let (parent, key) = place.rsplit_once('/').expect("a pointer");
        match config.pointer_mut(parent).expect("its parent is there") {
            Value::Object(map) => drop(map.insert(key.to_owned(), row["put"].clone())),
            Value::Array(list) => {
                list[key.parse::<usize>().expect("an index")] = row["put"].clone();
            }
            other => panic!("{place} is in {other}"),
        }
        (config, text(&row["error"]).expect("an error"))
    };
    list(&rows).map(spoiled).collect()
}

fn group(raw: &Value) -> Group {
    Group {
        name: text(&raw["name"]).expect("a group has a name"),
        config: raw["config"].clone(),
        keys: text(&raw["keys"]),
        cases: list(&raw["cases"]).map(case).collect(),
    }
}

fn case(raw: &Value) -> Case {
    let claims = &raw["claims"];
    Case {
        headers: list(&raw["headers"])
            .map(|pair| (latin1(&pair[0]), latin1(&pair[1])))
            .collect(),
        claims: (!claims.is_null()).then(|| claims.clone()),
        source: text(&raw["source"]),
        peer: text(&raw["peer"]),
        route: text(&raw["route"]),
        assignment: text(&raw["assignment"]),
        unit: text(&raw["unit"]),
        kind: Kind::Ordinary,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A text in the table: a character is a byte, so `ÿ` is 0xff.
fn latin1(text: &Value) -> Vec<u8> {
    bytes(text.as_str().expect("a text"))
}

/// The bytes of a text in which each character is one byte.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(u8::try_from);
    bytes
        .collect::<Result<_, _>>()
        .expect("each character is a byte")
}
