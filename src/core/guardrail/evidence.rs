//! Evidence that a share is above its limit. Must not depend on windows, plans or state.
//!
//! If the true share is at most `limit`, the probability of observing `bad` of `all` is at most
//! exp(−all · KL(bad/all ‖ limit)), the Chernoff bound. The negated exponent is the evidence; a
//! verdict requires more than ln 10⁵. Against 1 %, three failures of 20 do not suffice and five
//! do; a share barely above its limit requires thousands of requests.
//!
//! In a comparison with another version the limit is unknown, because the counts of the other
//! version are noisy too. The evidence is then the minimum over all true values of the other
//! version: the value that explains both sides best. A few requests to stable therefore never
//! suffice for a verdict.

use super::latency::{BUCKETS, Dense};

/// Threshold for a verdict against a fixed limit: ln 10⁵.
pub const ENOUGH: f64 = 11.512_925_464_970_229;

/// Threshold for a verdict against another version: ln 10⁷. A good version is far below a fixed
/// limit, but equal to stable, so that only the margin separates it from a verdict; the margin may
/// be much smaller than the noise.
pub const ENOUGH_COMPARED: f64 = 16.118_095_650_958_32;

/// Minimum limit: the smallest percentage of a configuration. One failed request therefore does
/// not breach a limit of 0.
const MIN_LIMIT: f64 = 1e-6;

/// Number of requests, and of those that failed or were too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failed or too slow requests.
    pub bad: u32,
    /// All requests.
    pub all: u32,
}

impl Tally {
    /// Sum of both.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            bad: self.bad.saturating_add(other.bad),
            all: self.all.saturating_add(other.all),
        }
    }

    /// Share of bad requests.
    pub fn share(self) -> f64 {
        f64::from(self.bad) / f64::from(self.all.max(1))
    }

    /// Whether the observed share is above `limit`.
    pub fn exceeds(self, limit: f64) -> bool {
        f64::from(self.bad) > limit.max(MIN_LIMIT) * f64::from(self.all)
    }

    /// Evidence that the true share is above `limit`; 0 if the observed share is not.
    pub fn above(self, limit: f64) -> f64 {
        // The common case, without logarithms.
        if self.exceeds(limit) {
            self.against(limit)
        } else {
            0.0
        }
    }

    /// Evidence that the true share is not `limit`.
    fn against(self, limit: f64) -> f64 {
        let limit = limit.clamp(MIN_LIMIT, 1.0 - MIN_LIMIT);
        let share = self.share();
        f64::from(self.all) * (term(share, limit) + term(1.0 - share, 1.0 - limit))
    }

    /// Evidence that the true share is more than `margin` above the true share of another
    /// version.
    pub fn above_other(self, other: Self, margin: f64) -> f64 {
        let joint = |truth: f64| other.against(truth) + self.above(truth + margin);
        // Both terms are convex in the true share of the other version: the first increases from
        // its observed share, the second decreases to 0 where the sum explains this version.
        let (mut low, mut high) = (other.share(), self.share() - margin);
        if high <= low {
            return 0.0;
        }
        // The minimum is not larger than this value.
        if joint(low) <= ENOUGH_COMPARED {
            return joint(low);
        }
        for _ in 0..40 {
            let third = (high - low) / 3.0;
            let (left, right) = (low + third, high - third);
            if joint(left) < joint(right) {
                high = right;
            } else {
                low = left;
            }
        }
        joint((low + high) / 2.0)
    }
}

fn term(share: f64, limit: f64) -> f64 {
    if share > 0.0 {
        // libm on all platforms: the simulator must reach the filter's verdicts.
        share * libm::log(share / limit)
    } else {
        0.0
    }
}

/// Result of a comparison of quantiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// Requests above the multiple of the other version's quantile, and all requests.
    pub tally: Tally,
    /// Bucket of the other version's observed quantile.
    pub quantile: usize,
    /// Evidence that the true quantile is above the multiple of the other version's.
    pub evidence: f64,
}

