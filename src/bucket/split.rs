//! A choice between several versions.

use super::{Key, POSITIONS, Share};

/// A weighted choice between versions.
///
/// Weighted rendezvous: every version draws a score from the user's hash, and the
/// smallest wins. So the order of the list does not matter, equal ratios are equal
/// answers, and raising one weight moves users into that version only.
#[derive(Clone, Debug, PartialEq)]
pub struct Split<V> {
    arms: Vec<Arm<V>>,
    total: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Arm<V> {
    version: V,
    name: Box<str>,
    key: Key,
    weight: u32,
}

impl<V: Copy + PartialEq> Split<V> {
    /// A split of the given versions (name, what to answer, weight). `None` where all
    /// weights are 0.
    pub fn new<'n>(salt: &str, arms: impl IntoIterator<Item = (&'n str, V, u32)>) -> Option<Self> {
        let arms: Vec<_> = arms
            .into_iter()
            .filter(|(_, _, weight)| *weight > 0)
            .map(|(name, version, weight)| Arm {
                version,
                name: name.into(),
                key: Key::version(salt, name),
                weight,
            })
            .collect();
        let total = arms.iter().map(|arm| u64::from(arm.weight)).sum();
        (!arms.is_empty()).then_some(Self { arms, total })
    }

    /// The version that everybody gets, where there is only one.
    pub fn foregone(&self) -> Option<V> {
        match self.arms.as_slice() {
            [only] => Some(only.version),
            _ => None,
        }
    }

    /// Whether this version can be chosen.
    pub fn has(&self, version: V) -> bool {
        self.arms.iter().any(|arm| arm.version == version)
    }

    /// The versions that can be chosen, each with its share of the users.
    pub fn shares(&self) -> impl Iterator<Item = (V, Share)> {
        self.arms.iter().map(|arm| {
            let scaled = u64::from(arm.weight).saturating_mul(u64::from(POSITIONS));
            let ppm = scaled.checked_div(self.total).unwrap_or_default();
            let share = Share(u32::try_from(ppm).unwrap_or(POSITIONS));
            (arm.version, share)
        })
    }

    /// How each version fares with this user: the smallest score wins.
    pub fn scores(&self, identity: &[u8]) -> impl Iterator<Item = (V, f64)> {
        let score = |arm: &Arm<V>| arm.key.score(identity, f64::from(arm.weight));
        self.arms.iter().map(move |arm| (arm.version, score(arm)))
    }

    /// This user's version.
    pub fn pick(&self, identity: &[u8]) -> Option<V> {
        let mut best: Option<(&Arm<V>, f64)> = None;
        for arm in &self.arms {
            let score = arm.key.score(identity, f64::from(arm.weight));
            let wins = best.is_none_or(|(other, smallest)| {
                // Ties go to the smaller name.
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
    fn a_split_ignores_the_order_of_its_list_and_common_factors_of_its_weights() {
        let one = Split::new("s", [("a", 'a', 1), ("b", 'b', 3)]).unwrap();
        let other = Split::new("s", [("b", 'b', 300), ("a", 'a', 100), ("c", 'c', 0)]).unwrap();
        for user in 0..10_000 {
            let id = user.to_string();
            assert_eq!(one.pick(id.as_bytes()), other.pick(id.as_bytes()));
        }
    }

    #[test]
    fn of_equal_scores_the_smaller_name_wins() {
        // Two arms with one key have one score.
        let mut split = Split::new("s", [("b", 'b', 1), ("a", 'a', 1)]).unwrap();
        split.arms[0].key = split.arms[1].key.clone();
        assert_eq!(split.pick(b"anybody"), Some('a'));
        split.arms.reverse();
        assert_eq!(split.pick(b"anybody"), Some('a'));
    }

    #[test]
    fn a_split_without_weight_is_none_and_one_with_a_single_arm_is_foregone() {
        assert_eq!(Split::new("s", [("a", 'a', 0)]), None);
        let single = Split::new("s", [("a", 'a', 0), ("b", 'b', 7)]).unwrap();
        assert_eq!(single.foregone(), Some('b'));
        assert_eq!(single.pick(b"anybody"), Some('b'));
    }
}
