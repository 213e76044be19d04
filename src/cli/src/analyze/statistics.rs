//! Means of arms, and intervals of the difference of two. Must not depend on units.
//!
//! The formulas are those of GrowthBook's `gbstats`, with which a test compares them: Welch's t-test, the delta method for
//! lifts and ratios, and the asymptotic confidence sequence of Waudby-Smith and others (2023, equation 9).

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

use crate::statistics::p_value;

/// The number of units for which the always-valid interval is tightest: that of gbstats.
pub const TUNING: f64 = 5_000.0;

/// Mean and variance of a metric over the units of an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmSample {
    /// Number of units.
    pub units: f64,
    /// The mean of a unit.
    pub mean: f64,
    /// The variance of a unit.
    pub variance: f64,
}

/// Sums over the units of an arm of a value and of another one that it is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RatioSums {
    /// Number of units.
    pub units: f64,
    /// Sum of the values.
    pub value: f64,
    /// Sum of their squares.
    pub value_squares: f64,
    /// Sum of the divisors.
    pub divisor: f64,
    /// Sum of their squares.
    pub divisor_squares: f64,
    /// Sum of the products of both.
    pub products: f64,
}

impl RatioSums {
    /// Adds a unit.
    pub fn add(&mut self, value: f64, divisor: f64) {
        self.units += 1.0;
        self.value += value;
        self.value_squares += value * value;
        self.divisor += divisor;
        self.divisor_squares += divisor * divisor;
        self.products += value * divisor;
    }

    /// The ratio of the sums, with its variance by the delta method.
    pub fn sample(&self) -> ArmSample {
        let Self {
            units, products, ..
        } = *self;
        let value = ArmSample::of_sums(units, self.value, self.value_squares);
        let divisor = ArmSample::of_sums(units, self.divisor, self.divisor_squares);
        if units < 2.0 || divisor.mean == 0.0 {
            return ArmSample {
                units,
                mean: 0.0,
                variance: 0.0,
            };
        }
        let covariance = (products - self.value * self.divisor / units) / (units - 1.0);
        let variance = value.variance / divisor.mean.powi(2)
            - 2.0 * covariance * value.mean / divisor.mean.powi(3)
            + value.mean.powi(2) * divisor.variance / divisor.mean.powi(4);
        ArmSample {
            units,
            mean: self.value / self.divisor,
            variance,
        }
    }
}

impl ArmSample {
    /// The share of units with an outcome.
    pub fn of_share(units: f64, with_outcome: f64) -> Self {
        let mean = if units > 0.0 {
            with_outcome / units
        } else {
            0.0
        };
        Self {
            units,
            mean,
            variance: mean * (1.0 - mean),
        }
    }

    /// The mean of values with this sum and sum of squares.
    pub fn of_sums(units: f64, sum: f64, squares: f64) -> Self {
        Self {
            units,
            mean: if units > 0.0 { sum / units } else { 0.0 },
            variance: if units > 1.0 {
                (squares - sum * sum / units) / (units - 1.0)
            } else {
                0.0
            },
        }
    }
}

/// A difference between two arms, with its intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// The estimate.
    pub estimate: f64,
    /// Interval for one look at a time that was decided before.
    pub fixed: (f64, f64),
    /// Interval that holds at all times together: one may look as often as one likes.
    pub always_valid: (f64, f64),
}

/// Confidence of the intervals.
#[derive(Clone, Copy, Debug)]
pub struct Confidence {
    /// Probability that an interval misses the true value.
    pub alpha: f64,
    /// Number of units for which the always-valid interval is tightest.
    pub tuning: f64,
}

impl Confidence {
    /// The difference of the means. `None`: too few outcomes, so that the variance of an arm is unknown.
    pub fn difference(&self, control: ArmSample, arm: ArmSample) -> Option<Effect> {
        let variance = arm.variance / arm.units + control.variance / control.units;
        self.effect(control, arm, arm.mean - control.mean, variance)
    }

    /// The difference of the means, relative to that of the control.
    pub fn lift(&self, control: ArmSample, arm: ArmSample) -> Option<Effect> {
        let estimate = (arm.mean - control.mean) / control.mean;
        let variance = arm.variance / (control.mean.powi(2) * arm.units)
            + control.variance * arm.mean.powi(2) / (control.mean.powi(4) * control.units);
        self.effect(control, arm, estimate, variance)
    }

    fn effect(
        &self,
        one: ArmSample,
        two: ArmSample,
        estimate: f64,
        variance: f64,
    ) -> Option<Effect> {
        let is_known = |sample: ArmSample| sample.units >= 2.0 && sample.variance > 0.0;
        if !is_known(one) || !is_known(two) || !estimate.is_finite() || !variance.is_finite() {
            return None;
        }
        let around = |width: f64| (estimate - width, estimate + width);
        let units = one.units + two.units;
        Some(Effect {
            estimate,
            fixed: around(t_quantile(1.0 - self.alpha / 2.0, welch(one, two)) * variance.sqrt()),
            always_valid: around(self.always_valid_width(units, variance)),
        })
    }

    /// Half the width of the always-valid interval, for this number of units of both arms.
    pub fn always_valid_width(&self, units: f64, variance: f64) -> f64 {
        let log = -2.0 * self.alpha.ln();
        // rho squared.
        let rho = (log + (log + 1.0).ln()) / self.tuning;
        let scaled = units * rho + 1.0;
        let factor = 2.0 * scaled * (scaled.sqrt() / self.alpha).ln() / (units * units * rho);
        (variance * units).sqrt() * factor.sqrt()
    }
}

/// The degrees of freedom of Welch and Satterthwaite.
fn welch(one: ArmSample, two: ArmSample) -> f64 {
    let part = |sample: ArmSample| sample.variance / sample.units;
    let square = |sample: ArmSample| part(sample).powi(2) / (sample.units - 1.0);
    (part(one) + part(two)).powi(2) / (square(one) + square(two))
}

/// A quantile of Student's distribution.
fn t_quantile(share: f64, degrees: f64) -> f64 {
    // Beyond this the two distributions differ by less than 1e-8, and the iteration of statrs takes long.
    const MANY: f64 = 1e8;
    let student = StudentsT::new(0.0, 1.0, degrees)
        .ok()
        .filter(|_| degrees < MANY);
    student.map_or_else(
        || normal_quantile(share),
        |student| student.inverse_cdf(share),
    )
}

/// A quantile of the standard normal distribution.
pub fn normal_quantile(share: f64) -> f64 {
    Normal::standard().inverse_cdf(share)
}

/// Chi-square of the numbers of units against their expected shares, and its p-value.
pub fn sample_ratio(units: &[u64], shares: &[f64]) -> (f64, f64) {
    let total: u64 = units.iter().sum();
    if total == 0 {
        return (0.0, 1.0);
    }
    let terms = units.iter().zip(shares).map(|(units, share)| {
        let expected = share * total as f64;
        (*units as f64 - expected).powi(2) / expected
    });
    let chi_square = terms.sum();
    (
        chi_square,
        p_value(chi_square, units.len().saturating_sub(1)),
    )
}
