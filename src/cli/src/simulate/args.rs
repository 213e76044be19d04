//! Arguments of `divvy simulate`.

use std::path::PathBuf;

use clap::Args;

use crate::limits;
use crate::source::ConfigArgs;

/// Arguments of `divvy simulate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each user sends each rollout one request that matches it. Intervals have a confidence of 95 %. A
sample-ratio mismatch is a difference that chance alone causes once in a thousand runs; the exit
code is then 1; users whose version a rule forces are counted and do not take part in it.

With --guardrail, simulated traffic passes through the filter's own guardrail in one proxy. Request
times and failures are random and repeat with the same --seed.

Examples:
  divvy simulate envoy/divvy.yaml --users 10000
  divvy simulate envoy/examples/ab-test-layers.yaml --population uuid --seed 7
  divvy simulate envoy/examples/guardrail.yaml --users 1000 --guardrail \\
    --rps 20 --canary-errors 5 --seconds 600 --plot target/guardrail.svg")]
pub struct SimulateArgs {
    /// The configuration.
    #[command(flatten)]
    pub source: ConfigArgs,
    /// A header of every request, as for curl; may be repeated
    #[arg(long, short = 'H', value_name = "'NAME: VALUE'")]
    pub header: Vec<String>,
    /// Number of users
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER", value_parser = limits::users)]
    pub users: usize,
    /// The users: seq (user-1, user-2, …), uuid, or a file with one user a line
    #[arg(long, default_value = "seq", value_name = "seq|uuid|FILE")]
    pub population: String,
    /// Seed of the UUIDs and of the traffic
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Time of the decisions, for canaries that grow over time; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// A version that the proxy cannot reach; may be repeated
    #[arg(long, value_name = "VERSION|ROLLOUT=VERSION")]
    pub unreachable: Vec<String>,
    /// Simulates the guardrails under traffic
    #[arg(long)]
    pub guardrail: bool,
    /// Requests per second in the proxy
    #[arg(long, default_value_t = 20.0, value_name = "NUMBER", value_parser = limits::rate)]
    pub rps: f64,
    /// Worker threads of the proxy
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = limits::workers)]
    pub workers: usize,
    /// Duration of the traffic in seconds
    #[arg(long, default_value_t = 3_600, value_name = "NUMBER", value_parser = limits::seconds)]
    pub seconds: u64,
    /// Failing requests of stable
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT", value_parser = limits::percent)]
    pub stable_errors: f64,
    /// Failing requests of the other version
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT", value_parser = limits::percent)]
    pub canary_errors: f64,
    /// Median latency of stable
    #[arg(long, default_value_t = 50.0, value_name = "MILLISECONDS", value_parser = limits::millis)]
    pub stable_latency: f64,
    /// Median latency of the other version
    #[arg(long, default_value_t = 50.0, value_name = "MILLISECONDS", value_parser = limits::millis)]
    pub canary_latency: f64,
    /// Writes a plot of the shares, ramps and guardrails
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}
