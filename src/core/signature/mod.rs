//! Signatures: keys from the environment of the VM, what they sign, and how a signature is checked.
//!
//! A signature is the first half of an HMAC-SHA-256, as 22 characters of base64url. Every purpose has
//! a derived key, so that a signature for one is worth nothing for another. Time, randomness and keys
//! are arguments. A leaf: depends on no other module.

mod keys;
mod mac;
pub mod number;

pub use keys::{KeyRing, KeySet, MAX_KEYS};
pub use mac::{PurposeKeys, SignatureVerdict};

/// The environment variable with the keys.
pub const VARIABLE: &str = "DIVVY_KEYS";

/// The id of a key that signs nothing and makes the units, so that a rotation of the others changes none.
pub const UNIT_ID: &str = "unit";

/// Maximum number of signatures that are verified for one request.
pub const MAX_VERIFIED: u8 = 16;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum KeyPurpose {
    /// Sticky cookies.
    Sticky,
    /// Minted identities.
    Mint,
    /// Overrides.
    Override,
    /// Units, which are digits in place of identities.
    Unit,
}

impl KeyPurpose {
    /// All purposes, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Sticky, Self::Mint, Self::Override, Self::Unit];

    /// The name in labels and in the derivation of keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sticky => "sticky",
            Self::Mint => "mint",
            Self::Override => "override",
            Self::Unit => "unit",
        }
    }
}

/// The result of a check, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SignatureResult {
    /// It is valid.
    Ok,
    /// It is not a signature of this content.
    Bad,
    /// It is too old, not valid yet, or revoked.
    Expired,
    /// No key has its id.
    UnknownKey,
}

impl SignatureResult {
    /// All results, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Bad, Self::Expired, Self::UnknownKey];

    /// The name in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Expired => "expired",
            Self::UnknownKey => "unknown_key",
        }
    }
}
