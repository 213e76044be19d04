//! Byte strings by number, in which most lookups end before they begin.

/// Byte strings, each with a number: the first has 0, the next one 1. One is found in the same
/// time however many there are, and most of what requests are looked up for is told by its
/// length and its last byte to be none of them.
///
/// Not the standard library's map, which takes four times as many instructions for a few
/// bytes: a request has some twenty headers, and each is looked up.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<Box<[u8]>>,
    /// Each key stands where its hash points to, or in the first free slot behind. Their
    /// number is a power of two, and at least half of them are free.
    slots: Vec<Slot>,
    /// By the last byte, as far as [`HINTS`] goes; bit n: such a key has n bytes (63: or more).
    hints: Vec<u64>,
    longest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// Its number; [`FREE`] where there is none.
    key: u32,
}

/// Letters have different ones.
const HINTS: usize = 32;

/// No configuration has room for so many keys.
const FREE: u32 = u32::MAX;

impl Keys {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            keys: Vec::new(),
            slots: Vec::new(),
            hints: Vec::new(),
            longest: 0,
        }
    }

    /// The number of this key.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        let last = key.last().copied().unwrap_or_default();
        if !self.may_have(key.len(), last) || key.len() > self.longest {
            return None;
        }
        let hash = hash(key);
        let mut place = hash;
        loop {
            let slot = self.slot(place)?;
            if slot.key == FREE {
                return None;
            }
            if slot.hash == hash && same(self.keys.get(index(slot.key))?, key) {
                return Some(slot.key);
            }
            place = place.wrapping_add(1);
        }
    }

    /// Whether there may be a key of this length with this last byte.
    #[inline(always)]
    pub fn may_have(&self, length: usize, last: u8) -> bool {
        let (place, bit) = hint(length, last);
        (self.hints.get(place)).is_some_and(|hints| hints & bit != 0)
    }

    /// The number of this key, a new one if need be.
    pub fn number(&mut self, key: &[u8]) -> u32 {
        if let Some(number) = self.find(key) {
            return number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(FREE);
        self.keys.push(key.into());
        self.hints.resize(HINTS, 0);
        let (place, bit) = hint(key.len(), key.last().copied().unwrap_or_default());
        if let Some(hints) = self.hints.get_mut(place) {
            *hints |= bit;
        }
        self.longest = self.longest.max(key.len());
        if self.slots.len() < self.keys.len().saturating_mul(2) {
            self.grow();
        } else {
            self.put(number, hash(key));
        }
        number
    }

    /// Adds a key. Whether it is a new one.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        let before = self.len();
        self.number(key);
        self.len() > before
    }

    /// Whether this is one of the keys.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The keys, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &**key)
    }

    /// Finds each key a place among twice as many.
    fn grow(&mut self) {
        let many = self.slots.len().saturating_mul(2).max(8);
        let free = Slot { hash: 0, key: FREE };
        self.slots = vec![free; many];
        let hashes: Vec<_> = self.keys.iter().map(|key| hash(key)).collect();
        for (number, hash) in (0..).zip(hashes) {
            self.put(number, hash);
        }
    }

    fn put(&mut self, key: u32, hash: u32) {
        let mut place = hash;
        while self.slot(place).is_some_and(|slot| slot.key != FREE) {
            place = place.wrapping_add(1);
        }
        let place = index(place) & self.mask();
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot { hash, key };
        }
    }

    /// The slot that a hash points to.
    fn slot(&self, hash: u32) -> Option<&Slot> {
        self.slots.get(index(hash) & self.mask())
    }

    const fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The length of the longest key.
    pub const fn longest(&self) -> usize {
        self.longest
    }
}

/// A map from byte strings.
#[derive(Clone, Debug)]
pub struct Table<V> {
    keys: Keys,
    values: Vec<V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Table<V> {
    /// One without keys.
    pub const fn new() -> Self {
        Self {
            keys: Keys::new(),
            values: Vec::new(),
        }
    }

    /// The value of this key, a new one if there was none.
    pub fn get_or_insert_with(&mut self, key: &[u8], new: impl FnOnce() -> V) -> Option<&mut V> {
        let number = index(self.keys.number(key));
        if number >= self.values.len() {
            self.values.push(new());
        }
        self.values.get_mut(number)
    }

    /// The value of this key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.values.get(index(self.keys.find(key)?))
    }

