//! Where an identity lies, and which version that makes: hashing, version 1.
//!
//! Changing an answer of this module moves users between versions in the middle of
//! their experiments, so it is a breaking change. `tests/vectors/bucketing.json`, made
//! by an independent implementation, pins it.
//!
//! A **key** is `<purpose>:<salt>:<identity>`. No name that a configuration may use
//! contains a colon, so keys of different purposes never collide. The key's murmur3
//! hash (x64, 128 bits, seed 0, of which the first 64 bits count) becomes a **position**
//! from 0 to 999,999, or a **score** in a weighted rendezvous.

mod gate;
mod split;

pub use gate::{Gate, Span};
pub use split::Split;

use std::io::Read as _;

use murmur3::murmur3_x64_128;

/// How many positions a line has.
pub const POSITIONS: u32 = 1_000_000;

/// What a key is for. Each purpose has a line of its own, so that being early on one
/// says nothing about the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The traffic gate of an A/B test and the weight of a canary.
    Gate,
    /// The ranges of a layer; the salt is the layer's name.
    Layer,
    /// The holdout; the salt is the holdout's name.
    Holdout,
    /// The share of users whose requests are mirrored.
    Mirror,
}

impl Purpose {
    const fn letter(self) -> &'static str {
        match self {
            Self::Gate => "t",
            Self::Layer => "l",
            Self::Holdout => "h",
            Self::Mirror => "m",
        }
    }
}

/// Prefix of a key: everything before the identity. The configuration determines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Box<[u8]>);

impl Key {
    /// `<purpose>:<salt>:`
    pub fn new(purpose: Purpose, salt: &str) -> Self {
        Self::joined(&[purpose.letter(), salt])
    }

    /// `r:<salt>:<rule>:`, for the percent of a rule. A line of its own, so that a rule
    /// does not eat the users that the canary would have had.
    pub fn rule(salt: &str, rule: &str) -> Self {
        Self::joined(&["r", salt, rule])
    }

    /// `v:<salt>:<version>:`, for one version of a split.
    pub fn version(salt: &str, version: &str) -> Self {
        Self::joined(&["v", salt, version])
    }

    /// `e:<salt>:`, which with a revision behind it tells apart what cookies remember.
    pub fn epoch(salt: &str) -> Self {
        Self::joined(&["e", salt])
    }

    fn joined(parts: &[&str]) -> Self {
        let mut prefix = parts.join(":");
        prefix.push(':');
        Self(prefix.into_bytes().into())
    }

    /// The first 64 bits of the key's hash.
    #[allow(clippy::cast_possible_truncation, reason = "the first 64 of 128 bits")]
    pub fn hash(&self, identity: &[u8]) -> u64 {
        // Reading from memory cannot fail.
        murmur3_x64_128(&mut self.0.chain(identity), 0).unwrap_or_default() as u64
    }

    /// Where the identity lies on this key's line.
    pub fn position(&self, identity: &[u8]) -> Position {
        Position::of(self.hash(identity))
    }

    /// How this version fares in a split: the smallest score wins. `weight` is above 0.
    pub fn score(&self, identity: &[u8], weight: f64) -> f64 {
        score_of(self.hash(identity), weight)
    }
}

fn score_of(hash: u64, weight: f64) -> f64 {
    // 53 bits are what a double holds exactly; the half keeps u off 0.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let u = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // libm's logarithm, natively too: the platform's may differ in the last bit, and then
    // two proxies would disagree about a user.
    -libm::log(u) / weight
}

/// Where an identity lies on a line: 0 to 999,999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u32);

impl Position {
    /// `hash × 1,000,000 >> 64`, by halves of the hash: their products fit.
    const fn of(hash: u64) -> Self {
        const UPPER: u32 = 32;
        let lower = hash & (u32::MAX as u64);
        let carried = lower.wrapping_mul(POSITIONS as u64) >> UPPER;
        let scaled = (hash >> UPPER).wrapping_mul(POSITIONS as u64);
        #[allow(clippy::cast_possible_truncation, reason = "below 1,000,000")]
        let position = (scaled.wrapping_add(carried) >> UPPER) as u32;
        Self(position)
    }

