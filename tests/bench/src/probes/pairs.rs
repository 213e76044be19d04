//! Serialized header map: count, lengths, then names and values, each followed by NUL.

/// Name and value of a header.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// All headers in order.
pub fn pairs(block: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let count = word(block, 0);
    let mut at = 4 + count * 8;
    (0..count).map_while(move |nth| {
        let name = word(block, 4 + nth * 8);
        let value = word(block, 8 + nth * 8);
        let end = at + name;
        let pair = (block.get(at..end)?, block.get(end + 1..end + 1 + value)?);
        at = end + value + 2;
        Some(pair)
    })
}

fn word(block: &[u8], at: usize) -> usize {
    match block.get(at..at + 4) {
        Some(bytes) => bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | usize::from(*byte)),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_read_and_nothing_behind_them() {
        let block = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0a\0bc\0def\0\0";
        let read: Vec<_> = pairs(block).collect();
        assert_eq!(read, [(&b"a"[..], &b"bc"[..]), (b"def", b"")]);
        assert_eq!(pairs(&block[..24]).count(), 1);
        assert_eq!(pairs(b"").count(), 0);
    }
}
