//! Who is let in: up to a point of a line, or between two points of it.

use super::{Key, Position, Share};

/// A share of users, chosen by their position on a line.
///
/// Raising the share only ever adds users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    key: Key,
    share: Share,
}

impl Gate {
    /// The gate that lets `share` of the users on the line of `key` pass.
    pub const fn new(key: Key, share: Share) -> Self {
        Self { key, share }
    }

    /// How many users pass.
    pub const fn share(&self) -> Share {
        self.share
    }

    /// The answer where it is the same for everybody.
    pub fn foregone(&self) -> Option<bool> {
        self.share.foregone()
    }

    /// Where this user lies on the gate's line.
    pub fn position(&self, identity: &[u8]) -> Position {
        self.key.position(identity)
    }

    /// Whether this user passes.
    pub fn admits(&self, identity: &[u8]) -> bool {
        self.share.admits(self.position(identity))
    }
}

/// A stretch of a line: from one share of it up to another. Several of them that do not
/// overlap have no user in common, which is what a layer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    key: Key,
    from: Share,
    to: Share,
}

impl Span {
    /// The stretch from `from`, which is in, to `to`, which is not.
    pub const fn new(key: Key, from: Share, to: Share) -> Self {
        Self { key, from, to }
    }

    /// How many users are in.
    pub const fn share(&self) -> Share {
        Share(self.to.0.saturating_sub(self.from.0))
    }

    /// Where it begins, which is in, and where it ends, which is not.
    pub const fn ends(&self) -> (Share, Share) {
        (self.from, self.to)
    }

    /// Where this user lies on its line.
    pub fn position(&self, identity: &[u8]) -> Position {
        self.key.position(identity)
    }

    /// Whether everybody is in, so that nobody has to be asked who they are.
    pub fn is_whole(&self) -> bool {
        self.share() == Share::ALL
    }

    /// Whether this user is in.
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
    use crate::bucket::Purpose;

    #[test]
    fn a_span_begins_with_its_first_position_and_ends_before_its_last() {
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