    /// The position in these decimal digits, if they are one as it is written.
    pub fn read(digits: &[u8]) -> Option<Self> {
        if digits.len() > 6 || (digits.len() > 1 && digits.starts_with(b"0")) {
            return None;
        }
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok().map(Self)
    }

    /// The position as a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A share of a line, in parts per million: 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(POSITIONS);

    /// A percentage from 0 to 100 with at most four decimals, or `None`.
    pub fn from_percent(percent: f64) -> Option<Self> {
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        let scaled = percent * 10_000.0;
        let rounded = scaled.round();
        // A decimal such as 33.3333 is not exact in binary; a fifth decimal is at least
        // 0.1 away from a whole number here.
        if (scaled - rounded).abs() > 1e-6 {
            return None;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000"
        )]
        Some(Self(rounded as u32))
    }

    /// So many parts per million; all of them at most.
    pub const fn from_ppm(ppm: u32) -> Self {
        if ppm < POSITIONS {
            Self(ppm)
        } else {
            Self::ALL
        }
    }

    /// In parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// What is left of the line.
    pub const fn rest(self) -> Self {
        Self(POSITIONS.saturating_sub(self.0))
    }

    /// This share of another share.
    pub fn of(self, other: Self) -> Self {
        let product = u64::from(self.0).saturating_mul(u64::from(other.0));
        let ppm = product
            .checked_div(u64::from(POSITIONS))
            .unwrap_or_default();
        Self(u32::try_from(ppm).unwrap_or(POSITIONS))
    }

    /// Both shares together.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(POSITIONS))
    }

    /// Whether somebody is in, where it is the same for everybody, so that nobody has to be
    /// asked who they are.
    pub fn foregone(self) -> Option<bool> {
        match self {
            Self::NONE => Some(false),
            Self::ALL => Some(true),
            _ => None,
        }
    }

    /// Whether somebody at this position is in.
    pub const fn admits(self, position: Position) -> bool {
        position.0 < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_at_most_four_decimals_and_stays_within_0_and_100() {
        for (percent, ppm) in [
            (0.0, Some(0)),
            (0.0001, Some(1)),
            (5.0, Some(50_000)),
            (33.3333, Some(333_333)),
            (99.9999, Some(999_999)),
            (100.0, Some(1_000_000)),
            (0.00001, None),
            (5.000_000_5, None),
            (33.33333, None),
            (-0.0001, None),
            (100.0001, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(
                Share::from_percent(percent).map(Share::ppm),
                ppm,
                "{percent}"
            );
        }
    }

    #[test]
    fn a_position_is_the_millionth_of_all_hashes_that_it_is() {
        let whole = |hash: u64| ((u128::from(hash) * u128::from(POSITIONS)) >> 64) as u32;
        let mut hash = 1_u64;
        for _ in 0..100_000 {
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) + 1;
            // Around the first hash of a position, too.
            let first = (u128::from(whole(hash)) << 64).div_ceil(u128::from(POSITIONS)) as u64;
            for hash in [hash, first, first.wrapping_sub(1)] {
                assert_eq!(Position::of(hash).get(), whole(hash), "{hash}");
            }
        }
        assert_eq!(Position::of(u64::MAX).get(), POSITIONS - 1);
    }

    #[test]
    fn the_first_and_last_positions_fall_on_the_right_side_of_a_gate() {
        let half = Share::from_percent(50.0).unwrap();
        for (position, inside) in [(0, true), (499_999, true), (500_000, false)] {
            assert_eq!(half.admits(Position(position)), inside, "{position}");
        }
        assert!(!Share::NONE.admits(Position(0)));
        assert!(Share::ALL.admits(Position(POSITIONS - 1)));
    }

    #[test]
    fn the_score_of_every_hash_is_finite_and_smaller_hashes_score_higher() {
        let scores = [0, 1 << 11, u64::MAX / 2, u64::MAX].map(|hash| score_of(hash, 2.0));
        assert!(
            scores
                .iter()
                .all(|score| score.is_finite() && *score >= 0.0),
            "{scores:?}"
        );
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
    }
}
