//! Claims of verified tokens, from JSON to the encoding of the wasm ABI. Must not call Envoy.

use divvy::request::{Claim, serialize_pairs};
use serde_json::Value;

/// A claim in the metadata of `jwt_authn`, as JSON: the payload under its key.
pub fn read(metadata: &[u8], claim: &Claim) -> Option<Vec<u8>> {
    let all: Value = serde_json::from_slice(metadata).ok()?;
    let mut value = &all;
    for segment in claim.segments() {
        value = value.as_object()?.get(segment)?;
    }
    encode(value)
}

fn encode(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Number(number) => number.as_f64()?.to_le_bytes().to_vec(),
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Array(elements) => {
            let names: Option<Vec<_>> = elements
                .iter()
                .map(|one| Some((one.as_str()?, "")))
                .collect();
            serialize_pairs(&names?)
        }
        Value::Null | Value::Object(_) => return None,
    })
}
