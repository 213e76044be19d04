//! Shared data with one value and compare-and-swap, as Envoy implements it. Must not depend on
//! other modules.

/// One shared value.
#[derive(Clone, Debug, Default)]
pub struct Store {
    value: Option<Vec<u8>>,
    cas: u32,
    /// Number of failed writes.
    pub conflicts: u64,
}

impl Store {
    /// The value and its compare-and-swap number, which is not 0 for a missing value.
    pub fn get(&self) -> (Option<&[u8]>, u32) {
        let cas = if self.value.is_some() {
            self.cas
        } else {
            u32::MAX
        };
        (self.value.as_deref(), cas)
    }

    /// Replaces the value if it has not changed since it was read.
    pub fn swap(&mut self, value: Vec<u8>, cas: u32) -> bool {
        // A missing key accepts any number, as in Envoy; the second of two first writes finds a
        // value with another number.
        if self.value.is_some() && cas != self.cas {
            self.conflicts = self.conflicts.saturating_add(1);
            return false;
        }
        self.value = Some(value);
        self.cas = self.cas.wrapping_add(1).max(1);
        true
    }
}
