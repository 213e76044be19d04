//! `divvy simulate`: the versions of many users, and guardrails under simulated traffic.

mod args;
mod guardrail;
mod plot;
mod shares;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use divvy::policy::Policy;
use serde::Serialize;

use crate::environment::{GivenEnvironment, time_or_now, unreachable};
use crate::explain::input::{HeaderList, RequestInput};
use crate::limits::{self, MAX_REQUESTS, MAX_WORKER_SECONDS};
use crate::output::{Format, exit_code, print_json};
use crate::palette::{BAD, BOLD, DIM, version};
use crate::population::Population;
use crate::progress::Progress;
pub use args::SimulateArgs;
use guardrail::GuardrailRun;
use shares::{MISMATCH, Overlap, RolloutShares};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SimulationReport {
    users: usize,
    decisions: usize,
    rollouts: Vec<RolloutShares>,
    overlaps: Vec<Overlap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guardrails: Vec<GuardrailRun>,
}

/// Runs the verb.
pub fn run(args: &SimulateArgs, format: Format) -> Result<ExitCode> {
    let config = args.source.load()?;
    let policy = &config.policy;
    let now = time_or_now(args.at.as_deref())?;
    let users = Population::read(&args.population, args.seed)?.users(args.users);
    let mut headers = HeaderList::new();
    for header in &args.header {
        RequestInput::add(&mut headers, RequestInput::header(header)?);
    }
    refuse_endless(args, users.len(), policy)?;

    let mut progress = Counter::new(users.len() * policy.rollouts.len().max(1));
    let environment = GivenEnvironment {
        unreachable: unreachable(policy, &args.unreachable)?,
        ..GivenEnvironment::at(now)
    };
    let sample = shares::sample(&config, &users, (&environment, &headers), || {
        progress.tick();
    });
    let decisions = progress.done;
    progress.finish();
    let mut guardrails = Vec::new();
    if args.guardrail {
        let mut progress = Counter::new(guardrail::seconds(policy, args));
        guardrails = guardrail::run(policy, args, now, || progress.tick());
        progress.finish();
    }
    let report = SimulationReport {
        users: users.len(),
        decisions,
        rollouts: sample.shares(&config, &environment),
        overlaps: sample.overlaps(policy),
        guardrails,
    };
    if let Some(path) = &args.plot {
        plot::draw(path, policy, &report.rollouts, &report.guardrails, now)?;
    }
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => print_json(&report, &mut out)?,
        Format::Text | Format::Markdown => show(&report, &mut out)?,
    }
    Ok(exit_code(report.rollouts.iter().any(|one| one.mismatch)))
}

/// Refuses a simulation that would not end or would exhaust the memory.
fn refuse_endless(args: &SimulateArgs, users: usize, policy: &Policy) -> Result<()> {
    limits::refuse_endless(users, policy.rollouts.len())?;
    if args.guardrail {
        let seconds = guardrail::seconds(policy, args) as u64;
        if args.rps * seconds as f64 > MAX_REQUESTS {
            bail!(
                "more than {MAX_REQUESTS} simulated requests, the limit: lower --rps or --seconds"
            );
        }
        if seconds.saturating_mul(args.workers as u64) > MAX_WORKER_SECONDS {
            bail!(
                "--workers times --seconds is more than {MAX_WORKER_SECONDS}, the limit: lower one of them"
            );
        }
    }
    Ok(())
}

fn show(report: &SimulationReport, out: &mut impl Write) -> io::Result<()> {
    for rollout in &report.rollouts {
        let (name, users) = (&rollout.rollout, rollout.users);
        let rules = match rollout.by_rule {
            0 => String::new(),
            number => format!(", {number} of them by a rule"),
        };
        writeln!(out, "{BOLD}{name}{BOLD:#}: {users} users{rules}")?;
        for (index, share) in rollout.versions.iter().enumerate() {
            let (name, style) = (&share.version, version(index));
            let (from, to) = share.interval;
            writeln!(
                out,
                "  {style}{name:<12}{style:#} {:>9.4} %  ({from:.3} to {to:.3}), configured {:.4} %{}",
                share.percent,
                share.configured,
                if rollout.by_rule > 0 {
                    " of the others"
                } else {
                    ""
                }
            )?;
            if share.reasons.len() > 1 {
                let reasons = share.reasons.iter().map(|(reason, number)| {
                    let percent = 100.0 * *number as f64 / users.max(1) as f64;
                    let is_control = share.control && matches!(*reason, "split" | "sticky");
                    let control = if is_control { ", the control" } else { "" };
                    format!("{percent:.4} % {reason}{control}")
                });
                let reasons = reasons.collect::<Vec<_>>().join("; ");
                writeln!(out, "               {DIM}{reasons}{DIM:#}")?;
            }
        }
        if let Some(never) = &rollout.guardrail {
            writeln!(out, "  {BAD}guardrail{BAD:#}: {never}")?;
        }
        let p = rollout.p_value;
        match rollout.mismatch {
            true => writeln!(out, "  {BAD}sample-ratio mismatch{BAD:#}, p = {p:.2e}")?,
            false => writeln!(out, "  no sample-ratio mismatch, p = {p:.3}")?,
        }
    }
    for overlap in &report.overlaps {
        let [one, other] = &overlap.rollouts;
        let (percent, expected, p) = (overlap.percent, overlap.by_chance, overlap.p_value);
        let verdict = match (percent, p < MISMATCH) {
            (0.0, _) => "no user is in both".to_owned(),
            (_, true) => format!("{BAD}not independent{BAD:#}, p = {p:.2e}"),
            (_, false) => format!("independent, p = {p:.3}"),
        };
        writeln!(
            out,
            "{BOLD}{one} × {other}{BOLD:#}: {percent:.3} % of the users are in both ({expected:.3} % \
             by chance); {verdict}"
        )?;
    }
    for run in &report.guardrails {
        let [stable, canary] = run.requests;
        let last = run.shares.last().map_or(0.0, |(_, share)| *share);
        writeln!(
            out,
            "{BOLD}guardrail of {}{BOLD:#}: {} requests to stable ({} failed), {} to the other \
             version ({} failed); final share {last} %",
            run.rollout, stable.0, stable.1, canary.0, canary.1
        )?;
        for event in &run.events {
            writeln!(out, "  after {} s: {}", event.second, event.text)?;
        }
    }
    Ok(())
}

/// Counts what is done, with a progress bar.
struct Counter {
    progress: Progress,
    done: usize,
}

impl Counter {
    fn new(total: usize) -> Self {
        Self {
            progress: Progress::new(Some(total as u64)),
            done: 0,
        }
    }

    fn tick(&mut self) {
        self.done += 1;
        // Reading the clock takes as long as a decision.
        if self.done.is_multiple_of(4_096) {
            self.progress.show(self.done as u64);
        }
    }

    fn finish(self) {
        self.progress.finish();
    }
}