    /// Whether there are no keys.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The length of the longest key.
    pub const fn longest(&self) -> usize {
        self.keys.longest()
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The place and the bit that tell most byte strings from most others.
fn hint(length: usize, last: u8) -> (usize, u64) {
    let length = u32::try_from(length.min(63)).unwrap_or_default();
    (usize::from(last) % HINTS, 1_u64.wrapping_shl(length))
}

/// A hash for keys of a few bytes, eight at a time. It needs no protection from clients, who
/// only look up what the configuration put in.
fn hash(key: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    // Multiplying carries upwards alone, so the upper half comes down.
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(32);
    let (words, rest) = key.as_chunks();
    let mut hash = 0;
    for word in words {
        hash = add(hash, u64::from_le_bytes(*word));
    }
    // What is left, some of it once more if there is enough.
    let rest = match key.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => (rest.iter()).fold(1, |rest, byte| rest << 8 | u64::from(*byte)),
    };
    #[allow(clippy::cast_possible_truncation, reason = "what has been mixed best")]
    let hash = add(add(hash, rest), 0) as u32;
    hash
}

/// Whether the bytes are the same, eight at a time: what `==` calls takes them one by one.
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((words, rest), (others, other_rest)) = (one.as_chunks(), other.as_chunks());
    let mut differ = 0;
    for (word, other) in words.iter().zip(others) {
        differ |= u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
    }
    match (one.last_chunk(), other.last_chunk()) {
        (Some(last), Some(other)) => {
            differ |= u64::from_le_bytes(*last) ^ u64::from_le_bytes(*other);
        }
        _ => {
            for (byte, other) in rest.iter().zip(other_rest) {
                differ |= u64::from(byte ^ other);
            }
        }
    }
    differ == 0
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn a_key_of_any_length_is_found_and_no_other() {
        let mut table = Table::default();
        let lengths = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 62, 63, 64, 65, 200];
        for length in lengths {
            *table.get_or_insert_with(&vec![b'n'; length], || 0).unwrap() = length;
        }
        for length in lengths {
            let key = vec![b'n'; length];
            assert_eq!(table.get(&key), Some(&length));
            for place in 0..length {
                let mut other = key.clone();
                other[place] = b'm';
                assert_eq!(table.get(&other), None, "{length} bytes, {place}");
            }
        }
        for other in [3, 66, 201] {
            assert_eq!(table.get(&vec![b'n'; other]), None);
        }
        assert_eq!(table.longest(), 200);
    }

    /// Keys that are much alike, so that their hints and hashes tell little.
    #[test]
    fn what_is_found_is_what_a_set_has() {
        let mut draw = Pcg64Mcg::seed_from_u64(9);
        let mut key = || {
            let length = draw.next_u32() % 20;
            (0..length)
                .map(|_| b"ab\0"[draw.next_u32() as usize % 3])
                .collect::<Vec<u8>>()
        };
        let (mut keys, mut set) = (Keys::default(), HashSet::new());
        for _ in 0..5_000 {
            let new = key();
            let number = keys.find(&new);
            assert_eq!(number.is_some(), set.contains(&new), "{new:?}");
            assert_eq!(keys.number(&new), number.unwrap_or(set.len() as u32));
            set.insert(new);
            assert_eq!(keys.len(), set.len());
        }
        assert!(set.len() > 3_000);
    }

    #[test]
    fn hashes_of_keys_that_differ_in_a_digit_are_spread() {
        let mut low_bits = HashSet::new();
        for number in 0..1_024 {
            low_bits.insert(hash(format!("shop-{number:04}.example.com").as_bytes()) % 1_024);
        }
        // Of so many drawn at random 63 % would differ.
        assert!(low_bits.len() > 600, "{}", low_bits.len());
    }
}
