//! Positions, and shares of them. Must not depend on keys.

/// Number of positions.
pub const POSITIONS: u32 = 1_000_000;

/// Position of an identity: 0 to 999,999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub(super) u32);

impl Position {
    /// `hash × 1,000,000 >> 64`, computed by halves of the hash, whose products fit into 64 bits.
    pub(super) const fn of(hash: u64) -> Self {
        const UPPER: u32 = 32;
        let lower = hash & (u32::MAX as u64);
        let carried = lower.wrapping_mul(POSITIONS as u64) >> UPPER;
        let scaled = (hash >> UPPER).wrapping_mul(POSITIONS as u64);
        #[allow(clippy::cast_possible_truncation, reason = "below 1,000,000")]
        let position = (scaled.wrapping_add(carried) >> UPPER) as u32;
        Self(position)
    }

    /// Reads decimal digits without leading zeros.
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

/// Share of all positions in parts per million: 0 to 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub(super) u32);

impl Share {
    /// No user.
    pub const NONE: Self = Self(0);
    /// All users.
    pub const ALL: Self = Self(POSITIONS);

    /// Reads a percentage from 0 to 100 with at most four decimals.
    pub fn from_percent(percent: f64) -> Option<Self> {
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        let scaled = percent * 10_000.0;
        let rounded = scaled.round();
        // A decimal such as 33.3333 is not exact in binary; a fifth decimal differs by at least
        // 0.1 from a whole number.
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

    /// Parts per million; larger values are [`Share::ALL`].
    pub const fn from_ppm(ppm: u32) -> Self {
        if ppm < POSITIONS {
            Self(ppm)
        } else {
            Self::ALL
        }
    }

    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// The remaining share.
    pub const fn rest(self) -> Self {
        Self(POSITIONS.saturating_sub(self.0))
    }

    /// Product with another share.
    pub fn of(self, other: Self) -> Self {
        let product = u64::from(self.0).saturating_mul(u64::from(other.0));
        let ppm = product
            .checked_div(u64::from(POSITIONS))
            .unwrap_or_default();
        Self(u32::try_from(ppm).unwrap_or(POSITIONS))
    }

    /// Sum with another share.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(POSITIONS))
    }

    /// Whether users are admitted, if that is the same for all users; no identity is needed then.
    pub fn constant(self) -> Option<bool> {
        match self {
            Self::NONE => Some(false),
            Self::ALL => Some(true),
            _ => None,
        }
    }

    /// Whether the share contains this position.
    pub const fn admits(self, position: Position) -> bool {
        position.0 < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_from_0_to_100_with_at_most_four_decimals() {
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
    fn a_position_is_the_hash_scaled_to_a_million() {
        let whole = |hash: u64| ((u128::from(hash) * u128::from(POSITIONS)) >> 64) as u32;
        let mut hash = 1_u64;
        for _ in 0..100_000 {
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) + 1;
            // Also around the first hash of a position.
            let first = (u128::from(whole(hash)) << 64).div_ceil(u128::from(POSITIONS)) as u64;
            for hash in [hash, first, first.wrapping_sub(1)] {
                assert_eq!(Position::of(hash).get(), whole(hash), "{hash}");
            }
        }
        assert_eq!(Position::of(u64::MAX).get(), POSITIONS - 1);
    }

    #[test]
    fn a_share_contains_the_positions_below_it() {
        let half = Share::from_percent(50.0).unwrap();
        for (position, inside) in [(0, true), (499_999, true), (500_000, false)] {
            assert_eq!(half.admits(Position(position)), inside, "{position}");
        }
        assert!(!Share::NONE.admits(Position(0)));
        assert!(Share::ALL.admits(Position(POSITIONS - 1)));
    }
}
