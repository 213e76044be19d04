//! Bucketing, version 1: from an identity to a position or a version. Must not depend on requests
//! or on the policy.
//!
//! A change of any result moves users between versions during their experiments and is a breaking
//! change. `tests/vectors/bucketing.json`, computed by an independent implementation, pins the
//! results.
//!
//! A **key** is `<purpose>:<salt>:<identity>`. Names in a configuration contain no colon, so keys
//! of different purposes differ. The first 64 bits of the key's murmur3 hash (x64, 128 bits, seed
//! 0) become a **position** from 0 to 999,999, or a **score** in a weighted rendezvous.

mod gate;
mod key;
mod line;
mod position;
mod sdk;
mod split;

pub use gate::{Gate, Span};
pub use key::{Key, Purpose};
pub use line::{Arms, UserLine};
pub use position::{POSITIONS, Position, Share};
pub use sdk::{GrowthBookVersion, SdkArms, SdkHash, SdkPlace};
pub use split::Split;
