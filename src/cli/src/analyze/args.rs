//! Arguments of `divvy analyze`.

use std::path::PathBuf;

use clap::Args;

use super::plan::PlanArgs;
use super::statistics::Confidence;

/// Arguments of `divvy analyze`.
#[derive(Args, Debug)]
#[command(after_help = "\
The logs are lines of JSON with a unit, as the shipped access logs have them, also compressed with gzip.
A unit counts from its first exposure on: a decision with the reason split or sticky, also in an
upstream proxy. Units in two arms are left out.

The exit code is 1 if the numbers of units differ from the configured split more than chance explains
(p < 0.001): the results mean nothing then. Look as often as you like at the always-valid interval, and
once, at a time that you chose before, at the fixed one.

A goal is METHOD PATH CODE (* for every method, * at the end of a path, 2xx or 201), or the name of
events. Events are lines of JSON or of CSV with a header: unit, time, goal and value.

Examples:
  divvy analyze --plan --baseline 10 --points 3 --units-per-day 5000
  divvy analyze --config envoy/examples/ab-test-layers.yaml --rollout summary \\
    --goal 'POST /order 2xx' envoy/examples/ab-test-layers.log.gz
  gunzip -c envoy/examples/ab-test-layers.log.gz | divvy analyze --config \\
    envoy/examples/ab-test-layers.yaml --rollout ranking --goal 'POST /order 2xx' -")]
pub struct AnalyzeArgs {
    /// Access logs, also gzip; - for standard input
    #[arg(value_name = "LOG", required_unless_present = "plan")]
    pub logs: Vec<PathBuf>,
    /// The configuration, in any form that divvy check accepts
    #[arg(long, short, value_name = "FILE", required_unless_present = "plan")]
    pub config: Option<PathBuf>,
    /// Name of the plugin, if the file has several configurations
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// The rollout
    #[arg(long, value_name = "NAME", required_unless_present = "plan")]
    pub rollout: Option<String>,
    /// An outcome; may be repeated, the first is the one that decides
    #[arg(
        long,
        value_name = "'METHOD PATH CODE'|EVENT",
        required_unless_present = "plan"
    )]
    pub goal: Vec<String>,
    /// Events that clients or services report, as lines of JSON or CSV
    #[arg(long, value_name = "FILE")]
    pub events: Vec<PathBuf>,
    /// Key of an amount in the lines of goals, such as value
    #[arg(long, value_name = "KEY")]
    pub value: Option<String>,
    /// Other keys of the log, such as unit=user.id,time=ts
    #[arg(long, value_name = "FIELD=KEY,…")]
    pub fields: Vec<String>,
    /// The version that the others are compared with; stable by default
    #[arg(long, value_name = "VERSION")]
    pub control: Option<String>,
    /// Lines before this time do not count
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Lines from this time on do not count
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Probability that an interval misses the true value
    #[arg(long, default_value_t = 0.05, value_name = "NUMBER", value_parser = alpha)]
    pub alpha: f64,
    /// Number of units at which the always-valid interval is tightest
    #[arg(long, default_value_t = super::statistics::TUNING, value_name = "UNITS", value_parser = tuning)]
    pub tuning: f64,
    /// Writes a plot of the always-valid interval over time
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Writes the first exposure of each unit, for other systems
    #[arg(long, value_name = "FILE.csv")]
    pub exposures: Option<PathBuf>,
    /// Prints the units and days that a test needs, without logs
    #[arg(long, conflicts_with_all = ["logs", "rollout", "goal", "events", "value", "plot", "exposures"])]
    pub plan: bool,
    /// Options of --plan.
    #[command(flatten)]
    pub planned: PlanArgs,
}

impl AnalyzeArgs {
    /// The confidence of the intervals.
    pub const fn confidence(&self) -> Confidence {
        Confidence {
            alpha: self.alpha,
            tuning: self.tuning,
        }
    }
}

/// A probability of an error.
fn alpha(text: &str) -> Result<f64, String> {
    number(text, 0.000_001, 0.5)
}

/// A number of units.
fn tuning(text: &str) -> Result<f64, String> {
    number(text, 1.0, 1e12)
}

/// A number in this range.
pub fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').trim().parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("is not a number from {least} to {most}"))
}
