//! Gates and spans: which positions are admitted. Must not depend on splits.

use super::key::Key;
use super::position::{Position, Share};

/// Share of users, selected by position. A larger share keeps all users of a smaller one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    key: Key,
    share: Share,
}

impl Gate {
    /// Admits `share` of the users by their positions for `key`.
    pub const fn new(key: Key, share: Share) -> Self {
        Self { key, share }
    }

    /// Key of the positions.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Share of admitted users.
    pub const fn share(&self) -> Share {
        self.share
    }

    /// Whether users are admitted, if that is the same for all users.
    pub fn constant(&self) -> Option<bool> {
        self.share.constant()
    }

    /// Position of a user.
    pub fn position(&self, identity: &[u8]) -> Position {
        self.key.position(identity)
    }

    /// Whether a user is admitted.
    pub fn admits(&self, identity: &[u8]) -> bool {
        self.share.admits(self.position(identity))
    }
}

/// Range of positions, such as a test's part of a layer. Spans that do not overlap have no user in
/// common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    key: Key,
    from: Share,
    to: Share,
}

impl Span {
    /// Range from `from` (inclusive) to `to` (exclusive).
    pub const fn new(key: Key, from: Share, to: Share) -> Self {
        Self { key, from, to }
    }

    /// Key of the positions.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Share of users in the range.
    pub const fn share(&self) -> Share {
        Share(self.to.0.saturating_sub(self.from.0))
    }

    /// Start (inclusive) and end (exclusive).
    pub const fn ends(&self) -> (Share, Share) {
        (self.from, self.to)
    }

    /// Position of a user.
    pub fn position(&self, identity: &[u8]) -> Position {
        self.key.position(identity)
    }

    /// Whether the range contains all positions; no identity is needed then.
    pub fn is_whole(&self) -> bool {
        self.share() == Share::ALL
    }

    /// Whether a user is in the range.
    pub fn admits(&self, identity: &[u8]) -> bool {
        self.contains(self.position(identity))
    }

    const fn contains(&self, position: Position) -> bool {
        !self.from.admits(position) && self.to.admits(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::key::Purpose;

    #[test]
    fn a_span_includes_its_start_and_excludes_its_end() {
        let percent = |number| Share::from_percent(number).unwrap();
        let key = Key::new(Purpose::Layer, "page");
        let span = Span::new(key, percent(20.0), percent(50.0));
        assert_eq!(span.share(), percent(30.0));
        for (position, inside) in [
            (0, false),
            (199_999, false),
            (200_000, true),
            (499_999, true),
            (500_000, false),
            (999_999, false),
        ] {
            assert_eq!(span.contains(Position(position)), inside, "{position}");
        }
    }
}
