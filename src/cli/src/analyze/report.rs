//! The results: numbers of units, the sample ratio, goals and guardrail metrics of all arms. Must not depend on output.

use serde::Serialize;

use super::arms::TestArms;
use super::goal::Goal;
use super::instant_text;
use super::intake::LineCounts;
use super::ledger::UnitLedger;
use super::statistics::{ArmSample, Confidence, Effect, RatioSums, sample_ratio};
use super::timeline::{TimedLook, looks};

/// A p-value below this is a sample-ratio mismatch.
const MISMATCH: f64 = 0.001;
/// Number of times at which the interval is shown.
pub const LOOKS: usize = 48;

/// Results of an A/B test.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisReport {
    /// Name of the rollout.
    pub rollout: String,
    /// The version that the others are compared with.
    pub control: String,
    /// Time of the first exposure.
    pub first_exposure: Option<String>,
    /// Time of the last first exposure of a unit.
    pub last_exposure: Option<String>,
    /// Whether the arms have the configured numbers of units.
    pub sample_ratio: SampleRatio,
    /// Units that were seen in two arms, which are left out.
    pub crossed: usize,
    /// Units of whose outcomes too many were read before their exposure: their counts are too low.
    pub short: usize,
    /// The arms, the control first.
    pub arms: Vec<ArmReport>,
    /// Probability that an interval misses the true value: `--alpha` divided by the number of comparisons (Bonferroni).
    pub alpha: f64,
    /// By goal, in the order given.
    pub goals: Vec<GoalReport>,
    /// Requests, failures and durations of each arm.
    pub guardrails: Vec<MetricReport>,
    /// The lines of the logs.
    pub lines: LineCounts,
    /// The lines of the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<LineCounts>,
}

/// The test of the numbers of units.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleRatio {
    /// Chi-square of the numbers.
    pub chi_square: f64,
    /// Probability that chance alone gives numbers this far from the configured split.
    pub p: f64,
    /// Whether that is below 0.001.
    pub mismatch: bool,
}

/// An arm.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmReport {
    /// Its version.
    pub version: String,
    /// Index of the version in the rollout, for its colour.
    #[serde(skip)]
    pub colour: usize,
    /// Its units.
    pub units: u64,
    /// The same in percent of all.
    pub percent: f64,
    /// The configured percentage.
    pub configured: f64,
    /// Requests with its assignment and a response.
    pub requests: u64,
    /// Median of their durations in milliseconds.
    pub median_duration: Option<f64>,
    /// The duration that 95 % of them do not exceed.
    pub p95_duration: Option<f64>,
}

/// Results of a goal.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GoalReport {
    /// As given.
    pub goal: String,
    /// Share of units with an outcome, outcomes per unit, and with `--value` the amount per unit.
    pub metrics: Vec<MetricReport>,
    /// The difference of the shares as it was known over time.
    pub looks: Vec<TimedLook>,
}

/// A metric of all arms.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricReport {
    /// Which one.
    pub metric: MetricName,
    /// By arm.
    pub arms: Vec<ArmMean>,
    /// By arm without the control.
    pub comparisons: Vec<Comparison>,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricName {
    /// Share of the units with an outcome.
    Conversion,
    /// Outcomes per unit.
    Count,
    /// Amount per unit.
    Value,
    /// Requests with an assignment per unit.
    Requests,
    /// Share of the requests that failed.
    Failures,
    /// Mean duration of the requests in milliseconds.
    Duration,
}

/// The mean of an arm.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmMean {
    /// The version.
    pub version: String,
    /// The sum over all units.
    pub total: f64,
    /// The mean.
    pub mean: f64,
}

/// The difference of an arm to the control.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The version.
    pub version: String,
    /// The difference of the means; null if an arm has too few outcomes.
    pub difference: Option<Effect>,
    /// The difference divided by the mean of the control.
    pub lift: Option<Effect>,
}

/// Sums over the units of an arm, for one goal.
#[derive(Clone, Copy, Default)]
struct OutcomeSums {
    converted: f64,
    count: (f64, f64),
    value: (f64, f64),
}

