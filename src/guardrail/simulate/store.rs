//! Envoy's shared data, as far as a rollout sees it: one value that changes hands by
//! compare-and-swap.

/// A value that several VMs share.
#[derive(Clone, Debug, Default)]
pub struct Store {
    value: Option<Vec<u8>>,
    cas: u32,
    /// How often somebody was too late.
    pub conflicts: u64,
}

impl Store {
    /// The value, and the number that a swap has to name. For a value that is not there
    /// that is any number but 0.
    pub fn get(&self) -> (Option<&[u8]>, u32) {
        let cas = if self.value.is_some() {
            self.cas
        } else {
            u32::MAX
        };
        (self.value.as_deref(), cas)
    }

    /// Replaces the value if nobody else did since it was read.
    pub fn swap(&mut self, value: Vec<u8>, cas: u32) -> bool {
        // As Envoy does it: a key that is not there takes any number, so of two first
        // writes the second one finds a value with another number.
        if self.value.is_some() && cas != self.cas {
            self.conflicts = self.conflicts.saturating_add(1);
            return false;
        }
        self.value = Some(value);
        self.cas = self.cas.wrapping_add(1).max(1);
        true
    }
}
