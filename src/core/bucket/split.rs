//! Weighted choice between versions. Must not depend on gates.

use super::key::Key;
use super::position::{POSITIONS, Share};

/// A weighted choice between versions.
///
/// Weighted rendezvous: every version has a score for each user, and the smallest score wins. The
/// order of the list and a common factor of the weights have no effect, and a larger weight moves
/// users to that version only.
#[derive(Clone, Debug, PartialEq)]
pub struct Split<V> {
    arms: Vec<WeightedVersion<V>>,
    total: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct WeightedVersion<V> {
    version: V,
    name: Box<str>,
    key: Key,
    weight: u32,
}

impl<V: Copy + PartialEq> Split<V> {
    /// `arms`: name, value and weight of each version. `None` if all weights are 0.
    pub fn new<'n>(salt: &str, arms: impl IntoIterator<Item = (&'n str, V, u32)>) -> Option<Self> {
        Self::with_keys(arms, &|name| Key::version(salt, name))
    }

    /// The split of a rule, which is independent of the rollout's own split and of other rules.
    pub fn of_rule<'n>(
        (salt, rule): (&str, &str),
        arms: impl IntoIterator<Item = (&'n str, V, u32)>,
    ) -> Option<Self> {
        Self::with_keys(arms, &|name| Key::rule_version(salt, rule, name))
    }

    fn with_keys<'n>(
        arms: impl IntoIterator<Item = (&'n str, V, u32)>,
        key: &dyn Fn(&str) -> Key,
    ) -> Option<Self> {
        let arms: Vec<_> = arms
            .into_iter()
            .filter(|(_, _, weight)| *weight > 0)
            .map(|(name, version, weight)| WeightedVersion {
                version,
                name: name.into(),
                key: key(name),
                weight,
            })
            .collect();
        let total = arms.iter().map(|arm| u64::from(arm.weight)).sum();
        (!arms.is_empty()).then_some(Self { arms, total })
    }

    /// The version of all users, if there is only one.
    pub fn constant(&self) -> Option<V> {
        match self.arms.as_slice() {
            [only] => Some(only.version),
            _ => None,
        }
    }

    /// Whether this version can be chosen.
    pub fn has(&self, version: V) -> bool {
        self.arms.iter().any(|arm| arm.version == version)
    }

    /// Versions with a weight above 0, and their shares of the users.
    pub fn shares(&self) -> impl Iterator<Item = (V, Share)> {
        self.arms.iter().map(|arm| {
            let scaled = u64::from(arm.weight).saturating_mul(u64::from(POSITIONS));
            let ppm = scaled.checked_div(self.total).unwrap_or_default();
            let share = Share(u32::try_from(ppm).unwrap_or(POSITIONS));
            (arm.version, share)
        })
    }

    /// Scores of the versions for a user; the smallest one wins.
    pub fn scores(&self, identity: &[u8]) -> impl Iterator<Item = (V, f64)> {
        let score = |arm: &WeightedVersion<V>| arm.key.score(identity, f64::from(arm.weight));
        self.arms.iter().map(move |arm| (arm.version, score(arm)))
    }

    /// Version of a user.
    pub fn pick(&self, identity: &[u8]) -> Option<V> {
        let mut best: Option<(&WeightedVersion<V>, f64)> = None;
        for arm in &self.arms {
            let score = arm.key.score(identity, f64::from(arm.weight));
            let wins = best.is_none_or(|(other, smallest)| {
                // The smaller name wins a tie.
                score < smallest || (score <= smallest && arm.name < other.name)
            });
            if wins {
                best = Some((arm, score));
            }
        }
        best.map(|(arm, _)| arm.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_versions_and_a_common_factor_of_weights_have_no_effect() {
        let one = Split::new("s", [("a", 'a', 1), ("b", 'b', 3)]).unwrap();
        let other = Split::new("s", [("b", 'b', 300), ("a", 'a', 100), ("c", 'c', 0)]).unwrap();
        for user in 0..10_000 {
            let id = user.to_string();
            assert_eq!(one.pick(id.as_bytes()), other.pick(id.as_bytes()));
        }
    }

    #[test]
    fn the_smaller_name_wins_a_tie() {
        // Two versions with the same key have the same score.
        let mut split = Split::new("s", [("b", 'b', 1), ("a", 'a', 1)]).unwrap();
        split.arms[0].key = split.arms[1].key.clone();
        assert_eq!(split.pick(b"user"), Some('a'));
        split.arms.reverse();
        assert_eq!(split.pick(b"user"), Some('a'));
    }

    #[test]
    fn a_split_needs_a_weight_and_is_constant_with_a_single_version() {
        assert_eq!(Split::new("s", [("a", 'a', 0)]), None);
        let single = Split::new("s", [("a", 'a', 0), ("b", 'b', 7)]).unwrap();
        assert_eq!(single.constant(), Some('b'));
        assert_eq!(single.pick(b"user"), Some('b'));
    }
}
