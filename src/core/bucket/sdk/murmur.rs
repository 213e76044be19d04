//! The systems that hash with murmur3-32. Must not depend on the arms.

use std::io::Read as _;

use murmur3::murmur3_32;

/// Seed of Unleash's variants, which makes them independent of the gradual rollout.
const VARIANTS: u32 = 86_028_157;
/// Seed of Optimizely.
const OPTIMIZELY: u32 = 1;

/// The hash of two or three byte strings, one after the other.
fn hash([first, second, third]: [&[u8]; 3], seed: u32) -> u64 {
    // Reading from memory cannot fail.
    murmur3_32(&mut first.chain(second).chain(third), seed)
        .unwrap_or_default()
        .into()
}

const fn remainder(hash: u64, divisor: u64) -> u64 {
    match hash.checked_rem(divisor) {
        Some(rest) => rest,
        None => 0,
    }
}

/// Unleash's gradual rollout: 0 to 99.
pub(super) fn unleash(group: &str, identity: &[u8]) -> u64 {
    remainder(hash([group.as_bytes(), b":", identity], 0), 100)
}

/// Unleash's variants: 0 to `total` − 1.
pub(super) fn unleash_variant(group: &str, identity: &[u8], total: u64) -> u64 {
    remainder(hash([group.as_bytes(), b":", identity], VARIANTS), total)
}

/// Split: 0 to 99.
pub(super) fn split(seed: u32, identity: &[u8]) -> u64 {
    remainder(hash([identity, b"", b""], seed), 100)
}

/// Optimizely: 0 to 9,999.
pub(super) fn optimizely(experiment: &str, identity: &[u8]) -> u64 {
    let hash = hash([identity, experiment.as_bytes(), b""], OPTIMIZELY);
    hash.saturating_mul(10_000) >> 32
}

/// flagd: the 32 bits of the hash.
pub(super) fn flagd(flag: &str, identity: &[u8]) -> u64 {
    hash([flag.as_bytes(), identity, b""], 0)
}
