//! Units: digits that stand for identities in logs. Must not depend on requests.

use std::sync::Arc;

use crate::bucket::Key;
use crate::signature::PurposeKeys;

/// Computes units. The only place that determines how.
#[derive(Clone, Debug)]
pub enum UnitHash {
    /// Without a secret key: a reader of logs who guesses an identity can compute its unit.
    Plain(Key),
    /// By the first of these keys. A tool that does not have them knows no unit.
    Keyed(Arc<PurposeKeys>),
}

impl UnitHash {
    /// The hash without a secret key.
    pub fn without_key() -> Self {
        Self::Plain(Key::unit())
    }

    /// Whether the units depend on a secret key.
    pub const fn is_keyed(&self) -> bool {
        matches!(self, Self::Keyed(_))
    }

    /// The unit of an identity; written as 16 hexadecimal digits. `None`: its key is not known here.
    pub fn unit(&self, identity: &[u8]) -> Option<u64> {
        match self {
            Self::Plain(key) => Some(key.hash(identity)),
            Self::Keyed(keys) => keys.hash(identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing an answer makes logs before and after it incomparable. The values are those of an
    /// independent implementation of murmur3 (Python's mmh3) for the key `u:<identity>`.
    #[test]
    fn the_units_are_pinned() {
        let hash = UnitHash::without_key();
        for (identity, unit) in [
            (&b"1"[..], "a1b464bb526873c9"),
            (b"user-14", "b633674aa035c00b"),
            (b"\xff\x00", "9a33e80cbd54663b"),
        ] {
            assert_eq!(
                hash.unit(identity)
                    .map(|unit| format!("{unit:016x}"))
                    .as_deref(),
                Some(unit)
            );
        }
    }
}
