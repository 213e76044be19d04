//! The arms on the line of a system. Must not depend on how a system hashes.

use super::super::position::{POSITIONS, Position, Share};
use super::{SdkHash, SdkPlace, murmur, sha1};

/// The arms of a system, one after the other on its line.
#[derive(Clone, Debug, PartialEq)]
pub struct SdkArms<V> {
    hash: SdkHash,
    arms: Vec<SdkArm<V>>,
    /// Sum of the weights.
    total: u64,
}

/// An arm with its part of the line: from `from` (inclusive) to `to` (exclusive).
#[derive(Clone, Debug, PartialEq)]
struct SdkArm<V> {
    version: V,
    from: f64,
    to: f64,
    share: Share,
}

impl<V: Copy + PartialEq> SdkArms<V> {
    /// `arms`: value and weight of each version, in their order. `coverage`: the part of each arm
    /// that is served, for GrowthBook; otherwise 1. `None` if all weights are 0.
    pub fn new(
        hash: SdkHash,
        arms: impl IntoIterator<Item = (V, u32)>,
        coverage: f64,
    ) -> Option<Self> {
        let arms: Vec<_> = arms.into_iter().filter(|(_, weight)| *weight > 0).collect();
        let total: u64 = arms.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut parts = ArmLayout::new(&hash, total, coverage);
        let arms: Vec<_> = arms
            .into_iter()
            .map(|(version, weight)| {
                let (from, to) = parts.next(weight);
                let share = parts.share(weight, from, to);
                SdkArm {
                    version,
                    from,
                    to,
                    share,
                }
            })
            .collect();
        (!arms.is_empty()).then_some(Self { hash, arms, total })
    }

    /// The system.
    pub const fn hash(&self) -> &SdkHash {
        &self.hash
    }

    /// The version of all users, if there is only one.
    pub fn constant(&self) -> Option<V> {
        match self.arms.as_slice() {
            [only] if only.share == Share::ALL => Some(only.version),
            _ => None,
        }
    }

    /// Whether this version can be chosen.
    pub fn has(&self, version: V) -> bool {
        self.arms.iter().any(|arm| arm.version == version)
    }

    /// Whether the arms leave a part of the line free.
    pub fn leaves_some(&self) -> bool {
        let sum = self
            .arms
            .iter()
            .fold(0_u32, |sum, arm| sum.saturating_add(arm.share.ppm()));
        match self.hash {
            SdkHash::GrowthBook { .. } | SdkHash::Optimizely { .. } => sum < POSITIONS,
            _ => false,
        }
    }

    /// Versions with a weight above 0, and their shares of the users.
    pub fn shares(&self) -> impl Iterator<Item = (V, Share)> {
        self.arms.iter().map(|arm| (arm.version, arm.share))
    }

    /// Versions with a weight above 0, and where their parts of the line begin and end.
    pub fn parts(&self) -> impl Iterator<Item = (V, f64, f64)> {
        let scale = match self.hash {
            #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
            SdkHash::Unleash { .. } => self.total as f64,
            _ => 1.0,
        };
        let arms = self.arms.iter();
        arms.map(move |arm| (arm.version, arm.from / scale, arm.to / scale))
    }

    /// Value of a user on the line of the arms, from 0 to 1. `remembered`: the position that a
    /// cookie holds, which replaces the identity's where gate and arms share a line.
    pub fn value(&self, identity: &[u8], remembered: Option<Position>) -> f64 {
        match &self.hash {
            SdkHash::Unleash { .. } => {
                #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
                let total = self.total as f64;
                self.raw(identity, remembered) / total
            }
            _ => self.raw(identity, remembered),
        }
    }

    /// The value in the unit of the arms.
    fn raw(&self, identity: &[u8], remembered: Option<Position>) -> f64 {
        match &self.hash {
            SdkHash::Unleash { group } => {
                let value = murmur::unleash_variant(group, identity, self.total);
                #[allow(clippy::cast_precision_loss, reason = "below 2^32")]
                let value = value as f64;
                value
            }
            SdkHash::PostHog { key } => {
                sha1::fraction(&[key.as_bytes(), b".", identity, b"variant"])
            }
            hash => match remembered {
                Some(position) => SdkPlace::remembered(position).value(),
                None => hash.place(identity).value(),
            },
        }
    }

    /// Version of a user; `None`: not enrolled. Beyond the last arm LaunchDarkly gives the last.
    pub fn pick(&self, identity: &[u8], remembered: Option<Position>) -> Option<V> {
        let value = self.raw(identity, remembered);
        let mut arms = self.arms.iter();
        let found = arms.find(|arm| arm.from <= value && value < arm.to);
        let beyond = match self.hash {
            SdkHash::LaunchDarkly { .. } => self.arms.last(),
            _ => None,
        };
        found.or(beyond).map(|arm| arm.version)
    }
}

/// Lays arms on the line, with the arithmetic of the system.
struct ArmLayout<'h> {
    hash: &'h SdkHash,
    total: u64,
    coverage: f64,
    /// Sum of the weights before.
    before: u64,
    /// End of the arm before.
    end: f64,
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sums of weights are far below 2^53"
)]
impl<'h> ArmLayout<'h> {
    const fn new(hash: &'h SdkHash, total: u64, coverage: f64) -> Self {
        Self {
            hash,
            total,
            coverage,
            before: 0,
            end: 0.0,
        }
    }

    fn next(&mut self, weight: u32) -> (f64, f64) {
        let from = self.end;
        self.before = self.before.saturating_add(weight.into());
        let sum = self.before as f64;
        let weight = f64::from(weight);
        let (end, to) = match self.hash {
            SdkHash::Unleash { .. } => (sum, sum),
            SdkHash::GrowthBook { .. } => {
                let weight = weight / self.total as f64;
                (from + weight, from + self.coverage * weight)
            }
            // Sums of decimals, with the errors of the SDKs.
            SdkHash::PostHog { .. } => (from + weight / 100.0, from + weight / 100.0),
            SdkHash::LaunchDarkly { .. } => (from + weight / 100_000.0, from + weight / 100_000.0),
            SdkHash::Split { .. } => (sum / 100.0, sum / 100.0),
            SdkHash::Optimizely { .. } => (sum / 10_000.0, sum / 10_000.0),
            // The first of the 2^32 hashes for which `hash × total >> 32` is not below the sum.
            SdkHash::Flagd { .. } => {
                let first = (self.before << 32).div_ceil(self.total.max(1));
                let end = first as f64 / (1_u64 << 32) as f64;
                (end, end)
            }
        };
        self.end = end;
        (from, to)
    }

    /// The share of the users in a part of the line: of its values, where there are few.
    fn share(&self, weight: u32, from: f64, to: f64) -> Share {
        let values = match self.hash {
            SdkHash::GrowthBook { version, .. } => version.values(),
            SdkHash::Optimizely { .. } => {
                return Share::from_ppm(weight.saturating_mul(100));
            }
            _ => {
                let scaled = u64::from(weight).saturating_mul(POSITIONS.into());
                let ppm = scaled.checked_div(self.total).unwrap_or_default();
                return Share::from_ppm(u32::try_from(ppm).unwrap_or(POSITIONS));
            }
        };
        let inside = (0..values).filter(|value| {
            let value = f64::from(*value) / f64::from(values);
            from <= value && value < to
        });
        let count = u32::try_from(inside.count()).unwrap_or(values);
        let each = POSITIONS.checked_div(values).unwrap_or_default();
        Share::from_ppm(count.saturating_mul(each))
    }
}
