//! Claims of a token that the proxy has verified, in the host's serialization.
//!
//! Envoy's `jwt_authn` filter stores the verified payload in the stream's metadata. A wasm filter
//! gets a claim as bytes without a type: a string as it is, a number as the eight bytes of a
//! double, a boolean as one byte, a list as a map with its elements as keys. Therefore the
//! configuration names the type, and a value of another form counts as missing.

use super::pairs::Pairs;

/// The type of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimType {
    /// Text.
    String,
    /// A whole number below 2^53, compared as its decimal digits.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of strings; one that passes is enough.
    List,
}

/// A claim that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The metadata key of the payload, then the path of the claim in it.
    segments: Box<[Box<str>]>,
    pub(super) kind: ClaimType,
}

impl Claim {
    /// The claim at this path in the payload with this metadata key.
    pub fn new<'p>(
        payload: &'p str,
        path: impl IntoIterator<Item = &'p str>,
        kind: ClaimType,
    ) -> Self {
        let segments = std::iter::once(payload).chain(path);
        Self {
            segments: segments.map(Into::into).collect(),
            kind,
        }
    }

    /// The metadata key of the payload, then the path of the claim in it.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }
}

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The claim is missing or has another type.
    Missing,
    One(Vec<u8>),
    /// A valid serialized map whose keys are the elements.
    List(Vec<u8>),
}

impl Value {
    pub(super) fn read(bytes: Vec<u8>, kind: ClaimType) -> Self {
        let one = match kind {
            ClaimType::List => return Self::list(bytes),
            ClaimType::String => text(bytes),
            ClaimType::Number => number(&bytes),
            ClaimType::Bool => boolean(&bytes),
        };
        one.map_or(Self::Missing, Self::One)
    }

    fn list(bytes: Vec<u8>) -> Self {
        let sound =
            Pairs::new(&bytes).is_ok_and(|mut pairs| pairs.all(|pair| matches!(pair, Ok((_, [])))));
        if sound {
            Self::List(bytes)
        } else {
            Self::Missing
        }
    }

    /// The one value, or the elements of the list.
    pub(super) fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let (one, list) = match self {
            Self::Missing => (None, None),
            Self::One(value) => (Some(value.as_slice()), None),
            Self::List(bytes) => (None, Pairs::new(bytes).ok()),
        };
        let list = list.into_iter().flatten();
        one.into_iter()
            .chain(list.filter_map(|pair| pair.ok().map(|(element, _)| element)))
    }
}

/// Text is UTF-8, as all of JSON, and has no control characters, which nearly all numbers,
/// booleans and lists contain.
fn text(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let control = bytes.iter().any(u8::is_ascii_control);
    (!control && std::str::from_utf8(&bytes).is_ok()).then_some(bytes)
}

fn number(bytes: &[u8]) -> Option<Vec<u8>> {
    /// From 2^53 on a double does not represent every whole number.
    const LIMIT: f64 = (1_u64 << 53) as f64;
    let number = f64::from_le_bytes(bytes.try_into().ok()?);
    if number.fract() != 0.0 || number.abs() >= LIMIT {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "whole and small, as checked above"
    )]
    let number = number as i64;
    Some(number.to_string().into_bytes())
}

fn boolean(bytes: &[u8]) -> Option<Vec<u8>> {
    match bytes {
        [0] => Some(b"false".to_vec()),
        [1] => Some(b"true".to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], kind: ClaimType) -> Vec<String> {
        let value = Value::read(bytes.to_vec(), kind);
        value
            .elements()
            .map(|element| String::from_utf8_lossy(element).into_owned())
            .collect()
    }

    #[test]
    fn a_number_counts_when_it_is_whole_and_a_double_holds_it_exactly() {
        for (number, text) in [
            (0.0, &["0"][..]),
            (-0.0, &["0"]),
            (42.0, &["42"]),
            (-7.0, &["-7"]),
            (9_007_199_254_740_991.0, &["9007199254740991"]),
            (9_007_199_254_740_992.0, &[]),
            (0.5, &[]),
            (1e300, &[]),
            (f64::NAN, &[]),
            (f64::INFINITY, &[]),
            (f64::NEG_INFINITY, &[]),
        ] {
            assert_eq!(
                read(&number.to_le_bytes(), ClaimType::Number),
                text,
                "{number}"
            );
        }
        assert_eq!(read(b"42", ClaimType::Number), [""; 0]);
        assert_eq!(read(b"", ClaimType::Number), [""; 0]);
    }

    #[test]
    fn a_value_of_another_type_counts_as_missing() {
        let number = 42_f64.to_le_bytes();
        // Neither contains a control character.
        let large = 9_007_199_254_740_991_f64.to_le_bytes();
        let list = b"\x01\0\0\0\x01\0\0\0\0\0\0\0a\0\0";
        for (bytes, kind, elements) in [
            (&b"alice"[..], ClaimType::String, &["alice"][..]),
            (b"", ClaimType::String, &[""]),
            (&number, ClaimType::String, &[]),
            (&large, ClaimType::String, &[]),
            (b"\x01", ClaimType::String, &[]),
            (list, ClaimType::String, &[]),
            (b"\x01", ClaimType::Bool, &["true"]),
            (b"\0", ClaimType::Bool, &["false"]),
            (b"\x02", ClaimType::Bool, &[]),
            (b"true", ClaimType::Bool, &[]),
            (list, ClaimType::List, &["a"]),
            (b"\0\0\0\0", ClaimType::List, &[]),
            (b"alice", ClaimType::List, &[]),
            (&list[..10], ClaimType::List, &[]),
            // A map of claims, whose values are not empty.
            (
                b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b\0",
                ClaimType::List,
                &[],
            ),
        ] {
            assert_eq!(read(bytes, kind), elements, "{bytes:?} as {kind:?}");
        }
    }

    #[test]
    fn the_path_of_a_claim_takes_names_as_they_are() {
        let claim = Claim::new("payload", ["https://a.example/x", "y.z"], ClaimType::String);
        let segments: Vec<_> = claim.segments().collect();
        assert_eq!(segments, ["payload", "https://a.example/x", "y.z"]);
    }
}
