//! Medians of paired rounds and their confidence intervals.

use crate::variants::{Goal, UNIT, Variant};

/// A median with its 95 % confidence interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// Lower bound.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// Upper bound.
    pub high: f64,
}

/// Median with a confidence interval by order statistics.
///
/// There is no assumption about the distribution: each of n values is above the true median with
/// probability 1/2, so the binomial distribution gives the ranks of the bounds. Below six values
/// the interval contains all of them.
#[must_use]
pub fn estimate(values: &[f64]) -> Estimate {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    if count == 0 {
        let nothing = f64::NAN;
        return Estimate {
            low: nothing,
            median: nothing,
            high: nothing,
        };
    }
    let outside = left_out(count);
    Estimate {
        low: sorted[outside],
        median: f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]),
        high: sorted[count - 1 - outside],
    }
}

/// Number of values to omit at each end for a 95 % interval.
fn left_out(count: usize) -> usize {
    // Cumulative binomial probability.
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut sum = chance;
    let mut outside = 0;
    while sum <= 0.025 {
        outside += 1;
        chance *= (count - outside + 1) as f64 / outside as f64;
        sum += chance;
    }
    outside.saturating_sub(1)
}

/// Quantile of the values.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// CPU time of each variant in each round in microseconds per request.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    names: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// Without rounds.
    #[must_use]
    pub fn of(variants: &[Variant]) -> Rounds {
        Rounds {
            names: variants.iter().map(|variant| variant.id).collect(),
            rounds: Vec::new(),
        }
    }

    /// Adds a round with values in the order of the variants.
    pub fn push(&mut self, round: Vec<f64>) {
        self.rounds.push(round);
    }

    /// Number of rounds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rounds.len()
    }

    /// Values of the variant with this name.
    #[must_use]
    pub fn of_one(&self, id: &str) -> Vec<f64> {
        match self.names.iter().position(|name| *name == id) {
            Some(at) => self.rounds.iter().map(|round| round[at]).collect(),
            None => Vec::new(),
        }
    }

    /// Differences between two variants per round.
    #[must_use]
    pub fn over(&self, id: &str, other: &str) -> Vec<f64> {
        let pairs = self.of_one(id).into_iter().zip(self.of_one(other));
        pairs.map(|(one, other)| one - other).collect()
    }

    /// Cost of a variant: the difference to its control.
    #[must_use]
    pub fn costs(&self, variant: &Variant) -> Vec<f64> {
        self.over(variant.id, variant.over)
    }

    /// Ratios of the costs of two variants per round.
    #[must_use]
    pub fn ratios(&self, one: &Variant, other: &Variant) -> Vec<f64> {
        let pairs = self.costs(one).into_iter().zip(self.costs(other));
        pairs.map(|(one, other)| one / other).collect()
    }
}

/// Verdict on a goal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The whole interval is within the goal.
    Met,
    /// The goal is inside the interval.
    Close,
    /// The whole interval is beyond the goal.
    Missed,
}

impl Verdict {
    /// Verdict by the interval.
    #[must_use]
    pub fn of(goal: &Goal, ratio: &Estimate) -> Verdict {
        if ratio.high <= goal.at_most {
            Verdict::Met
        } else if ratio.low <= goal.at_most {
            Verdict::Close
        } else {
            Verdict::Missed
        }
    }
}

/// All figures of one variant.
#[derive(Clone, Debug)]
pub struct Row {
    /// The variant.
    pub variant: Variant,
    /// Difference to its control in microseconds.
    pub cost: Estimate,
    /// Ratio to the empty SDK filter.
    pub ratio: Estimate,
    /// Goals and their ratios.
    pub goals: Vec<(Goal, Estimate, Verdict)>,
    /// Ratio to the hand-written twin, and the twin's ratio to the empty SDK filter.
    pub by_hand: Option<(Estimate, Estimate)>,
    /// Ratio to the extended variant, or of another build to this one.
    pub times_beyond: Estimate,
    /// Difference to the extended variant, mostly the full path, in microseconds.
    pub added: Estimate,
    /// The same as a ratio to the empty SDK filter.
    pub added_ratio: Estimate,
}

