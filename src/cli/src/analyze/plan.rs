//! `divvy analyze --plan`: the units and days that a test of a share needs. Must not depend on logs.

use std::io::{self, Write};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use super::args::number;
use super::statistics::{Confidence, normal_quantile};
use crate::palette::{BOLD, DIM};

/// Options of `--plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Share of the control's units that reach the goal
    #[arg(long, value_name = "PERCENT", requires = "plan", value_parser = |text: &str| number(text, 0.0001, 99.9999))]
    pub baseline: Option<f64>,
    /// The smallest difference worth finding, in percentage points
    #[arg(long, value_name = "POINTS", requires = "plan", allow_hyphen_values = true,
        value_parser = |text: &str| number(text, -99.9999, 99.9999))]
    pub points: Option<f64>,
    /// The same in percent of the baseline
    #[arg(long, value_name = "PERCENT", requires = "plan", conflicts_with = "points", allow_hyphen_values = true,
        value_parser = |text: &str| number(text, -99.9999, 1e6))]
    pub lift: Option<f64>,
    /// Probability of finding that difference
    #[arg(long, default_value_t = 80.0, value_name = "PERCENT", value_parser = |text: &str| number(text, 1.0, 99.9999))]
    pub power: f64,
    /// Units that enter the test each day
    #[arg(long, value_name = "NUMBER", requires = "plan", value_parser = |text: &str| number(text, 0.001, 1e12))]
    pub units_per_day: Option<f64>,
    /// Weights of the arms, the control first
    #[arg(long, default_value = "1,1", value_name = "W,W,…", value_delimiter = ',',
        value_parser = |text: &str| number(text, 0.000_001, 1e9))]
    pub split: Vec<f64>,
}

/// What a test needs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestPlan {
    /// Percent of the control that reach the goal.
    pub baseline: f64,
    /// The same of the other arm, if the difference is what is asked for.
    pub expected: f64,
    /// Probability that an interval misses the true value, of each comparison.
    pub alpha: f64,
    /// Probability of finding the difference, in percent.
    pub power: f64,
    /// Units of all arms until the fixed interval decides.
    pub units: f64,
    /// The same for the always-valid interval.
    pub units_always_valid: f64,
    /// Days for the first number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<f64>,
    /// Days for the second number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_always_valid: Option<f64>,
}

impl TestPlan {
    /// Computes the units of a test. Errors say which option is missing.
    pub fn new(args: &PlanArgs, confidence: Confidence) -> Result<Self> {
        let baseline = args.baseline;
        let baseline = baseline
            .context("--plan needs --baseline, the share of the control that reaches the goal")?;
        let points = match (args.points, args.lift) {
            (Some(points), _) => Some(points),
            (None, lift) => lift.map(|lift| baseline * lift / 100.0),
        };
        let points = points
            .context("--plan needs the smallest difference worth finding: --points or --lift")?;
        let expected = baseline + points;
        ensure!(
            points != 0.0 && (0.0..=100.0).contains(&expected),
            "{expected} % is not a share that differs from {baseline} %"
        );
        ensure!(
            (2..=32).contains(&args.split.len()),
            "--split needs 2 to 32 weights"
        );
        let comparisons = args.split.len() as f64 - 1.0;
        let confidence = Confidence {
            alpha: confidence.alpha / comparisons,
            ..confidence
        };
        let total: f64 = args.split.iter().sum();
        // The smallest arm decides.
        let arm = args.split[1..]
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
            / total;
        let control = args.split[0] / total;
        let variance = |percent: f64| percent / 100.0 * (1.0 - percent / 100.0);
        // The variance of the difference, times the number of units.
        let variance = variance(baseline) / control + variance(expected) / arm;
        let difference = points.abs() / 100.0;
        let power = normal_quantile(args.power / 100.0);
        let fixed = normal_quantile(1.0 - confidence.alpha / 2.0) + power;
        let units = variance * (fixed / difference).powi(2);
        // The width shrinks with the units: the smallest number that suffices, by bisection.
        let pair = control + arm;
        let suffices = |units: f64| {
            let one = variance / units;
            confidence.always_valid_width(units * pair, one) + power * one.sqrt() <= difference
        };
        let mut high = units.max(2.0);
        while !suffices(high) {
            high *= 2.0;
        }
        let mut low = high / 2.0;
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if suffices(middle) {
                high = middle
            } else {
                low = middle
            }
        }
        let days = |units: f64| args.units_per_day.map(|per_day| (units / per_day).ceil());
        Ok(Self {
            baseline,
            expected,
            alpha: confidence.alpha,
            power: args.power,
            units: units.ceil(),
            units_always_valid: high.ceil(),
            days: days(units),
            days_always_valid: days(high),
        })
    }

    /// Prints it.
    pub fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let days = |days: Option<f64>| match days {
            Some(1.0) => ", 1 day".to_owned(),
            Some(days) => format!(", {days} days"),
            None => String::new(),
        };
        let Self {
            baseline,
            expected,
            power,
            ..
        } = self;
        writeln!(
            out,
            "{BOLD}from {baseline} % to {expected} %{BOLD:#}, found with a probability of {power} %"
        )?;
        let (units, always) = (self.units, self.units_always_valid);
        writeln!(
            out,
            "  {units:>10} units{} {DIM}(one look, at the end){DIM:#}",
            days(self.days)
        )?;
        let days = days(self.days_always_valid);
        writeln!(
            out,
            "  {always:>10} units{days} {DIM}(looking at any time){DIM:#}"
        )?;
        if self.days.is_some_and(|days| days < 7.0) {
            writeln!(
                out,
                "  run it for whole weeks all the same: users differ by the day of the week"
            )?;
        }
        Ok(())
    }
}
