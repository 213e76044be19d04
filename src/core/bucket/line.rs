//! What strategies ask: divvy's own hash, or that of another system's SDK. Must not depend on
//! how either of them hashes.

use super::key::Key;
use super::position::{Position, Share};
use super::sdk::{SdkArms, SdkHash};
use super::split::Split;

/// The line of the users' positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserLine {
    /// That of divvy's own hash.
    Own(Key),
    /// That of another system.
    Sdk(Box<SdkHash>),
}

impl UserLine {
    /// Position of a user.
    pub fn position(&self, identity: &[u8]) -> Position {
        match self {
            Self::Own(key) => key.position(identity),
            Self::Sdk(hash) => hash.place(identity).position(),
        }
    }

    /// The share of the users whose positions are in a share of the line.
    pub fn admitted(&self, share: Share) -> Share {
        match self {
            Self::Own(_) => share,
            Self::Sdk(hash) => hash.admitted(share),
        }
    }

    /// Name of the other system.
    pub fn system(&self) -> Option<&'static str> {
        match self {
            Self::Own(_) => None,
            Self::Sdk(hash) => Some(hash.name()),
        }
    }
}

/// The arms that share the users.
#[derive(Clone, Debug, PartialEq)]
pub enum Arms<V> {
    /// By divvy's own hash.
    Own(Split<V>),
    /// By the hash of another system.
    Sdk(Box<SdkArms<V>>),
}

impl<V: Copy + PartialEq> Arms<V> {
    /// The version of all users, if there is only one.
    pub fn constant(&self) -> Option<V> {
        match self {
            Self::Own(split) => split.constant(),
            Self::Sdk(arms) => arms.constant(),
        }
    }

    /// Whether this version can be chosen.
    pub fn has(&self, version: V) -> bool {
        match self {
            Self::Own(split) => split.has(version),
            Self::Sdk(arms) => arms.has(version),
        }
    }

    /// Whether some users get no arm.
    pub fn leaves_some(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Sdk(arms) => arms.leaves_some(),
        }
    }

    /// Whether a version depends on the position that a cookie holds.
    pub fn depends_on_position(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Sdk(arms) => !arms.hash().has_gate() && arms.constant().is_none(),
        }
    }

    /// Versions with a weight above 0, and their shares of the users.
    pub fn shares(&self) -> Vec<(V, Share)> {
        match self {
            Self::Own(split) => split.shares().collect(),
            Self::Sdk(arms) => arms.shares().collect(),
        }
    }

    /// Version of a user; `None`: not enrolled. `remembered`: the position that a cookie holds.
    pub fn pick(&self, identity: &[u8], remembered: Option<Position>) -> Option<V> {
        match self {
            Self::Own(split) => split.pick(identity),
            Self::Sdk(arms) => arms.pick(identity, remembered),
        }
    }
}
