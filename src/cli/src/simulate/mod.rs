//! `divvy simulate`: what will happen to many users, and what a guardrail would do?

mod guardrail;
mod plot;
mod shares;
mod statistics;

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::explain::{self, ask};
use crate::population::Population;
use crate::{Format, Outcome, source};
use guardrail::Run;
use shares::{Overlap, Shares};

/// Asks many users, and says what share each version gets
#[derive(Args, Debug)]
#[command(after_help = "\
Each user comes to each rollout with a request that it looks at. Intervals hold with 95 %; a
sample-ratio mismatch is a difference that chance makes once in a thousand times, and a finding
(exit code 1). Users whom a rule gives a version are counted apart.

With --guardrail, traffic runs through the filter's own guardrail in one proxy: requests arrive
at random and fail at random, from a seed.

Examples:
  divvy simulate --config envoy/divvy.yaml --users 10000
  divvy simulate --config envoy/examples/ab-test-layers.yaml --population uuid --seed 7
  divvy simulate --config envoy/examples/guardrail.yaml --users 1000 --guardrail \\
    --rps 20 --canary-errors 5 --seconds 600 --plot target/guardrail.svg")]
pub struct Simulate {
    /// The configuration, in any form that check takes
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// How many users
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER")]
    pub users: usize,
    /// Who they are: seq (user-1, user-2, …), uuid, or a file with one a line
    #[arg(long, default_value = "seq", value_name = "seq|uuid|FILE")]
    pub population: String,
    /// Of the UUIDs and of the traffic
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// When, for canaries that grow by the clock; now by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Lets traffic run through the guardrails
    #[arg(long)]
    pub guardrail: bool,
    /// Requests a second in the proxy
    #[arg(long, default_value_t = 20.0, value_name = "NUMBER")]
    pub rps: f64,
    /// Workers of the proxy
    #[arg(long, default_value_t = 2, value_name = "NUMBER")]
    pub workers: usize,
    /// For how long
    #[arg(long, default_value_t = 3_600, value_name = "NUMBER")]
    pub seconds: u64,
    /// How many of stable's requests fail
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT")]
    pub stable_errors: f64,
    /// How many of the other version's requests fail
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT")]
    pub canary_errors: f64,
    /// Half of stable's answers take longer
    #[arg(long, default_value_t = 50.0, value_name = "MILLISECONDS")]
    pub stable_latency: f64,
    /// Half of the other version's answers take longer
    #[arg(long, default_value_t = 50.0, value_name = "MILLISECONDS")]
    pub canary_latency: f64,
    /// Draws shares, ramps and guardrails
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    users: usize,
    decisions: usize,
    rollouts: Vec<Shares>,
    overlaps: Vec<Overlap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guardrails: Vec<Run>,
}

/// Runs it.
pub fn run(args: &Simulate, format: Format) -> Result<Outcome> {
    let (file, found) = source::only(&args.config)?;
    let policy = divvy::config::parse(&found.bytes);
    let policy = policy.with_context(|| format!("{}: see divvy check", file.name))?;
    let raw: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
    let now = match &args.at {
        Some(time) => ask::time(time)?,
        None => explain::now()?,
    };
    let population = Population::read(&args.population, args.seed)?;
    let users: Vec<_> = population.users(population.most(args.users)).collect();

    let mut progress = Progress::new(users.len() * policy.rollouts.len().max(1));
    let sample = shares::sample(&policy, &raw, &users, now, || progress.tick());
    let decisions = progress.done;
    progress.finish();
    let mut guardrails = Vec::new();
    if args.guardrail {
        let guarded = policy
            .rollouts
            .iter()
            .filter(|rollout| rollout.plan.as_ref().is_some_and(|plan| plan.is_guarded()));
        let seconds = usize::try_from(args.seconds)?;
        let mut progress = Progress::new(guarded.count() * seconds);
        guardrails = guardrail::run(&policy, args, now, || progress.tick());
        progress.finish();
    }
    let report = Report {
        users: users.len(),
        decisions,
        rollouts: sample.shares(&policy, now),
        overlaps: sample.overlaps(&policy),
        guardrails,
    };
    if let Some(path) = &args.plot {
        plot::draw(path, &policy, &report.rollouts, &report.guardrails, now)?;
    }
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Format::Text | Format::Markdown => show(&report, &mut out)?,
    }
    Ok(Outcome::findings(
        report.rollouts.iter().any(|rollout| rollout.mismatch),
    ))
}

fn show(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let bold = Style::new().bold();
    let red = AnsiColor::Red.on_default().bold();
    for rollout in &report.rollouts {
        let Shares {
            rollout: name,
            users,
            by_rule,
            p_value,
            ..
        } = rollout;
        writeln!(out, "{bold}{name}{bold:#}: {users} users")?;
        for seen in &rollout.versions {
            let (from, to) = seen.interval;
            writeln!(
                out,
                "  {:<12} {:>9.4} %  ({from:.3} to {to:.3}), meant {:.4} %",
                seen.version, seen.percent, seen.meant
            )?;
        }
        if *by_rule > 0 {
            writeln!(out, "  {by_rule} more by a rule")?;
        }
        if rollout.mismatch {
            writeln!(
                out,
                "  {red}sample-ratio mismatch{red:#}, p = {p_value:.2e}"
            )?;
        } else {
            writeln!(out, "  no sample-ratio mismatch, p = {p_value:.3}")?;
        }
    }
    for Overlap {
        rollouts: [one, other],
        percent,
        by_chance,
        p_value,
    } in &report.overlaps
    {
        let verdict = match (*percent, *p_value < shares::MISMATCH) {
            (0.0, _) => "nobody is in both".to_owned(),
            (_, true) => format!("{red}not independent{red:#}, p = {p_value:.2e}"),
            (_, false) => format!("independent, p = {p_value:.3}"),
        };
        writeln!(
            out,
            "{bold}{one} × {other}{bold:#}: {percent:.3} % of the users are in both, {by_chance:.3} % \
             by chance; {verdict}"
        )?;
    }
    for run in &report.guardrails {
        let [stable, canary] = run.requests;
        let last = run.shares.last().map_or(0.0, |(_, share)| *share);
        writeln!(
            out,
            "{bold}guardrail of {}{bold:#}: {} requests to stable ({} failed), {} to the other \
             version ({} failed), which has {last} % in the end",
            run.rollout, stable.0, stable.1, canary.0, canary.1
        )?;
        for event in &run.events {
            writeln!(out, "  after {} s: {}", event.second, event.text)?;
        }
    }
    Ok(())
}

/// A bar for what takes more than a second, if somebody looks.
struct Progress {
    bar: Option<ProgressBar>,
    all: usize,
    done: usize,
    since: Instant,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            bar: None,
            all,
            done: 0,
            since: Instant::now(),
        }
    }

    fn tick(&mut self) {
        self.done += 1;
        // Looking at the clock costs as much as a decision.
        if !self.done.is_multiple_of(4_096) {
            return;
        }
        if self.bar.is_none()
            && self.since.elapsed() > Duration::from_secs(1)
            && io::stderr().is_terminal()
        {
            let bar =
                ProgressBar::with_draw_target(Some(self.all as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar} {percent} %, {eta} left");
            self.bar = Some(style.map_or(bar.clone(), |style| bar.with_style(style)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
