//! The header of the unit: digits that stand for the user in logs. Must not depend on how a unit is
//! computed.
//!
//! The unit of the identity at the top, then a part `;<rollout>=<unit>` for each rollout with an
//! identity of its own, whether or not it matches the request. `none` stands for an identity that the
//! request does not have, so that no reader takes one identity for another.

use crate::decide::Outcome;
use crate::identity::{Identity, Origin};
use crate::policy::{Policy, UnitHash};

const NONE: &[u8] = b"none";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the value; nothing if the request has no identity.
#[cold]
#[inline(never)]
pub(super) fn write(policy: &Policy, outcome: &Outcome<'_>, text: &mut Vec<u8>) {
    let Some(hash) = &policy.unit else { return };
    let mut has_unit = write_unit(hash, outcome.identity.as_ref(), text);
    if policy.features.own_identities {
        let own = policy.numbered();
        for (id, rollout) in own.filter(|(_, rollout)| rollout.identity.is_some()) {
            for part in [b";", rollout.name.as_bytes(), b"="] {
                text.extend_from_slice(part);
            }
            has_unit |= write_unit(hash, outcome.identity_of(policy, id), text);
        }
    }
    if !has_unit {
        text.clear();
    }
}

/// Appends a unit, or `none`; whether there is one. A random identity is none: the user's next request
/// has another.
fn write_unit(hash: &UnitHash, identity: Option<&Identity<'_>>, text: &mut Vec<u8>) -> bool {
    let identity = identity.filter(|identity| identity.origin != Origin::Random);
    let Some(unit) = identity.and_then(|identity| hash.unit(&identity.bytes)) else {
        text.extend_from_slice(NONE);
        return false;
    };
    for byte in unit.to_be_bytes() {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(DIGITS.get(usize::from(digit)));
        }
    }
    true
}
