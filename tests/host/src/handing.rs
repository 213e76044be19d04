//! A proxy that lies about where it has written what it hands over, or how much that is.

use crate::vm::Vm;

/// What the proxy says of the bytes that it hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handing {
    /// Where they are.
    #[default]
    AsLent,
    /// One byte behind where they begin.
    Elsewhere,
    /// One more of them than the filter can ever have made room for.
    Longer,
    /// As many as there are numbers.
    Endless,
    /// So many, at no address.
    Nowhere,
}

impl Handing {
    /// All that is wrong.
    pub const LIES: [Handing; 4] = [
        Handing::Elsewhere,
        Handing::Longer,
        Handing::Endless,
        Handing::Nowhere,
    ];

    /// What is said of `length` bytes at `pointer`, where the filter was never asked
    /// to make room for more than `most`.
    pub(crate) const fn said(self, pointer: u32, length: u32, most: u32) -> (u32, u32) {
        match self {
            Handing::AsLent => (pointer, length),
            Handing::Elsewhere => (pointer.wrapping_add(1), length),
            // The filter makes room for the next power of two.
            Handing::Longer => (pointer, most.next_power_of_two() + 1),
            Handing::Endless => (pointer, u32::MAX),
            Handing::Nowhere => (0, length),
        }
    }
}

impl Vm {
    /// From now on, the proxy says this of what it hands over.
    pub fn hand_over(&mut self, handing: Handing) {
        self.store.data_mut().handing = handing;
    }
}
