//! A map from bytes in which most lookups end before they begin.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

/// A map from bytes that knows how long its keys are: most of what requests are looked up
/// for is told apart by its length alone. A key is found in the same time however many
/// there are. The hash needs no protection from clients, who only look up what the
/// configuration put in.
#[derive(Clone, Debug)]
pub struct Table<V> {
    /// Where a key's value stands. Values of all types are found by one and the same code.
    places: HashMap<Box<[u8]>, u32, FxBuildHasher>,
    values: Vec<V>,
    /// Bit n: some key has n bytes (63: 63 or more).
    lengths: u64,
    longest: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            places: HashMap::default(),
            values: Vec::new(),
            lengths: 0,
            longest: 0,
        }
    }
}

impl<V> Table<V> {
    /// The value of this key, a new one if there was none.
    pub fn get_or_insert_with(&mut self, key: &[u8], new: impl FnOnce() -> V) -> Option<&mut V> {
        // No configuration has room for u32::MAX keys.
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key.into()).or_insert(next);
        if place == next {
            self.lengths |= length_bit(key.len());
            self.longest = self.longest.max(key.len());
            self.values.push(new());
        }
        self.values.get_mut(usize::try_from(place).ok()?)
    }

    /// The value of this key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        if self.lengths & length_bit(key.len()) == 0 || key.len() > self.longest {
            return None;
        }
        let place = *self.places.get(key)?;
        self.values.get(usize::try_from(place).ok()?)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The length of the longest key.
    pub const fn longest(&self) -> usize {
        self.longest
    }
}

const fn length_bit(length: usize) -> u64 {
    if length < 63 { 1 << length } else { 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_found_and_no_other() {
        let mut table = Table::default();
        let lengths = [0, 1, 2, 31, 62, 63, 64, 65, 200];
        for length in lengths {
            *table.get_or_insert_with(&vec![b'n'; length], || 0).unwrap() = length;
        }
        for length in lengths {
            assert_eq!(table.get(&vec![b'n'; length]), Some(&length));
            assert_eq!(table.get(&vec![b'm'; length.max(1)]), None);
        }
        for other in [3, 66, 201] {
            assert_eq!(table.get(&vec![b'n'; other]), None);
        }
        assert_eq!((table.len(), table.longest()), (lengths.len(), 200));
    }
}
