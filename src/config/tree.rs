//! A configuration's JSON as a tree.
//!
//! `serde_json` has one as well. Its objects are maps that keep their keys in order, which is
//! 10 KB of code in the filter, and nobody here asks for an order.

use std::borrow::Cow;

/// A JSON value, whose text is that of the configuration wherever nothing is escaped.
#[derive(Debug, Default)]
pub(super) enum Tree<'j> {
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'j, str>),
    List(Vec<Self>),
    /// Each key stands there once.
    Object(Vec<(Cow<'j, str>, Self)>),
}

impl<'j> Tree<'j> {
    /// A member of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
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

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// The members of an object.
    pub(super) fn members(&self) -> &[(Cow<'j, str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// A number that goes by what is meant: neither white space nor the order of an object's
    /// keys changes it.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Null => hash(0, &[]),
            Self::Bool(flag) => hash(1, &[u8::from(*flag)]),
            // 0 and -0 are equal, and so are their sums with 0.
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

/// FNV-1a, which is all that telling configurations apart asks for. With murmur, which takes
/// longer over many short pieces, a start takes 9 % more.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let begin = seed ^ 0xCBF2_9CE4_8422_2325;
    let with = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    // The last byte of a text would else change little but the end.
    let all = bytes.iter().fold(begin, with);
    (all ^ (all >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
