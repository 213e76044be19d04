//! The host's serialized header map, read in place.
//!
//! Little-endian: a count, then for each pair the lengths of name and value, then for
//! each pair name, NUL, value, NUL.

use std::slice;

/// The bytes are no header map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Iterates over the pairs of a serialized header map.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    /// Of a name and its value each.
    lengths: slice::Iter<'a, [[u8; 4]; 2]>,
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the count and finds where the values begin.
    ///
    /// # Errors
    /// When the count promises more than there is.
    pub fn new(block: &'a [u8]) -> Result<Self, Malformed> {
        // The host hands an empty map over as no bytes at all.
        let (lengths, data) = if block.is_empty() {
            (&[][..], block)
        } else {
            split(block).ok_or(Malformed)?
        };
        let (lengths, _) = lengths.as_chunks();
        let (lengths, _) = lengths.as_chunks();
        let lengths = lengths.iter();
        Ok(Self { lengths, data })
    }

    #[inline(always)]
    fn text(&mut self, length: [u8; 4]) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let (text, rest) = self.data.split_at_checked(length)?;
        let (nul, rest) = rest.split_first()?;
        self.data = rest;
        (*nul == 0).then_some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let [name, value] = *self.lengths.next()?;
        let (name, value) = (self.text(name), self.text(value));
        let (Some(name), Some(value)) = (name, value) else {
            self.lengths = [].iter();
            return Some(Err(Malformed));
        };
        Some(Ok((name, value)))
    }
}

/// The lengths, and what they are the lengths of.
fn split(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = block.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    rest.split_at_checked(count.checked_mul(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut block = (pairs.len() as u32).to_le_bytes().to_vec();
        for (name, value) in pairs {
            block.extend((name.len() as u32).to_le_bytes());
            block.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in pairs {
            block.extend([*name, b"\0", *value, b"\0"].concat());
        }
        block
    }

    #[test]
    fn pairs_come_out_as_they_went_in() {
        let pairs: [(&[u8], &[u8]); 3] = [(b":path", b"/"), (b"x", b""), (b"y", b"\xff\0z")];
        let block = block(&pairs);
        let read: Result<Vec<_>, _> = Pairs::new(&block).unwrap().collect();
        assert_eq!(read.unwrap(), pairs);
        assert_eq!(Pairs::new(b"").unwrap().count(), 0);
    }

    #[test]
    fn whatever_is_cut_off_or_lies_about_its_length_is_malformed_and_ends() {
        let whole = block(&[(b"name", b"value"), (b"n", b"v")]);
        for end in 1..whole.len() {
            let cut = &whole[..end];
            let read: Result<Vec<_>, _> = Pairs::new(cut).and_then(Iterator::collect);
            assert_eq!(read, Err(Malformed), "cut after {end}");
        }
        for byte in 0..20 {
            let mut lying = whole.clone();
            lying[byte] = 0xff;
            let read: Result<Vec<_>, _> = Pairs::new(&lying).and_then(Iterator::collect);
            assert_eq!(read, Err(Malformed), "byte {byte}");
        }
    }
}
