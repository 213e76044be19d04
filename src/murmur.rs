//! murmur3, x64, 128 bits, seed 0.
//!
//! Not the crate, which reads from a stream and takes four times as many instructions: it is
//! what buckets users, once for each rollout of each request. [A test](self) holds it against
//! that one.

use crate::word::word;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// A hash that bytes are still added to. A copy of it goes on from where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Murmur {
    h1: u64,
    h2: u64,
    /// The bytes that do not fill a block yet, and zeros.
    k1: u64,
    k2: u64,
    /// How many bytes there were.
    length: u64,
}

impl Murmur {
    /// Adds bytes.
    #[must_use]
    pub fn and(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word), 8);
        }
        if !rest.is_empty() {
            self.add(word(rest), rest.len() as u64);
        }
        self
    }

    /// Adds so many bytes of a word, eight at most; above them it has zeros.
    #[inline(always)]
    fn add(&mut self, word: u64, bytes: u64) {
        // A shift by 64 would be one by 0.
        let beyond = |word: u64, shift: u64| (word >> 8) >> (56_u64.wrapping_sub(shift) & 63);
        let shift = (self.length & 7) << 3;
        if self.length & 8 == 0 {
            self.k1 |= word << shift;
            self.k2 = beyond(word, shift);
        } else {
            self.k2 |= word << shift;
        }
        let before = self.length;
        self.length = before.wrapping_add(bytes);
        if before >> 4 != self.length >> 4 {
            self.mix();
            (self.k1, self.k2) = (beyond(word, shift), 0);
        }
    }

    fn mix(&mut self) {
        self.h1 = (self.h1 ^ scramble_1(self.k1)).rotate_left(27);
        self.h1 = self.h1.wrapping_add(self.h2).wrapping_mul(5);
        self.h1 = self.h1.wrapping_add(0x52dc_e729);
        self.h2 = (self.h2 ^ scramble_2(self.k2)).rotate_left(31);
        self.h2 = self.h2.wrapping_add(self.h1).wrapping_mul(5);
        self.h2 = self.h2.wrapping_add(0x3849_5ab5);
    }

    /// The two halves of the hash.
    pub const fn finish(self) -> (u64, u64) {
        // Zeros that are mixed in change nothing.
        let h1 = self.h1 ^ scramble_1(self.k1) ^ self.length;
        let h2 = self.h2 ^ scramble_2(self.k2) ^ self.length;
        let h1 = h1.wrapping_add(h2);
        let h2 = h2.wrapping_add(h1);
        let (h1, h2) = (finalize(h1), finalize(h2));
        let h1 = h1.wrapping_add(h2);
        (h1, h2.wrapping_add(h1))
    }
}

const fn scramble_1(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

const fn scramble_2(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

const fn finalize(mut k: u64) -> u64 {
    k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_crate_wherever_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..=255).map(|n: u8| n.wrapping_mul(167)).collect();
        for length in 0..=80 {
            let whole = &bytes[length..2 * length];
            let meant = murmur3::murmur3_x64_128(&mut &whole[..], 0).unwrap();
            for cut in 0..=length {
                for second in [cut, (cut + length) / 2, length] {
                    let murmur = Murmur::default().and(&whole[..cut]);
                    let murmur = murmur.and(&whole[cut..second]).and(&whole[second..]);
                    let (h1, h2) = murmur.finish();
                    let hash = u128::from(h2) << 64 | u128::from(h1);
                    assert_eq!(hash, meant, "{length} bytes, {cut}, {second}");
                }
            }
        }
    }
}
