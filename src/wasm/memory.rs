//! Memory for bytes that the proxy passes to the filter.
//!
//! The proxy asks for memory during a call, and the call returns its address. One buffer
//! serves one call after the other.

use std::cell::Cell;
use std::ops::Deref;

/// Size of the largest buffer that is kept for later calls: the largest header map that Envoy
/// accepts by default.
const MAX_KEPT: usize = 64 * 1024;

thread_local! {
    /// The buffer for the next or the running call.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Address of `size` bytes for the running call; `None` without bytes or if memory is
/// exhausted.
pub fn allocate(size: usize) -> Option<*mut u8> {
    let mut buffer = BUFFER.take();
    if size > buffer.len() {
        buffer.try_reserve(size.saturating_sub(buffer.len())).ok()?;
        buffer.resize(size, 0);
    }
    let address = (size > 0).then_some(buffer.as_mut_ptr());
    BUFFER.set(buffer);
    address
}

/// Bytes that a call returned. Their memory serves later calls.
#[derive(Default)]
pub struct Answer {
    buffer: Vec<u8>,
    size: usize,
}

impl Answer {
    /// The bytes that the proxy has just written; none if it names other memory.
    pub fn take(address: *const u8, size: usize) -> Self {
        if address.is_null() {
            return Self::default();
        }
        let buffer = BUFFER.take();
        let size = if address == buffer.as_ptr() { size } else { 0 };
        Self { buffer, size }
    }
}

impl From<Answer> for Vec<u8> {
    /// The bytes, to be kept. Later calls use other memory.
    fn from(mut answer: Answer) -> Self {
        let mut bytes = std::mem::take(&mut answer.buffer);
        bytes.truncate(answer.size);
        bytes
    }
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(..self.size).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if (1..=MAX_KEPT).contains(&self.buffer.len()) {
            BUFFER.set(std::mem::take(&mut self.buffer));
        }
    }
}
