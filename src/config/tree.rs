//! Reads values of a shape from a JSON tree, with the path of whatever does not fit.
//!
//! serde_path_to_error does the same for any format, but with wrappers around every type
//! that is read: it made the filter 110 KB larger than this. Here the path grows on the
//! way out of an error.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, map, value};

use super::error::{At, Errors};

/// Reads a value of this shape.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, ShapeError> {
    T::deserialize(Tree(value))
}

/// What does not have the right shape, and where.
#[derive(Debug)]
pub(super) struct ShapeError {
    path: String,
    message: String,
}

impl ShapeError {
    pub(super) fn report(&self, at: At<'_>, errors: &mut Errors) {
        errors.add(at.below(&self.path), self.message.as_str());
    }

    /// The same, seen from one step further out.
    fn inside(mut self, step: &str) -> Self {
        let dot = match self.path.as_bytes() {
            [] | [b'[', ..] => "",
            _ => ".",
        };
        self.path = [step, dot, &self.path].concat();
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
        }
    }
}

struct Tree(Value);

impl<'de> Deserializer<'de> for Tree {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => visitor.visit_i64(whole),
                (None, Some(number)) => visitor.visit_f64(number),
                (None, None) => visitor.visit_unit(),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(list) => visitor.visit_seq(Elements {
                next: 0,
                rest: list.into_iter(),
            }),
            Value::Object(map) => visitor.visit_map(Members::new(map)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            // An empty value of a template becomes null: taken for an absent field, it would
            // make a rule with a percent one for everybody.
            Value::Null => Err(de::Error::custom("is null: leave it out instead")),
            _ => visitor.visit_some(self),
        }
    }

    // What derived shapes ask for. Not left to deserialize_any: a derived struct would
    // take a list of its fields' values as well, which nobody means, and the code for it
    // is as long as that for the fields' names.

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Members::new(map)),
            other => Err(mismatch(&other, "an object")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            other => Err(mismatch(&other, "a string")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0.as_f64() {
            Some(number) => visitor.visit_f64(number),
            None => Err(mismatch(&self.0, "a number")),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(value),
            other => Err(mismatch(&other, "true or false")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char str bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// In words that a configuration is written in: no Rust types.
pub(super) fn mismatch<E: de::Error>(found: &Value, meant: &str) -> E {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    E::custom(format_args!("is {found} where {meant} is meant"))
}

struct Elements {
    next: usize,
    rest: std::vec::IntoIter<Value>,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ShapeError> {
        let Some(value) = self.rest.next() else {
            return Ok(None);
        };
        let index = self.next;
        self.next = index.saturating_add(1);
        seed.deserialize(Tree(value))
            .map(Some)
            .map_err(|error| error.inside(&format!("[{index}]")))
    }
}

struct Members {
    rest: map::IntoIter,
    value: Option<(String, Value)>,
}

impl Members {
    fn new(map: Map<String, Value>) -> Self {
        Self {
            rest: map.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ShapeError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key.clone(), value));
        seed.deserialize(StringDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, ShapeError> {
        let (key, value) = self.value.take().unwrap_or_default();
        seed.deserialize(Tree(value))
            .map_err(|error| error.inside(&key))
    }
}

/// A number as a configuration would have it: `5`, not `5.0`.
pub(super) fn shown(number: f64) -> String {
    value::Number::from_f64(number).map_or_else(
        || "not a number".to_owned(),
        |number| {
            let text = number.to_string();
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        },
    )
}
