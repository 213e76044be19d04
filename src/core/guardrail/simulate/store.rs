//! Envoy's shared data as one rollout sees it: a value that workers replace by
//! compare-and-swap.

use crate::guardrail::shared_data::{Generation, SharedValue, Swap};

/// A value that several VMs share.
#[derive(Clone, Debug, Default)]
pub struct Store {
    value: Option<Vec<u8>>,
    generation: Generation,
    /// Number of writes that came too late.
    pub conflicts: u64,
}

impl Store {
    /// The value.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

impl SharedValue for Store {
    fn read(&self) -> Option<(Vec<u8>, Generation)> {
        Some((self.value.clone()?, self.generation))
    }

    fn swap(&mut self, value: &[u8], read: Option<Generation>) -> Swap {
        // As in Envoy: an absent key accepts any generation, so the second of two first
        // writes is a conflict.
        if self.value.is_some() && read != Some(self.generation) {
            self.conflicts = self.conflicts.saturating_add(1);
            return Swap::Conflict;
        }
        self.value = Some(value.to_vec());
        self.generation = self.generation.wrapping_add(1).max(1);
        Swap::Done
    }
}
