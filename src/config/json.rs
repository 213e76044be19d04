//! The text of a configuration as a tree. Duplicate keys are errors here: a JSON map
//! would silently keep one of them.

use std::borrow::Cow;
use std::fmt;

use rustc_hash::FxHashSet;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{At, Errors};
use super::tree::Tree;

/// Reads the bytes; `None` when they are no JSON.
pub(super) fn read<'j>(bytes: &'j [u8], errors: &mut Errors) -> Option<Tree<'j>> {
    if bytes.len() > super::MAX_BYTES {
        let message = format_args!(
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
            errors.add(At::Root, format_args!("not JSON: {error}{hint}"));
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
    type Value = Tree<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

// 5.0 and 5 are one number, for whoever reads it and for the fingerprint: Istio hands all
// numbers over as doubles. Whole ones beyond 2^53 are nothing that a configuration may say.
#[allow(
    clippy::cast_precision_loss,
    reason = "doubles are what numbers are read as"
)]
impl<'de> Visitor<'de> for Node<'_> {
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
            let element = Node {
                at: self.at.index(list.len()),
                errors: self.errors,
            };
            match elements.next_element_seed(element)? {
                Some(value) => list.push(value),
                None => return Ok(Tree::List(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree<'de>, A::Error> {
        let mut object = Vec::new();
        let mut seen = Seen::default();
        while let Some(key) = members.next_key_seed(Key)? {
            let at = self.at.field(&key);
            if seen.before(&object, &key) {
                self.errors.add(at, "this key stands here twice");
            }
            let value = members.next_value_seed(Node {
                at,
                errors: self.errors,
            })?;
            object.push((key, value));
        }
        Ok(Tree::Object(object))
    }
}

/// The key of a member.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
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

/// The keys of an object: a table once there are more than any object of a configuration
/// has, since somebody may write a megabyte of them.
#[derive(Default)]
struct Seen(FxHashSet<Box<str>>);

impl Seen {
    const FEW: usize = 64;

    /// Whether a key stands there already.
    fn before(&mut self, object: &[(Cow<'_, str>, Tree<'_>)], key: &str) -> bool {
        if object.len() < Self::FEW {
            return object.iter().any(|(known, _)| known == key);
        }
        if self.0.is_empty() {
            self.0 = object.iter().map(|(known, _)| (**known).into()).collect();
        }
        !self.0.insert(key.into())
    }
}
