//! First half of murmur3_x64_128 with seed 0, divvy's hash.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK: usize = 16;
/// Maximum length of `<purpose>:<salt>:<identity>` with an identity of 256 bytes.
const LONGEST: usize = 512;

/// Position of a user, 0..1,000,000.
#[must_use]
pub fn position(prefix: &[u8], identity: &[u8]) -> u32 {
    ((u128::from(hash(prefix, identity)) * 1_000_000) >> 64) as u32
}

/// Hash of a key: prefix and identity.
#[must_use]
pub fn hash(prefix: &[u8], identity: &[u8]) -> u64 {
    let mut key = [0; LONGEST];
    let length = (prefix.len() + identity.len()).min(LONGEST);
    let rest = identity.len().min(LONGEST - prefix.len());
    key[..prefix.len()].copy_from_slice(prefix);
    key[prefix.len()..length].copy_from_slice(&identity[..rest]);
    murmur(&key[..length])
}

fn murmur(key: &[u8]) -> u64 {
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let mut blocks = key.chunks_exact(BLOCK);
    for block in &mut blocks {
        let (k1, k2) = halves(block);
        h1 ^= first(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= second(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let rest = blocks.remainder();
    let mut tail = [0; BLOCK];
    tail[..rest.len()].copy_from_slice(rest);
    // Zeros leave the hash as it is, so the tail needs no cases.
    let (k1, k2) = halves(&tail);
    h1 ^= first(k1);
    h2 ^= second(k2);

    h1 ^= key.len() as u64;
    h2 ^= key.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    final_mix(h1).wrapping_add(final_mix(h2))
}

fn halves(block: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&block[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0), word(8))
}

fn first(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn second(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn final_mix(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_that_divvy_has() {
        // The position that README names.
        assert_eq!(position(b"t:checkout:", b"1"), 843_529);
        for length in 0..200_usize {
            let identity: Vec<u8> = (0..length).map(|byte| (byte * 7) as u8).collect();
            let mut key = b"t:checkout:".to_vec();
            key.extend(&identity);
            let reference = murmur3::murmur3_x64_128(&mut &key[..], 0).unwrap();
            assert_eq!(murmur(&key), reference as u64, "{length} bytes");
        }
    }
}
