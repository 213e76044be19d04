//! Values of a request by the number of their name: read once, however many conditions ask for
//! them. Must not depend on what the values are.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The values of each number, in their order in the request. A map, because a configuration may
/// have thousands of names of which a request has few.
#[derive(Clone, Debug)]
pub(super) struct ByNumber<V>(FxHashMap<u32, SmallVec<[V; 1]>>);

impl<V> Default for ByNumber<V> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<V> ByNumber<V> {
    /// The values of a number.
    pub fn get(&self, number: u32) -> &[V] {
        self.0.get(&number).map_or(&[], SmallVec::as_slice)
    }

    /// Adds a value.
    pub fn add(&mut self, number: u32, value: V) {
        self.0.entry(number).or_default().push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_number_are_in_their_order() {
        let mut values = ByNumber::default();
        for (number, value) in [(3, "a"), (0, "b"), (3, "c"), (0, "d")] {
            values.add(number, value);
        }
        assert_eq!(values.get(3), ["a", "c"]);
        assert_eq!(values.get(0), ["b", "d"]);
        for absent in [1, 2, 4, u32::MAX] {
            assert!(values.get(absent).is_empty(), "{absent}");
        }
    }
}
