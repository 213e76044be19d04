//! The tree itself, and a hash of its meaning.

use std::borrow::Cow;

/// A JSON value. Its strings borrow from the text unless they have escapes.
#[derive(Debug, Default)]
pub enum Tree<'j> {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as a double.
    Number(f64),
    /// A string.
    Text(Cow<'j, str>),
    /// The elements of an array.
    List(Vec<Self>),
    /// The members in the order of the text.
    Object(Vec<(Cow<'j, str>, Self)>),
}

impl<'j> Tree<'j> {
    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter();
                members
                    .find(|(name, _)| name == key)
                    .map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text at a path of keys; empty if there is none.
    // Configurations may be slow: inlined, it is in many places.
    #[inline(never)]
    pub fn text_at(&self, path: &[&str]) -> &str {
        let mut value = Some(self);
        for key in path {
            value = value.and_then(|value| value.get(key));
        }
        value.and_then(Self::text).unwrap_or_default()
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// The members of an object.
    pub fn members(&self) -> &[(Cow<'j, str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// A hash of the meaning: neither white space nor the order of an object's keys changes it.
    pub fn hash(&self) -> u64 {
        match self {
            Self::Null => hash(0, &[]),
            Self::Bool(flag) => hash(1, &[u8::from(*flag)]),
            // 0 and -0 have the same sum with 0.
            Self::Number(number) => hash(2, &(number + 0.0).to_bits().to_le_bytes()),
            Self::Text(text) => hash(3, text.as_bytes()),
            Self::List(elements) => elements.iter().fold(4, |before, element| {
                hash(before, &element.hash().to_le_bytes())
            }),
            Self::Object(members) => {
                let members = members.iter();
                let members = members.map(|(key, value)| hash(value.hash(), key.as_bytes()));
                hash(5, &members.fold(0, u64::wrapping_add).to_le_bytes())
            }
        }
    }
}

/// FNV-1a with a final mix: faster than murmur3 over many short pieces.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let begin = seed ^ 0xCBF2_9CE4_8422_2325;
    let with = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    // Without the mix the last byte changes only the low bits.
    let all = bytes.iter().fold(begin, with);
    (all ^ (all >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
