//! The host's serialized map of headers or of a claim: read in place, and written for tools
//! and tests.
//!
//! Little-endian: a count, then for each pair the lengths of name and value, then for
//! each pair name, NUL, value, NUL.

use std::slice;

/// The bytes are not a serialized map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A name and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Iterates over the pairs of a serialized header map.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    /// The lengths of each name and its value.
    lengths: slice::Iter<'a, [[u8; 4]; 2]>,
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the count and finds the beginning of the data.
    ///
    /// # Errors
    /// If the block is shorter than its count requires.
    pub fn new(block: &'a [u8]) -> Result<Self, Malformed> {
        // The host serializes an empty map as no bytes.
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

    /// The next pair whose name is wanted, by its length and last byte. Of the others only the
    /// form is checked.
    pub(super) fn next_if(
        &mut self,
        wanted: impl Fn(usize, u8) -> bool,
    ) -> Option<Result<Pair<'a>, Malformed>> {
        loop {
            let [name, value] = *self.lengths.next()?;
            let Some((length, pair)) = self.take(name, value) else {
                break;
            };
            let Some((name, [0, value @ .., 0])) = pair.split_at_checked(length) else {
                break;
            };
            if wanted(length, name.last().copied().unwrap_or_default()) {
                return Some(Ok((name, value)));
            }
        }
        self.lengths = [].iter();
        Some(Err(Malformed))
    }

    /// The next name, NUL, value, NUL, with the length of the name.
    fn take(&mut self, name: [u8; 4], value: [u8; 4]) -> Option<(usize, &'a [u8])> {
        let [name, value] = [name, value].map(|length| u64::from(u32::from_le_bytes(length)));
        let length = usize::try_from(name.wrapping_add(value).wrapping_add(2)).ok()?;
        let (pair, rest) = self.data.split_at_checked(length)?;
        self.data = rest;
        Some((usize::try_from(name).ok()?, pair))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_if(|_, _| true)
    }
}

/// The lengths, and the data behind them.
fn split(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = block.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    rest.split_at_checked(count.checked_mul(8)?)
}

/// Serializes a map. The filter itself never does.
pub fn serialize_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = length(pairs.len()).to_vec();
    for (name, value) in pairs {
        block.extend(length(name.as_ref().len()));
        block.extend(length(value.as_ref().len()));
    }
    for (name, value) in pairs {
        block.extend([name.as_ref(), b"\0", value.as_ref(), b"\0"].concat());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::serialize_pairs as block;
    use super::*;

    #[test]
    fn pairs_are_read_in_their_order() {
        let pairs: [(&[u8], &[u8]); 3] = [(b":path", b"/"), (b"x", b""), (b"y", b"\xff\0z")];
        let block = block(&pairs);
        let read: Result<Vec<_>, _> = Pairs::new(&block).unwrap().collect();
        assert_eq!(read.unwrap(), pairs);
        assert_eq!(Pairs::new(b"").unwrap().count(), 0);
    }

    #[test]
    fn a_truncated_block_or_a_wrong_length_is_malformed() {
        let whole = block(&[(&b"name"[..], &b"value"[..]), (b"n", b"v")]);
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
    #[test]
    fn a_name_or_value_without_its_nul_is_malformed_even_if_not_wanted() {
        let whole = block(&[(&b"name"[..], &b"value"[..]), (b"n", b"v")]);
        let data = 4 + 2 * 8;
        let ends: Vec<_> = (data..whole.len())
            .filter(|place| whole[*place] == 0)
            .collect();
        assert_eq!(ends.len(), 4);
        for wanted in [true, false] {
            let malformed = |block: &[u8]| {
                let mut pairs = Pairs::new(block).unwrap();
                let last = std::iter::from_fn(|| pairs.next_if(|_, _| wanted)).last();
                last == Some(Err(Malformed))
            };
            assert!(!malformed(&whole));
            for end in &ends {
                let mut open = whole.clone();
                open[*end] = b'!';
                assert!(malformed(&open), "byte {end}, wanted: {wanted}");
            }
        }
    }
}
