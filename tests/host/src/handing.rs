//! A proxy that does not hand over what it was lent.

use crate::vm::Vm;

/// What the proxy says of the bytes that it hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handing {
    /// Where they are.
    #[default]
    AsLent,
    /// One byte behind where they begin.
    Elsewhere,
    /// More of them than there was room for.
    Longer,
    /// So many, at no address.
    Nowhere,
}

impl Handing {
    /// All that is wrong.
    pub const LIES: [Handing; 3] = [Handing::Elsewhere, Handing::Longer, Handing::Nowhere];

    /// What is said of `length` bytes at `pointer`.
    pub(crate) const fn said(self, pointer: u32, length: u32) -> (u32, u32) {
        match self {
            Handing::AsLent => (pointer, length),
            Handing::Elsewhere => (pointer.wrapping_add(1), length),
            Handing::Longer => (pointer, u32::MAX),
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
