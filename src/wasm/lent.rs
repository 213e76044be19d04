//! Memory that the proxy is lent, to write into what it hands over.
//!
//! It asks for some in the middle of a call that returns bytes, and says at the end of the call
//! what it has written where. The memory of one call serves the next one: a request takes none
//! of its own.
#![allow(unsafe_code, reason = "the proxy writes behind the compiler's back")]

use std::cell::Cell;
use std::mem;
use std::ops::Deref;
use std::ptr::null_mut;

use super::alone::Alone;

/// What is not in use.
static SPARE: Alone<Cell<Vec<u8>>> = Alone(Cell::new(Vec::new()));
/// What the proxy was given in the call that runs.
static LENT: Alone<Cell<Vec<u8>>> = Alone(Cell::new(Vec::new()));

/// What is kept: the headers that Envoy lets in where nobody says otherwise, with their sizes.
const MOST: usize = 64 * 1024;

/// Memory for `size` bytes. Null where there is none, for which the proxy refuses the call.
pub fn lend(size: usize) -> *mut u8 {
    let mut memory = SPARE.0.take();
    if memory.capacity() < size {
        memory = Vec::new();
        // So that it seldom has to grow.
        let room = if size <= MOST {
            size.next_power_of_two()
        } else {
            size
        };
        if memory.try_reserve_exact(room).is_err() {
            return null_mut();
        }
    }
    let start = memory.as_mut_ptr();
    // Whoever asks twice in a call may still write into what it was given first.
    mem::forget(LENT.0.replace(memory));
    start
}

/// What the proxy handed over: `size` bytes at `start`. `None` where it lent no such memory.
pub fn take_back(start: *const u8, size: usize) -> Option<Handed> {
    let mut memory = LENT.0.take();
    if size == 0 || start.is_null() {
        keep(memory);
        return Some(Handed::default());
    }
    if memory.as_ptr() != start || memory.capacity() < size {
        keep(memory);
        return None;
    }
    // SAFETY: there is room for so many bytes, and the proxy has written them.
    unsafe { memory.set_len(size) };
    Some(Handed(memory))
}

/// Lets go of what was lent in a call that was refused.
pub fn let_go() {
    keep(LENT.0.take());
}

fn keep(memory: Vec<u8>) {
    let spare = SPARE.0.take();
    let better = memory.capacity() > spare.capacity() && memory.capacity() <= MOST;
    SPARE.0.set(if better { memory } else { spare });
}

/// Bytes from the proxy, whose memory goes back to where it is from.
#[derive(Default)]
pub struct Handed(Vec<u8>);

impl Deref for Handed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        keep(mem::take(&mut self.0));
    }
}
