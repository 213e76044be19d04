//! Changes of what stands for a user in `headers.unit`. Must not depend on the environment: a change of the keys
//! themselves is not in a configuration.

use serde_json::Value;

use super::Side;
use crate::source::PassedKeys;

/// Whether keys make the units, as far as a configuration says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnitOrigin {
    /// It needs keys, or its plugin passes them.
    Keys,
    /// Its plugin passes none.
    NoKeys,
    /// It needs none, and does not say whether there are any.
    Unsaid,
}

impl UnitOrigin {
    fn of(side: Side<'_>) -> Self {
        let is_needed = !side.config.policy.signed_purposes().is_empty();
        match side.keys {
            PassedKeys::Host | PassedKeys::Written => Self::Keys,
            _ if is_needed => Self::Keys,
            PassedKeys::Absent => Self::NoKeys,
            PassedKeys::Unknown => Self::Unsaid,
        }
    }
}

/// Name of the header with the units.
pub(super) fn header(raw: &Value) -> Option<&str> {
    raw.pointer("/headers/unit")?.as_str()
}

/// Whether both configurations write units.
pub(super) fn in_both(old: &Value, new: &Value) -> bool {
    header(old).is_some() && header(new).is_some()
}

/// The changes for all users.
pub(super) fn notes(old: Side<'_>, new: Side<'_>) -> Vec<String> {
    let [Some(was), Some(is)] = [old, new].map(|side| header(&side.config.raw)) else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    if was != is {
        notes.push(format!(
            "headers.unit: is now in {is}, no longer in {was}: access logs and applications have to read it there"
        ));
    }
    let other = "every user gets another unit, and a running test counts its users twice";
    let note = match [old, new].map(UnitOrigin::of) {
        [UnitOrigin::NoKeys, UnitOrigin::Keys] => {
            format!("headers.unit: is now made by a key: {other}")
        }
        [UnitOrigin::Keys, UnitOrigin::NoKeys] => {
            format!("headers.unit: is no longer made by a key: {other}")
        }
        [UnitOrigin::Unsaid, UnitOrigin::Keys] => {
            format!(
                "headers.unit: is now made by a key: if the proxies had no keys before, {other}"
            )
        }
        [UnitOrigin::Keys, UnitOrigin::Unsaid] => format!(
            "headers.unit: keys are no longer needed: if the proxies lose them with this change, {other}"
        ),
        _ => return notes,
    };
    notes.push(note);
    notes
}
