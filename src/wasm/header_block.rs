//! Header maps in the proxy's serialization. Must not make host calls.

use super::memory::Answer;
use crate::filter::host::HeaderLines;
use crate::request::{Malformed, Pairs, Request};

/// A serialized header map; see [`Pairs`].
pub struct HeaderBlock(pub Answer);

impl HeaderLines for HeaderBlock {
    fn read_into<'a>(&'a self, request: &mut Request<'a>) -> Result<(), Malformed> {
        request.read_block(&self.0)
    }

    fn for_each(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        for pair in Pairs::new(&self.0)? {
            let (name, value) = pair?;
            each(name, value);
        }
        Ok(())
    }
}
