//! GrowthBook, which hashes with FNV-1a of 32 bits. Must not depend on the arms.
//!
//! Own code: the crate `fnv` has the hash of 64 bits only.

use super::GrowthBookVersion;

const OFFSET: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

fn hash(parts: [&[u8]; 2]) -> u32 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(PRIME)
    })
}

/// A value, and the number of values.
pub(super) fn growthbook(seed: &str, version: GrowthBookVersion, identity: &[u8]) -> (u64, u64) {
    let hash = match version {
        GrowthBookVersion::V1 => hash([identity, seed.as_bytes()]),
        GrowthBookVersion::V2 => {
            let first = hash([seed.as_bytes(), identity]).to_string();
            hash([first.as_bytes(), b""])
        }
    };
    let values = u64::from(version.values());
    let value = u64::from(hash).checked_rem(values).unwrap_or_default();
    (value, values)
}
