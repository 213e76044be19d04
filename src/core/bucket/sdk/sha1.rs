//! The systems that hash with SHA-1. Must not depend on the arms.

use sha1::{Digest as _, Sha1};

/// The largest number of 15 hexadecimal digits.
const LONGEST: u64 = 0xfff_ffff_ffff_ffff;

/// The first 15 hexadecimal digits of the hash, from 0 to 1.
pub(super) fn fraction(parts: &[&[u8]]) -> f64 {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize();
    let bytes = digest.first_chunk::<8>().copied().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "the SDKs round as well")]
    let fraction = (u64::from_be_bytes(bytes) >> 4) as f64 / LONGEST as f64;
    fraction
}
