//! Byte strings of a few bytes as one number, without a loop.

/// Up to eight bytes as a number, the first one lowest; zeros above them. Of more than eight it
/// makes nothing of use.
#[inline(always)]
pub(crate) fn word(bytes: &[u8]) -> u64 {
    // In bits, and masked as the processor would do it.
    let shift = |place: usize| (place as u64 & 7) << 3;
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Where the two overlap, they agree.
        let place = bytes.len().wrapping_sub(4);
        let last = u64::from(u32::from_le_bytes(*last)) << shift(place);
        return u64::from(u32::from_le_bytes(*first)) | last;
    }
    let middle = bytes.len() >> 1;
    match (bytes, bytes.get(middle)) {
        ([first, .., last], Some(byte)) => {
            let end = shift(bytes.len().wrapping_sub(1));
            u64::from(*first) | u64::from(*byte) << shift(middle) | u64::from(*last) << end
        }
        ([only], _) => u64::from(*only),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_bytes_from_the_lowest_up_and_zeros_above() {
        for length in 0..=8 {
            let bytes: Vec<u8> = (0xf1..).take(length).collect();
            let mut whole = [0; 8];
            whole
                .iter_mut()
                .zip(&bytes)
                .for_each(|(to, byte)| *to = *byte);
            assert_eq!(word(&bytes), u64::from_le_bytes(whole), "{bytes:x?}");
        }
    }
}
