//! Values of a request by the number of their name: read once, however many conditions ask for
//! them. Must not depend on what the values are.

use smallvec::SmallVec;

/// The values of each number, in their order in the request.
#[derive(Clone, Debug)]
pub(super) struct ByNumber<V>(Vec<SmallVec<[V; 1]>>);

impl<V> Default for ByNumber<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> ByNumber<V> {
    /// The values of a number.
    pub fn get(&self, number: u32) -> &[V] {
        let values = index(number).and_then(|index| self.0.get(index));
        values.map_or(&[], SmallVec::as_slice)
    }

    /// Adds a value.
    pub fn add(&mut self, number: u32, value: V) {
        let Some(index) = index(number) else { return };
        if self.0.len() <= index {
            self.0.resize_with(index.saturating_add(1), SmallVec::new);
        }
        if let Some(values) = self.0.get_mut(index) {
            values.push(value);
        }
    }
}

fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
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
