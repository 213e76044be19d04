//! Units: digits that stand for identities in logs. Must not depend on requests.

use crate::bucket::Key;

/// Computes units. The only place that determines how: with a secret key, it belongs here.
#[derive(Clone, Debug)]
pub struct UnitHash(Key);

impl UnitHash {
    /// The hash without a secret key: a reader of logs who guesses an identity can compute its unit.
    pub fn without_key() -> Self {
        Self(Key::unit())
    }

    /// The unit of an identity; written as 16 hexadecimal digits.
    pub fn unit(&self, identity: &[u8]) -> u64 {
        self.0.hash(identity)
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
            assert_eq!(format!("{:016x}", hash.unit(identity)), unit);
        }
    }
}