impl AnalysisReport {
    /// Computes all results.
    pub fn new(
        ledger: &UnitLedger,
        arms: &TestArms,
        goals: &[Goal],
        (with_values, confidence): (bool, Confidence),
        lines: LineCounts,
        events: Option<LineCounts>,
    ) -> Self {
        let number = arms.names.len();
        let confidence = Confidence {
            alpha: confidence.alpha / (number as f64 - 1.0),
            ..confidence
        };
        let mut units = vec![0_u64; number];
        let mut requests = vec![0_u64; number];
        let mut failures = vec![RatioSums::default(); number];
        let mut durations = failures.clone();
        let mut sums = vec![vec![OutcomeSums::default(); number]; goals.len()];
        let (mut first, mut last) = (None::<i64>, None::<i64>);
        let mut short = 0;
        for unit in ledger.exposed() {
            units[unit.arm] += 1;
            requests[unit.arm] += u64::from(unit.requests);
            let of_unit = f64::from(unit.requests);
            failures[unit.arm].add(f64::from(unit.failures), of_unit);
            durations[unit.arm].add(unit.duration, of_unit);
            first = Some(first.map_or(unit.exposed, |first| first.min(unit.exposed)));
            last = last.max(Some(unit.exposed));
            let mut is_short = false;
            for (goal, sums) in sums.iter_mut().enumerate() {
                let outcomes = ledger.outcomes(&unit, goal);
                is_short |= outcomes.is_short;
                let (sums, count) = (&mut sums[unit.arm], f64::from(outcomes.count));
                sums.converted += f64::from(u8::from(outcomes.first.is_some()));
                sums.count.0 += count;
                sums.count.1 += count * count;
                sums.value.0 += outcomes.value;
                sums.value.1 += outcomes.value * outcomes.value;
            }
            short += usize::from(is_short);
        }
        let metric = |metric, samples: Vec<(f64, ArmSample)>| {
            MetricReport::new(metric, &arms.names, &samples, confidence)
        };
        let per_arm =
            |of: &dyn Fn(usize) -> (f64, ArmSample)| (0..number).map(of).collect::<Vec<_>>();
        let goals = goals
            .iter()
            .zip(&sums)
            .enumerate()
            .map(|(nth, (goal, sums))| {
                let n = |arm: usize| units[arm] as f64;
                let sample = |arm: usize, sums: (f64, f64)| {
                    (sums.0, ArmSample::of_sums(n(arm), sums.0, sums.1))
                };
                let share = |arm: usize| {
                    (
                        sums[arm].converted,
                        ArmSample::of_share(n(arm), sums[arm].converted),
                    )
                };
                let mut metrics = vec![
                    metric(MetricName::Conversion, per_arm(&share)),
                    metric(
                        MetricName::Count,
                        per_arm(&|arm| sample(arm, sums[arm].count)),
                    ),
                ];
                if with_values {
                    let values = per_arm(&|arm| sample(arm, sums[arm].value));
                    metrics.push(metric(MetricName::Value, values));
                }
                GoalReport {
                    goal: goal.name.clone(),
                    metrics,
                    looks: looks(ledger, number, nth, LOOKS, confidence),
                }
            });
        let goals = goals.collect();
        let counts = durations.iter().map(|sums| {
            let sample = ArmSample::of_sums(sums.units, sums.divisor, sums.divisor_squares);
            (sums.divisor, sample)
        });
        let counts = counts.collect();
        let ratio = |sums: &[RatioSums]| {
            sums.iter()
                .map(|sums| (sums.value, sums.sample()))
                .collect()
        };
        let (chi_square, p) = sample_ratio(&units, &arms.shares);
        let total: u64 = units.iter().sum();
        let reports = (0..number).map(|arm| ArmReport {
            version: arms.names[arm].clone(),
            colour: arms.versions[arm],
            units: units[arm],
            percent: 100.0 * units[arm] as f64 / total.max(1) as f64,
            configured: 100.0 * arms.shares[arm],
            requests: requests[arm],
            median_duration: ledger.latency[arm].quantile(0.5),
            p95_duration: ledger.latency[arm].quantile(0.95),
        });
        Self {
            rollout: arms.rollout.clone(),
            control: arms.names[0].clone(),
            first_exposure: first.map(instant_text),
            last_exposure: last.map(instant_text),
            sample_ratio: SampleRatio {
                chi_square,
                p,
                mismatch: p < MISMATCH,
            },
            crossed: ledger.crossed(),
            short,
            arms: reports.collect(),
            alpha: confidence.alpha,
            goals,
            guardrails: vec![
                metric(MetricName::Requests, counts),
                metric(MetricName::Failures, ratio(&failures)),
                metric(MetricName::Duration, ratio(&durations)),
            ],
            lines,
            events,
        }
    }
}

impl MetricReport {
    fn new(
        metric: MetricName,
        names: &[String],
        samples: &[(f64, ArmSample)],
        confidence: Confidence,
    ) -> Self {
        let arms = names
            .iter()
            .zip(samples)
            .map(|(version, (total, sample))| ArmMean {
                version: version.clone(),
                total: *total,
                mean: sample.mean,
            });
        let control = samples.first().map(|(_, sample)| *sample);
        let others = names.iter().zip(samples).skip(1);
        let comparisons = others.map(|(version, (_, sample))| Comparison {
            version: version.clone(),
            difference: control.and_then(|control| confidence.difference(control, *sample)),
            lift: control.and_then(|control| confidence.lift(control, *sample)),
        });
        Self {
            metric,
            arms: arms.collect(),
            comparisons: comparisons.collect(),
        }
    }
}