/// Compares quantiles: whether `this` is more than `shift` buckets slower than `other`.
pub fn slower(this: &Dense, other: &Dense, quantile: f64, shift: usize) -> Option<Slower> {
    let limit = 1.0 - quantile;
    let (ours, theirs) = (this.slower(), other.slower());
    let (all, other_all) = (this.total(), other.total());
    let ours = |bucket: usize| {
        let bad = ours.get(bucket.saturating_add(shift)).copied();
        let bad = bad.unwrap_or_default();
        Tally { bad, all }
    };
    let theirs = |bucket: usize| {
        let bad = theirs.get(bucket).copied().unwrap_or_default();
        let all = other_all;
        Tally { bad, all }
    };
    let first = (0..BUCKETS).find(|bucket| theirs(*bucket).share() <= limit)?;
    // The minimum over all true quantiles of the other version. Those below the observed one
    // only add evidence; above it, each bucket explains more of this version and less of the
    // other.
    let mut least = ours(first).above(limit);
    for (before, bucket) in (first..).zip(first.saturating_add(1)..BUCKETS) {
        // Anywhere within the bucket: the share above is the one at its lower edge.
        let theirs = theirs(before).against(limit);
        if theirs >= least {
            break;
        }
        least = least.min(theirs + ours(bucket).above(limit));
    }
    Some(Slower {
        tally: ours(first),
        quantile: first,
        evidence: least,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidence_is_the_chernoff_bound() {
        // Computed by another implementation of n · KL.
        for (bad, all, limit, evidence) in [
            (4, 20, 0.01, 8.5734),
            (5, 20, 0.01, 11.9299),
            (20, 20, 0.01, 92.1034),
            (3, 20, 0.01, 5.5322),
            (1, 50, 0.01, 0.1957),
            (30, 600, 0.01, 24.7747),
            (1, 100, 0.01, 0.0),
            (0, 100, 0.01, 0.0),
            (1, 20, 0.0, 9.8452),
            (0, 0, 0.01, 0.0),
            (100, 100, 1.0, 0.0),
        ] {
            let found = Tally { bad, all }.above(limit);
            assert!((found - evidence).abs() < 1e-3, "{bad}/{all}: {found}");
        }
    }

    #[test]
    fn one_failure_does_not_breach_a_limit_of_zero() {
        assert!(Tally { bad: 1, all: 20 }.above(0.0) < ENOUGH);
        assert!(Tally { bad: 2, all: 20 }.above(0.0) > ENOUGH);
    }

    #[test]
    fn a_comparison_requires_evidence_on_both_sides() {
        for (name, this, other, enough) in [
            ("equal", (10, 1_000), (10, 1_000), false),
            ("within the margin", (14, 1_000), (10, 1_000), false),
            ("clear difference", (80, 1_000), (10, 1_000), true),
            ("few requests to stable", (80, 1_000), (0, 20), false),
            ("more requests to stable", (80, 1_000), (2, 400), true),
            (
                "many requests, small difference",
                (1_200, 10_000),
                (1_000, 10_000),
                false,
            ),
            (
                "many requests, clear difference",
                (1_500, 10_000),
                (1_000, 10_000),
                true,
            ),
            ("only stable fails", (0, 1_000), (900, 1_000), false),
            ("no requests to stable", (500, 1_000), (0, 0), false),
            ("both fail", (1_000, 1_000), (1_000, 1_000), false),
        ] {
            let [this, other] = [this, other].map(|(bad, all)| Tally { bad, all });
            let evidence = this.above_other(other, 0.005);
            assert_eq!(evidence > ENOUGH_COMPARED, enough, "{name}: {evidence}");
        }
    }

    #[test]
    fn the_minimum_over_true_shares_equals_a_brute_force_search() {
        for (this, other) in [
            ((80, 1_000), (10, 1_000)),
            ((40, 50), (3, 900)),
            ((9, 9), (1, 40)),
        ] {
            let [this, other] = [this, other].map(|(bad, all)| Tally { bad, all });
            let truths = (1..100_000_u32).map(|t| f64::from(t) / 100_000.0);
            let brute = truths
                .map(|truth| {
                    let below = if truth < other.share() {
                        0.0
                    } else {
                        other.against(truth)
                    };
                    below + this.above(truth + 0.005)
                })
                .filter(|sum| *sum > 0.0);
            let brute = brute.fold(f64::INFINITY, f64::min);
            let found = this.above_other(other, 0.005);
            assert!(
                found <= ENOUGH_COMPARED || (found - brute).abs() < 0.01,
                "{found} {brute}"
            );
        }
    }

    fn latencies(buckets: std::ops::Range<u16>, each: u32) -> Dense {
        let mut dense = Dense::default();
        for bucket in buckets {
            dense.count(bucket, each);
        }
        dense
    }

    #[test]
    fn a_slower_quantile_is_found_beyond_the_multiple_and_the_noise() {
        for (name, this, other, enough) in [
            (
                "equal",
                latencies(100..200, 10),
                latencies(100..200, 10),
                false,
            ),
            (
                "faster",
                latencies(50..150, 10),
                latencies(100..200, 10),
                false,
            ),
            (
                "within the multiple",
                latencies(104..204, 10),
                latencies(100..200, 10),
                false,
            ),
            (
                "twice as slow",
                latencies(124..224, 10),
                latencies(100..200, 10),
                true,
            ),
            (
                "few requests to stable",
                latencies(124..224, 10),
                latencies(195..200, 1),
                false,
            ),
            (
                "no requests to stable",
                latencies(124..224, 10),
                Dense::default(),
                false,
            ),
            (
                "constant latency, within the multiple",
                latencies(104..105, 500),
                latencies(100..101, 500),
                false,
            ),
            (
                "constant latency, beyond the multiple",
                latencies(105..106, 500),
                latencies(100..101, 500),
                true,
            ),
        ] {
            let compared = slower(&this, &other, 0.95, 4);
            let evidence = compared.map_or(0.0, |compared| compared.evidence);
            assert_eq!(evidence > ENOUGH_COMPARED, enough, "{name}: {evidence}");
        }
    }
}
