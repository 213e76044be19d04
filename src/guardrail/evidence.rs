//! How sure it is that a share is above its limit.
//!
//! If a share really is at most `limit`, the chance to see `bad` of `all` is at most
//! exp(−all · KL(bad/all ‖ limit)): the Chernoff bound. The exponent is the evidence, and
//! a verdict needs more than ln 10⁵ of it. So three failures of 20 are not enough against
//! 1 %, five are, and a share that is barely above its limit needs thousands of requests.
//!
//! Against another version there is no limit to hold a share to, only counts that are just
//! as noisy. There the evidence is what is left under the kindest assumption: the true
//! value, for the other version, that explains both sides best. A handful of requests to
//! stable therefore convicts nobody.

use super::latency::{BUCKETS, Dense};

/// What a verdict against a fixed limit needs: ln 10⁵.
pub const ENOUGH: f64 = 11.512_925_464_970_229;

/// What a verdict against another version needs: ln 10⁷. A version that does well is far
/// from a fixed limit, but where it is exactly like stable, only the margin lies between
/// it and a verdict, and that may be much smaller than the noise.
pub const ENOUGH_COMPARED: f64 = 16.118_095_650_958_32;

/// No limit is below what a percentage can say, so that a limit of 0 is not broken by one
/// request.
const LEAST: f64 = 1e-6;

/// Requests, and how many of them are bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that are bad.
    pub bad: u32,
    /// All.
    pub all: u32,
}

impl Tally {
    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            bad: self.bad.saturating_add(other.bad),
            all: self.all.saturating_add(other.all),
        }
    }

    /// The share that is bad.
    pub fn share(self) -> f64 {
        f64::from(self.bad) / f64::from(self.all.max(1))
    }

    /// The evidence that the true share is above `limit`; 0 where the observed one is not.
    pub fn above(self, limit: f64) -> f64 {
        let limit = limit.max(LEAST);
        // First, since it is what almost every look comes to.
        if f64::from(self.bad) <= limit * f64::from(self.all) {
            return 0.0;
        }
        self.against(limit)
    }

    /// The evidence that the true share is not `limit`.
    fn against(self, limit: f64) -> f64 {
        let limit = limit.clamp(LEAST, 1.0 - LEAST);
        let share = self.share();
        f64::from(self.all) * (term(share, limit) + term(1.0 - share, 1.0 - limit))
    }

    /// The evidence that the true share is more than `margin` above the true share of
    /// another version.
    pub fn above_other(self, other: Self, margin: f64) -> f64 {
        let joint = |truth: f64| other.against(truth) + self.above(truth + margin);
        // Both terms are convex in the other's truth: one grows from its observed share on,
        // the other is gone where the truth explains this version.
        let (mut low, mut high) = (other.share(), self.share() - margin);
        if high <= low {
            return 0.0;
        }
        // The kindest truth can only explain more, so what is not enough here never is.
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
        // libm's logarithm, natively too: the simulator has to come to the filter's
        // verdicts.
        share * libm::log(share / limit)
    } else {
        0.0
    }
}

/// A comparison of latencies, and the evidence it comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// The requests above the multiple of the other version's quantile.
    pub tally: Tally,
    /// The bucket that the other version's observed quantile falls into.
    pub quantile: usize,
    /// The evidence that the true quantile is above the multiple of the other's.
    pub evidence: f64,
}

/// Compares quantiles: is `this` slower than `other` by more than `shift` buckets?
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
    // The other's true quantile may be anywhere. That it is below the observed one helps
    // nobody; above it, each bucket explains more of this version and less of the other.
    let mut least = ours(first).above(limit);
    for (before, bucket) in (first..).zip(first.saturating_add(1)..BUCKETS) {
        // Somewhere within the bucket: the share above it is that at its lower edge.
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
        // By another implementation of n · KL.
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
    fn a_limit_of_nothing_is_not_broken_by_one_request() {
        assert!(Tally { bad: 1, all: 20 }.above(0.0) < ENOUGH);
        assert!(Tally { bad: 2, all: 20 }.above(0.0) > ENOUGH);
    }

    #[test]
    fn a_comparison_knows_that_both_sides_are_noisy() {
        for (name, this, other, enough) in [
            ("alike", (10, 1_000), (10, 1_000), false),
            ("within the margin", (14, 1_000), (10, 1_000), false),
            ("clear", (80, 1_000), (10, 1_000), true),
            ("few requests to stable", (80, 1_000), (0, 20), false),
            ("more of them", (80, 1_000), (2, 400), true),
            (
                "large and slightly off",
                (1_200, 10_000),
                (1_000, 10_000),
                false,
            ),
            ("large and clear", (1_500, 10_000), (1_000, 10_000), true),
            ("stable alone fails", (0, 1_000), (900, 1_000), false),
            ("nothing of stable", (500, 1_000), (0, 0), false),
            ("both fail", (1_000, 1_000), (1_000, 1_000), false),
        ] {
            let [this, other] = [this, other].map(|(bad, all)| Tally { bad, all });
            let evidence = this.above_other(other, 0.005);
            assert_eq!(evidence > ENOUGH_COMPARED, enough, "{name}: {evidence}");
        }
    }

    #[test]
    fn the_kindest_truth_is_never_missed() {
        // The minimum by brute force.
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
    fn quantiles_are_compared_bucket_by_bucket() {
        for (name, this, other, enough) in [
            (
                "alike",
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
                "few of stable",
                latencies(124..224, 10),
                latencies(195..200, 1),
                false,
            ),
            (
                "nothing of stable",
                latencies(124..224, 10),
                Dense::default(),
                false,
            ),
            (
                "all of stable alike",
                latencies(104..105, 500),
                latencies(100..101, 500),
                false,
            ),
            (
                "all shifted",
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
