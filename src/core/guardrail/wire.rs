//! Variable-length numbers: seven bits per byte, lowest first. Must not depend on other modules.

/// Writer of a blob.
#[derive(Debug, Default)]
pub(super) struct BlobWriter(Vec<u8>);

impl BlobWriter {
    // Called in many places, once per tick: small is better than fast.
    #[inline(never)]
    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            #[allow(clippy::cast_possible_truncation, reason = "seven bits")]
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    pub(super) fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).unwrap_or(u64::MAX));
    }

    pub(super) fn optional(&mut self, number: Option<u64>) {
        self.number(u64::from(number.is_some()));
        if let Some(number) = number {
            self.number(number);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reader of a blob. Returns `None` for bytes that are not a number.
#[derive(Debug)]
pub(super) struct BlobReader<'a>(&'a [u8]);

impl<'a> BlobReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number: u64 = 0;
        for place in 0..10_u32 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            let shift = place.saturating_mul(7);
            if bits.leading_zeros() < shift {
                return None;
            }
            number |= bits.checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    #[inline(never)]
    pub(super) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Number of elements that follow; `None` above `max`.
    pub(super) fn length(&mut self, max: usize) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= max).then_some(length)
    }

    pub(super) fn optional(&mut self) -> Option<Option<u64>> {
        match self.number()? {
            0 => Some(None),
            1 => Some(Some(self.number()?)),
            _ => None,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = (0..64).flat_map(|bit| [1 << bit, (1_u64 << bit) - 1, u64::MAX >> bit]);
        for number in numbers {
            let mut writer = BlobWriter::default();
            writer.number(number);
            writer.optional(Some(number));
            writer.optional(None);
            let bytes = writer.into_bytes();
            let mut reader = BlobReader::new(&bytes);
            assert_eq!(reader.number(), Some(number));
            assert_eq!(reader.optional(), Some(Some(number)));
            assert_eq!(reader.optional(), Some(None));
            assert!(reader.is_done());
        }
    }

    #[test]
    fn bytes_that_are_not_a_number_are_refused() {
        let too_large = [&[0xff; 9][..], &[0x02]].concat();
        let too_long = [0x80; 11];
        for bytes in [&[][..], &[0x80], &too_large, &too_long] {
            assert_eq!(BlobReader::new(bytes).number(), None, "{bytes:?}");
        }
    }
}
