//! The text of a configuration as a tree. Duplicate keys are errors here: a JSON map
//! would silently keep one of them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{At, Errors};

/// Reads the bytes; `None` when they are no JSON.
pub(super) fn read(bytes: &[u8], errors: &mut Errors) -> Option<Value> {
    if bytes.len() > super::MAX_BYTES {
        let message = format!(
            "{} bytes are more than {}, the most that are read",
            bytes.len(),
            super::MAX_BYTES
        );
        errors.add(At::Root, message);
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let root = Node {
        at: At::Root,
        errors,
    };
    let read = root
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            if is_protobuf_struct(bytes) {
                errors.add(
                    At::Root,
                    "this is a google.protobuf.Struct, which arrives as raw protobuf: write the \
                     configuration as JSON text in a google.protobuf.StringValue",
                );
                return None;
            }
            let hint = if bytes.trim_ascii_start().starts_with(b"{") {
                ""
            } else {
                "; a configuration is a JSON object, not YAML or anything else"
            };
            errors.add(At::Root, format!("not JSON: {error}{hint}"));
            None
        }
    }
}

/// A `Struct` begins with the tag of its first field, which is a line feed, and has tags
/// and lengths among the text that text does not have.
fn is_protobuf_struct(bytes: &[u8]) -> bool {
    let is_tag = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    bytes.starts_with(b"\n") && bytes.iter().any(is_tag)
}

struct Node<'a> {
    at: At<'a>,
    errors: &'a mut Errors,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // 5.0 and 5 are one number, for whoever reads it and for the fingerprint: Istio
        // hands all numbers over as doubles.
        const EXACT: f64 = (1_u64 << 53) as f64;
        if value.fract() == 0.0 && value.abs() < EXACT {
            #[allow(clippy::cast_possible_truncation, reason = "checked to be exact")]
            return Ok(Value::Number((value as i64).into()));
        }
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let element = Node {
                at: self.at.index(list.len()),
                errors: self.errors,
            };
            match elements.next_element_seed(element)? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let at = self.at.field(&key);
            if map.contains_key(&key) {
                self.errors.add(at, "this key stands here twice");
            }
            let value = members.next_value_seed(Node {
                at,
                errors: self.errors,
            })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
