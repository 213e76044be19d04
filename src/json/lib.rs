//! JSON text as a tree, read with `serde_json`, and configuration errors. A leaf: depends on no other
//! module.
//!
//! A tree of our own, because a map of `serde_json` silently keeps one of two equal keys, and
//! because its text borrows from the configuration.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::disallowed_macros,
        reason = "a test that panics has failed, and that is what it is for"
    )
)]

pub mod error;
mod tree;

pub use tree::{Tree, hash};

use std::borrow::Cow;
use std::fmt;

use rustc_hash::FxHashSet;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use error::{ErrorKind, Path};

const DUPLICATE_KEY: &str = "is a duplicate key";

/// Text that is not JSON.
pub struct SyntaxError {
    /// What was expected or found.
    pub message: String,
    /// Where: [`ErrorKind::Syntax`].
    pub kind: ErrorKind,
}

/// Parses JSON text. Duplicate keys are errors at their paths below `at`.
///
/// # Errors
/// When the text is not JSON.
pub fn parse<'j>(text: &'j [u8], at: Path<'_>) -> Result<Tree<'j>, SyntaxError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let tree = TreeSeed { at }.deserialize(&mut deserializer);
    let tree = tree.and_then(|tree| deserializer.end().map(|()| tree));
    tree.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // serde_json gives the message only with the position behind it.
        let message = error.to_string();
        let position = format!(" at line {line} column {column}");
        SyntaxError {
            message: message
                .strip_suffix(&position)
                .unwrap_or(&message)
                .to_owned(),
            kind: ErrorKind::Syntax { line, column },
        }
    })
}

/// A number as JSON writes it.
pub fn number(text: &[u8]) -> Option<f64> {
    match parse(text, Path::SILENT) {
        Ok(Tree::Number(number)) => Some(number),
        _ => None,
    }
}

/// Reads the value at a path.
struct TreeSeed<'a> {
    at: Path<'a>,
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Tree<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

// Istio sends every number as a double, so 5.0 and 5 have to be the same value.
#[allow(
    clippy::cast_precision_loss,
    reason = "no number of a configuration may exceed 2^53"
)]
impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(value.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree<'de>, A::Error> {
        let mut list = Vec::new();
        loop {
            let element = TreeSeed {
                at: self.at.index(list.len()),
            };
            match elements.next_element_seed(element)? {
                Some(value) => list.push(value),
                None => return Ok(Tree::List(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree<'de>, A::Error> {
        let mut object = Vec::new();
        let mut seen = SeenKeys::default();
        while let Some(key) = members.next_key_seed(KeySeed)? {
            let at = self.at.field(&key);
            if seen.contains(&object, &key) {
                at.error_of_kind(ErrorKind::DuplicateKey, DUPLICATE_KEY);
            }
            let value = members.next_value_seed(TreeSeed { at })?;
            object.push((key, value));
        }
        Ok(Tree::Object(object))
    }
}

/// Reads the key of a member.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(key.into())
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(key.to_owned().into())
    }
}

/// The keys of an object: a set once there are more than any valid object has, because a
/// configuration can have a megabyte of them.
#[derive(Default)]
struct SeenKeys(FxHashSet<Box<str>>);

impl SeenKeys {
    const FEW: usize = 64;

    /// Whether the object has the key; else it is added to the set.
    fn contains(&mut self, object: &[(Cow<'_, str>, Tree<'_>)], key: &str) -> bool {
        if object.len() < Self::FEW {
            return object.iter().any(|(known, _)| known == key);
        }
        if self.0.is_empty() {
            self.0 = object.iter().map(|(known, _)| (**known).into()).collect();
        }
        !self.0.insert(key.into())
    }
}