/// A row for each variant.
#[must_use]
pub fn rows(rounds: &Rounds, variants: &[Variant]) -> Vec<Row> {
    let named = |id: &str| variants.iter().find(|variant| variant.id == id);
    let against = |one: &Variant, id: &str| match named(id) {
        Some(other) => estimate(&rounds.ratios(one, other)),
        None => estimate(&[]),
    };
    let row = |variant: &Variant| {
        let judged = variant.goals.iter().map(|goal| {
            let ratio = against(variant, goal.than);
            (*goal, ratio, Verdict::of(goal, &ratio))
        });
        let beyond = named(variant.beyond).map(|beyond| rounds.costs(beyond));
        let unit = named(UNIT).map(|unit| rounds.costs(unit));
        let beyond = beyond.unwrap_or_default().into_iter();
        let added: Vec<_> = (rounds.costs(variant).into_iter().zip(beyond))
            .map(|(one, beyond)| one - beyond)
            .collect();
        let in_units: Vec<_> = (added.iter().zip(unit.unwrap_or_default()))
            .map(|(added, unit)| added / unit)
            .collect();
        let by_hand = variant.by_hand.and_then(named);
        Row {
            by_hand: by_hand.map(|other| (against(variant, other.id), against(other, UNIT))),
            goals: judged.collect(),
            cost: estimate(&rounds.costs(variant)),
            ratio: against(variant, UNIT),
            times_beyond: against(variant, variant.beyond),
            added: estimate(&added),
            added_ratio: estimate(&in_units),
            variant: variant.clone(),
        }
    };
    variants.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::{FULL, NATIVE, all};

    #[test]
    fn the_interval_is_that_of_the_binomial_distribution() {
        // Ranks from published tables of confidence intervals for a median.
        for (count, low) in [
            (5, 1),
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (20, 6),
            (25, 8),
            (30, 10),
            (40, 14),
            (50, 18),
            (100, 40),
        ] {
            let values: Vec<_> = (1..=count).map(f64::from).collect();
            let found = estimate(&values);
            assert_eq!(found.low, f64::from(low), "{count} values");
            assert_eq!(found.high, f64::from(count + 1 - low), "{count} values");
        }
    }

    #[test]
    fn a_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(estimate(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(estimate(&[4.0, 1.0, 3.0, 2.0]).median, 2.5);
        assert!(estimate(&[]).median.is_nan());
    }

    #[test]
    fn the_interval_holds_the_true_median_19_times_of_20() {
        use rand_pcg::Pcg64;
        use rand_pcg::rand_core::{Rng, SeedableRng};
        let mut random = Pcg64::seed_from_u64(1);
        let cases = 2_000;
        let held = (0..cases)
            .filter(|_| {
                // Skewed like CPU times.
                let values: Vec<_> = (0..30)
                    .map(|_| -((random.next_u32() as f64 + 0.5) / 2_f64.powi(32)).ln())
                    .collect();
                let found = estimate(&values);
                (found.low..=found.high).contains(&2_f64.ln())
            })
            .count();
        assert!((1_890..1_960).contains(&held), "{held} of {cases}");
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<_> = (1..=200).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 100.0);
        assert_eq!(quantile(&values, 0.99), 198.0);
        assert_eq!(quantile(&values, 1.0), 200.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    /// Rounds with random slowdowns: 10 for native, 2 for the SDK, 5 for divvy.
    fn slowed() -> (Rounds, Vec<Variant>) {
        let variants = all();
        let mut rounds = Rounds::of(&variants);
        for slow in [1.0, 4.0, 2.0, 0.5, 8.0, 1.0, 2.0] {
            let round = variants.iter().map(|variant| match variant.id {
                NATIVE | "native_claim" => 10.0 * slow,
                UNIT => 12.0 * slow,
                FULL => 15.0 * slow,
                _ => 16.0 * slow,
            });
            rounds.push(round.collect());
        }
        (rounds, variants)
    }

    #[test]
    fn what_slows_a_round_down_is_not_in_its_ratios() {
        let (rounds, variants) = slowed();
        let rows = rows(&rounds, &variants);
        let full = rows.iter().find(|row| row.variant.id == FULL).unwrap();
        assert_eq!(full.ratio, estimate(&[2.5; 7]));
        assert_eq!(full.added, estimate(&[0.0; 7]));
        let guarded = rows.iter().find(|row| row.variant.id == "guarded").unwrap();
        assert_eq!(guarded.ratio.median, 3.0);
        assert_eq!(guarded.added_ratio.median, 0.5);
    }

    #[test]
    fn a_goal_inside_the_interval_is_neither_met_nor_missed() {
        let goal = Goal {
            than: UNIT,
            at_most: 2.3,
        };
        let verdict = |low, high| {
            let median = f64::midpoint(low, high);
            Verdict::of(&goal, &Estimate { low, median, high })
        };
        assert_eq!(verdict(2.1, 2.3), Verdict::Met);
        assert_eq!(verdict(2.2, 2.4), Verdict::Close);
        assert_eq!(verdict(2.4, 2.5), Verdict::Missed);
    }
}
