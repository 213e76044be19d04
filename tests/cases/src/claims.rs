//! Claims as Envoy hands them to a wasm filter: bytes without a type.
//!
//! `tests/envoy` runs the same cases with tokens that a real `jwt_authn` has verified, so a
//! error here is found there.

use std::collections::BTreeMap;

use divvy::request::serialize_pairs;
use serde_json::Value;

const PAYLOAD: &str = "metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0payload";

/// The properties that a payload makes, by their paths.
#[must_use]
pub fn properties(payload: &Value) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut properties = BTreeMap::new();
    walk(PAYLOAD.as_bytes().to_vec(), payload, &mut properties);
    properties
}

fn walk(path: Vec<u8>, value: &Value, properties: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let below = [&path, &b"\0"[..], name.as_bytes()].concat();
        walk(below, member, properties);
    }
    if let Some(bytes) = serialized(value) {
        properties.insert(path, bytes);
    }
}

/// `None` for what has a null in it, which Envoy cannot serialize.
fn serialized(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => vec![u8::from(*flag)],
        Value::Number(number) => number.as_f64()?.to_le_bytes().to_vec(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(list) => {
            let elements = list
                .iter()
                .map(|value| Some((serialized(value)?, Vec::new())));
            serialize_pairs(&elements.collect::<Option<Vec<_>>>()?)
        }
        Value::Object(map) => {
            let members = map
                .iter()
                .map(|(name, value)| Some((name.clone().into_bytes(), serialized(value)?)));
            serialize_pairs(&members.collect::<Option<Vec<_>>>()?)
        }
    })
}
