//! Hash map with byte-string keys for lookups by request data. Must not depend on other modules.

use rustc_hash::FxHashMap;

/// Map from byte strings of the configuration to values.
///
/// A request looks up all its header names, paths and cookies, and few of them are keys. The
/// prefilter by length and last byte rejects most others without hashing them, at about a quarter
/// of the cost. The hash needs no random seed: clients only look up, they never insert.
#[derive(Clone, Debug)]
pub struct ByteMap<V> {
    entries: FxHashMap<Box<[u8]>, V>,
    /// Lengths of keys, indexed by last byte modulo [`ROWS`]; bit n: a key of n bytes exists
    /// (63: of 63 or more bytes). Empty if the map is empty.
    lengths: Vec<u64>,
    longest: usize,
}

/// Number of rows in the prefilter; all lower-case letters have different rows.
const ROWS: usize = 32;

impl<V> Default for ByteMap<V> {
    fn default() -> Self {
        Self {
            entries: FxHashMap::default(),
            lengths: Vec::new(),
            longest: 0,
        }
    }
}

impl<V> ByteMap<V> {
    /// Value of this key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        if !self.may_contain(key.len(), last(key)) {
            return None;
        }
        self.find(key)
    }

    /// Apart, so that the prefilter becomes a part of the loops over header lines.
    #[inline(never)]
    fn find(&self, key: &[u8]) -> Option<&V> {
        self.entries.get(key)
    }

    /// Whether this is a key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Whether a key of this length with this last byte may exist.
    pub fn may_contain(&self, length: usize, last: u8) -> bool {
        let (row, bit) = place(length, last);
        self.lengths.get(row).is_some_and(|row| row & bit != 0)
    }

    /// Value of this key; adds the key with the value of `new` if it is absent.
    pub fn get_or_insert_with(&mut self, key: &[u8], new: impl FnOnce() -> V) -> &mut V {
        self.lengths.resize(ROWS, 0);
        let (row, bit) = place(key.len(), last(key));
        if let Some(row) = self.lengths.get_mut(row) {
            *row |= bit;
        }
        self.longest = self.longest.max(key.len());
        self.entries.entry(key.into()).or_insert_with(new)
    }

    /// Keys in an unspecified order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(|key| &**key)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Length of the longest key in bytes.
    pub const fn longest(&self) -> usize {
        self.longest
    }
}

impl ByteMap<u32> {
    /// Number of this key; keys are numbered from 0 in the order in which they are added.
    pub fn number(&mut self, key: &[u8]) -> u32 {
        let next = u32::try_from(self.len()).unwrap_or(u32::MAX);
        *self.get_or_insert_with(key, || next)
    }
}

impl<'k> FromIterator<&'k [u8]> for ByteMap<()> {
    fn from_iter<I: IntoIterator<Item = &'k [u8]>>(keys: I) -> Self {
        let mut map = Self::default();
        for key in keys {
            map.get_or_insert_with(key, || ());
        }
        map
    }
}

fn last(key: &[u8]) -> u8 {
    key.last().copied().unwrap_or_default()
}

/// Row and bit of a key in the prefilter.
fn place(length: usize, last: u8) -> (usize, u64) {
    let length = u32::try_from(length.min(63)).unwrap_or_default();
    (usize::from(last) % ROWS, 1_u64.wrapping_shl(length))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn a_key_of_any_length_is_found_and_a_similar_one_is_not() {
        let mut map = ByteMap::default();
        let lengths = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 62, 63, 64, 65, 200];
        for length in lengths {
            *map.get_or_insert_with(&vec![b'n'; length], || 0) = length;
        }
        for length in lengths {
            let key = vec![b'n'; length];
            assert_eq!(map.get(&key), Some(&length));
            for place in 0..length {
                let mut other = key.clone();
                other[place] = b'm';
                assert_eq!(map.get(&other), None, "{length} bytes, {place}");
            }
        }
        for absent in [3, 66, 201] {
            assert_eq!(map.get(&vec![b'n'; absent]), None);
        }
        assert_eq!(map.longest(), 200);
    }

    /// Keys of three different bytes: the prefilter accepts most of them.
    #[test]
    fn similar_keys_are_found_and_numbered_as_by_a_hash_map() {
        let mut draw = Pcg64Mcg::seed_from_u64(9);
        let mut key = || {
            let length = draw.next_u32() % 20;
            (0..length)
                .map(|_| b"ab\0"[draw.next_u32() as usize % 3])
                .collect::<Vec<u8>>()
        };
        let (mut map, mut reference) = (ByteMap::default(), HashMap::new());
        for _ in 0..5_000 {
            let key = key();
            assert_eq!(map.get(&key), reference.get(&key), "{key:?}");
            let next = reference.len() as u32;
            assert_eq!(map.number(&key), *reference.entry(key).or_insert(next));
            assert_eq!(map.len(), reference.len());
        }
        assert!(map.len() > 3_000);
    }
}
