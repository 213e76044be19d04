//! Compare-and-swap on a value that all VMs of one proxy share.
//!
//! Depends on no host: the filter uses it on Envoy's shared data, the simulator on a store
//! of its own.

/// Number of writes that are tried before an update gives up.
pub const ATTEMPTS: u32 = 16;

/// Number that a shared value carries and that changes with each write.
pub type Generation = u32;

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The value was replaced.
    Done,
    /// The value was written by another VM since it was read.
    Conflict,
    /// The host did not write.
    Refused,
}

/// A value that several VMs share.
pub trait SharedValue {
    /// The value and its generation. `None` if it is absent or the host does not answer.
    fn read(&self) -> Option<(Vec<u8>, Generation)>;

    /// Replaces the value if its generation still is the one that was read. `None`: the
    /// value was absent.
    fn swap(&mut self, value: &[u8], read: Option<Generation>) -> Swap;
}

/// What an update makes of the value that it read.
#[derive(Debug)]
pub struct Change<T> {
    /// The new value. `None` leaves the value as it is.
    pub value: Option<Vec<u8>>,
    /// Result of the update if the value was still current when it was written.
    pub result: T,
}

/// A read-modify-write of a shared value that starts over after a conflict.
///
/// Reading and writing are separate steps, so that the simulator can run the steps of
/// several VMs in any order.
#[derive(Debug)]
pub struct Update<T> {
    conflicts: u32,
    pending: Option<(Option<Generation>, Change<T>)>,
}

impl<T> Default for Update<T> {
    fn default() -> Self {
        Self {
            conflicts: 0,
            pending: None,
        }
    }
}

impl<T> Update<T> {
    /// Reads the value and works out the change, or writes the change of the step before.
    /// `None` while a step remains, `Some(None)` if the value could not be written.
    pub fn step(
        &mut self,
        shared: &mut (impl SharedValue + ?Sized),
        change: impl FnOnce(Option<&[u8]>) -> Change<T>,
    ) -> Option<Option<T>> {
        let Some((read, Change { value, result })) = self.pending.take() else {
            let (value, read) = shared.read().unzip();
            self.pending = Some((read, change(value.as_deref())));
            return None;
        };
        match value.map_or(Swap::Done, |value| shared.swap(&value, read)) {
            Swap::Done => Some(Some(result)),
            Swap::Refused => Some(None),
            Swap::Conflict => {
                self.conflicts = self.conflicts.saturating_add(1);
                (self.conflicts >= ATTEMPTS).then_some(None)
            }
        }
    }
}

/// Updates a shared value. `None` if it could not be written: the host refused, or other
/// VMs were faster each time.
pub fn update<T>(
    shared: &mut dyn SharedValue,
    mut change: impl FnMut(Option<&[u8]>) -> Change<T>,
) -> Option<T> {
    let mut last = None;
    let written = update_bytes(shared, &mut |bytes| {
        let Change { value, result } = change(bytes);
        last = Some(result);
        value
    });
    last.filter(|_| written)
}

/// Makes the new value from the stored one; `None`: it stays.
type ChangeBytes<'c> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'c;

/// The same for all types of results, because it is large.
#[inline(never)]
fn update_bytes(shared: &mut dyn SharedValue, change: &mut ChangeBytes<'_>) -> bool {
    let mut update = Update::default();
    loop {
        let step = update.step(shared, |bytes| Change {
            value: change(bytes),
            result: (),
        });
        if let Some(done) = step {
            return done.is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shared value that another VM writes before each of the first `rivals` writes.
    struct Contended {
        value: Vec<u8>,
        generation: Generation,
        rivals: u32,
    }

    impl SharedValue for Contended {
        fn read(&self) -> Option<(Vec<u8>, Generation)> {
            Some((self.value.clone(), self.generation))
        }

        fn swap(&mut self, value: &[u8], read: Option<Generation>) -> Swap {
            if self.rivals > 0 {
                self.rivals -= 1;
                self.value.push(b'r');
                self.generation += 1;
            }
            if read != Some(self.generation) {
                return Swap::Conflict;
            }
            self.value = value.to_vec();
            self.generation += 1;
            Swap::Done
        }
    }

    fn append(rivals: u32) -> (Option<usize>, Vec<u8>) {
        let mut shared = Contended {
            value: Vec::new(),
            generation: 1,
            rivals,
        };
        let length = update(&mut shared, |value| {
            let mut value = value.unwrap_or_default().to_vec();
            value.push(b'a');
            Change {
                result: value.len(),
                value: Some(value),
            }
        });
        (length, shared.value)
    }

    #[test]
    fn an_update_keeps_what_other_vms_wrote_meanwhile() {
        assert_eq!(append(0), (Some(1), b"a".to_vec()));
        assert_eq!(append(3), (Some(4), b"rrra".to_vec()));
    }

    #[test]
    fn an_update_gives_up_after_a_bounded_number_of_conflicts() {
        let (length, value) = append(100);
        assert_eq!(length, None);
        assert_eq!(value.len(), ATTEMPTS as usize);
    }
}
