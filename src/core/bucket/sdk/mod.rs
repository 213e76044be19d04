//! The buckets of other systems' SDKs. Must not depend on the keys and splits of divvy's own hash.
//!
//! A system places an identity on a line from 0 to 1. The arms lie on it one after the other in the
//! order of the list, so the order matters, and a changed weight moves users of later arms too.
//! `tests/vectors/compat.json`, computed by independent implementations, pins the results.

mod arms;
mod fnv1a;
mod murmur;
mod sha1;

pub use arms::SdkArms;

use super::position::{POSITIONS, Position, Share};

/// A system with what its hash depends on besides the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkHash {
    /// Unleash: gradual rollout and variants of this group.
    Unleash {
        /// `groupId` of the strategy.
        group: Box<str>,
    },
    /// GrowthBook.
    GrowthBook {
        /// Seed of the rule, or the key of the experiment.
        seed: Box<str>,
        /// `hashVersion`: 1 or 2.
        version: GrowthBookVersion,
    },
    /// PostHog: the feature flag with this key.
    PostHog {
        /// Key of the flag.
        key: Box<str>,
    },
    /// LaunchDarkly: `<flag>.<salt>` or the seed of an experiment.
    LaunchDarkly {
        /// Everything before the identity, with the last dot.
        prefix: Box<str>,
    },
    /// Split: the seed of the feature flag.
    Split {
        /// Seed, as its 32 bits.
        seed: u32,
    },
    /// Optimizely: the experiment with this id.
    Optimizely {
        /// Id of the experiment.
        experiment: Box<str>,
    },
    /// flagd: `fractional` of this flag.
    Flagd {
        /// Key of the flag.
        flag: Box<str>,
    },
}

/// Version of GrowthBook's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthBookVersion {
    /// 1,000 values.
    V1,
    /// 10,000 values.
    V2,
}

/// Place of an identity on the line of a system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SdkPlace {
    /// From 0 to 1.
    value: f64,
    position: Position,
}

impl SdkPlace {
    /// The value `part` of `parts`.
    fn on_grid(part: u64, parts: u64) -> Self {
        let scaled = part.saturating_mul(u64::from(POSITIONS));
        let position = scaled.checked_div(parts).unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "at most 2^32")]
        let value = part as f64 / parts as f64;
        Self {
            value,
            position: position_of(position),
        }
    }

    /// A value from 0 to 1.
    fn at(value: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000"
        )]
        let mut position = (value * f64::from(POSITIONS)) as u64;
        // The product is rounded, so it may be just above or below a whole number.
        if share_of(position) > value {
            position = position.saturating_sub(1);
        } else if share_of(position.saturating_add(1)) <= value {
            position = position.saturating_add(1);
        }
        Self {
            value,
            position: position_of(position),
        }
    }

    /// The position that a cookie remembers.
    fn remembered(position: Position) -> Self {
        Self {
            value: share_of(position.get().into()),
            position,
        }
    }

    /// The value, from 0 to 1.
    pub const fn value(self) -> f64 {
        self.value
    }

    /// The value × 1,000,000, rounded down.
    pub const fn position(self) -> Position {
        self.position
    }
}

fn position_of(number: u64) -> Position {
    let last = POSITIONS.saturating_sub(1);
    Position(u32::try_from(number).unwrap_or(last).min(last))
}

#[allow(clippy::cast_precision_loss, reason = "at most 1,000,000")]
fn share_of(position: u64) -> f64 {
    position as f64 / f64::from(POSITIONS)
}

impl SdkHash {
    /// Name of the system, as the field of the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unleash { .. } => "unleash",
            Self::GrowthBook { .. } => "growthbook",
            Self::PostHog { .. } => "posthog",
            Self::LaunchDarkly { .. } => "launchDarkly",
            Self::Split { .. } => "split",
            Self::Optimizely { .. } => "optimizely",
            Self::Flagd { .. } => "flagd",
        }
    }

    /// Smallest difference of two weights of a canary, in parts per million.
    pub const fn grid(&self) -> u32 {
        match self {
            Self::Unleash { .. } | Self::Split { .. } => 10_000,
            Self::Optimizely { .. } => 100,
            Self::LaunchDarkly { .. } => 10,
            Self::GrowthBook { .. } | Self::PostHog { .. } | Self::Flagd { .. } => 1,
        }
    }

    /// Whether its arms have a hash of their own, and the place of an identity is that of a gate.
    pub const fn has_gate(&self) -> bool {
        matches!(self, Self::Unleash { .. } | Self::PostHog { .. })
    }

    /// Place of an identity: of the gate, where the system has one of its own.
    pub fn place(&self, identity: &[u8]) -> SdkPlace {
        match self {
            Self::Unleash { group } => SdkPlace::on_grid(murmur::unleash(group, identity), 100),
            Self::GrowthBook { seed, version } => {
                let (part, parts) = fnv1a::growthbook(seed, *version, identity);
                SdkPlace::on_grid(part, parts)
            }
            Self::PostHog { key } => {
                SdkPlace::at(sha1::fraction(&[key.as_bytes(), b".", identity]))
            }
            Self::LaunchDarkly { prefix } => {
                SdkPlace::at(sha1::fraction(&[prefix.as_bytes(), identity]))
            }
            Self::Split { seed } => SdkPlace::on_grid(murmur::split(*seed, identity), 100),
            Self::Optimizely { experiment } => {
                SdkPlace::on_grid(murmur::optimizely(experiment, identity), 10_000)
            }
            Self::Flagd { flag } => SdkPlace::on_grid(murmur::flagd(flag, identity), 1 << 32),
        }
    }

    /// The share of the users whose positions are in a share of the line: GrowthBook's line has few values.
    pub fn admitted(&self, share: Share) -> Share {
        let Self::GrowthBook { version, .. } = self else {
            return share;
        };
        let step = POSITIONS.checked_div(version.values()).unwrap_or(1);
        Share::from_ppm(share.ppm().div_ceil(step.max(1)).saturating_mul(step))
    }
}

impl GrowthBookVersion {
    /// Number of values of the line.
    pub(super) const fn values(self) -> u32 {
        match self {
            Self::V1 => 1_000,
            Self::V2 => 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_never_above_its_value() {
        for ppm in 0..POSITIONS {
            let value = share_of(ppm.into());
            for (value, position) in [(value, ppm), (value.next_up(), ppm)] {
                assert_eq!(SdkPlace::at(value).position.get(), position, "{value}");
            }
            let below = ppm.saturating_sub(1);
            assert_eq!(
                SdkPlace::at(value.next_down().max(0.0)).position.get(),
                below
            );
        }
        assert_eq!(SdkPlace::at(1.0).position.get(), POSITIONS - 1);
    }
}
