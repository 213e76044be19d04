//! Hash keys of identities. Must not depend on gates, shares or splits.

use std::io::Read as _;

use murmur3::murmur3_x64_128;

use super::position::Position;

/// Use of a key. Each purpose has its own positions, so that a low position for one implies
/// nothing for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The traffic of an A/B test and the weight of a canary.
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

    /// `r:<salt>:<rule>:`, for the percentage of a rule. It differs from the canary's key, so that
    /// a rule does not take the canary's users.
    pub fn rule(salt: &str, rule: &str) -> Self {
        Self::joined(&["r", salt, rule])
    }

    /// `v:<salt>:<version>:`, for one version of a split.
    pub fn version(salt: &str, version: &str) -> Self {
        Self::joined(&["v", salt, version])
    }

    /// `s:<salt>:<rule>:<version>:`, for one version of the split of a rule.
    pub fn rule_version(salt: &str, rule: &str, version: &str) -> Self {
        Self::joined(&["s", salt, rule, version])
    }

    /// `e:<salt>:`, followed by a revision: identifies the rollout of a sticky cookie.
    pub fn epoch(salt: &str) -> Self {
        Self::joined(&["e", salt])
    }

    /// `u:`, for the unit of an identity in logs.
    pub fn unit() -> Self {
        Self::joined(&["u"])
    }

    /// Its salt; names of a configuration contain no colon.
    pub fn salt(&self) -> &str {
        let prefix = std::str::from_utf8(&self.0).unwrap_or_default();
        prefix.split(':').nth(1).unwrap_or_default()
    }

    fn joined(parts: &[&str]) -> Self {
        let mut prefix = parts.join(":");
        prefix.push(':');
        Self(prefix.into_bytes().into())
    }

    /// The first 64 bits of the hash of the key with this identity.
    #[allow(clippy::cast_possible_truncation, reason = "the first 64 of 128 bits")]
    pub fn hash(&self, identity: &[u8]) -> u64 {
        // Reading from memory cannot fail.
        murmur3_x64_128(&mut self.0.chain(identity), 0).unwrap_or_default() as u64
    }

    /// Position of an identity.
    pub fn position(&self, identity: &[u8]) -> Position {
        Position::of(self.hash(identity))
    }

    /// Score of this version in a split; the smallest score wins. `weight` is above 0.
    pub fn score(&self, identity: &[u8], weight: f64) -> f64 {
        score_of(self.hash(identity), weight)
    }
}

fn score_of(hash: u64, weight: f64) -> f64 {
    // A double has 53 bits; adding one half keeps u above 0.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let u = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // libm on all platforms: with another last bit, two proxies would disagree about a user.
    -libm::log(u) / weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_finite_and_decrease_with_the_hash() {
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
