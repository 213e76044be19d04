//! The host's serialized header map, read in place.
//!
//! Little-endian: a count, then for each pair the lengths of name and value, then for
//! each pair name, NUL, value, NUL.

/// The bytes are no header map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Iterates over the pairs of a serialized header map.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    lengths: &'a [u8],
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the count and finds where the values begin.
    ///
    /// # Errors
    /// When the count promises more than there is.
    pub fn new(block: &'a [u8]) -> Result<Self, Malformed> {
        // The host hands an empty map over as no bytes at all.
        if block.is_empty() {
            return Ok(Self {
                lengths: &[],
                data: &[],
            });
        }
        let (count, rest) = take_u32(block).ok_or(Malformed)?;
        let size = count.checked_mul(8).ok_or(Malformed)?;
        let (lengths, data) = rest.split_at_checked(size).ok_or(Malformed)?;
        Ok(Self { lengths, data })
    }

    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name, lengths) = take_u32(self.lengths)?;
        let (value, lengths) = take_u32(lengths)?;
        self.lengths = lengths;
        Some((self.text(name)?, self.text(value)?))
    }

    fn text(&mut self, length: usize) -> Option<&'a [u8]> {
        let (text, rest) = self.data.split_at_checked(length)?;
        let (nul, rest) = rest.split_first()?;
        self.data = rest;
        (*nul == 0).then_some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.lengths.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_none() {
            self.lengths = &[];
        }
        Some(pair.ok_or(Malformed))
    }
}

fn take_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
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
