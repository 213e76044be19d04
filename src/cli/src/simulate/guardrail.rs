//! The filter's guardrail under simulated traffic.

use std::rc::Rc;
use std::time::Duration;

use divvy::bucket::Share;
use divvy::guardrail::Plan;
use divvy::guardrail::simulate::{Behaviour, Pace, Process, Setup};
use divvy::policy::{Policy, Rollout};
use serde::Serialize;

use super::args::SimulateArgs;
use crate::environment::GivenEnvironment;
use crate::output::percent;

/// The guardrail of a rollout in one proxy, from start to end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailRun {
    /// Name of the rollout.
    pub rollout: String,
    /// Actions of the guardrail.
    pub events: Vec<GuardrailEvent>,
    /// Requests and failed requests of stable and of the other version.
    pub requests: [(u32, u32); 2],
    /// Second and share of the other version in percent, at regular times.
    pub shares: Vec<(u64, f64)>,
    /// Second and failed requests in percent since the last point, of stable and of the other
    /// version; for plots.
    pub failures: [Vec<(u64, f64)>; 2],
}

/// An action of a guardrail.
#[derive(Clone, Debug, Serialize)]
pub struct GuardrailEvent {
    /// Seconds since the start.
    pub second: u64,
    /// Line that the filter logs.
    pub text: String,
}

fn guarded(policy: &Policy) -> impl Iterator<Item = (usize, &Rollout, &Plan)> {
    let rollouts = policy.rollouts.iter().enumerate();
    rollouts.filter_map(|(index, rollout)| {
        let plan = rollout.plan.as_ref().filter(|plan| plan.is_guarded())?;
        Some((index, rollout, plan))
    })
}

/// Simulated seconds of all rollouts.
pub fn seconds(policy: &Policy, args: &SimulateArgs) -> usize {
    let seconds = usize::try_from(args.seconds).unwrap_or(usize::MAX);
    guarded(policy).count().saturating_mul(seconds)
}

/// Runs traffic through every rollout with a guardrail; calls `tick` for each second.
pub fn run(
    policy: &Policy,
    args: &SimulateArgs,
    now: u64,
    mut tick: impl FnMut(),
) -> Vec<GuardrailRun> {
    let shares = policy.shares(&GivenEnvironment::at(now));
    let one = |(index, rollout, plan): (usize, &Rollout, &Plan)| {
        let others = shares[index].iter();
        let others = others.filter(|(version, _)| *version != rollout.stable);
        let weight = match rollout.strategy.behaviour().sole_version() {
            Some(_) => Share::ALL,
            None => others.map(|(_, share)| *share).max().unwrap_or(Share::NONE),
        };
        let behaviour = |errors: f64, millis: f64| Behaviour {
            errors: errors / 100.0,
            pace: plan.limits_latency().then(|| Pace {
                median: Duration::from_secs_f64(millis / 1_000.0),
                spread: 0.5,
            }),
        };
        let mut process = Process::new(Setup {
            plan: Rc::new(plan.clone()),
            workers: args.workers.max(1),
            rate: args.rps,
            weight,
            behaviours: [
                behaviour(args.stable_errors, args.stable_latency),
                behaviour(args.canary_errors, args.canary_latency),
            ],
            start: now,
            seed: args.seed,
        });
        let mut curve = Vec::new();
        let mut failures = [Vec::new(), Vec::new()];
        let mut before = process.sent();
        let [step, long_step] = [400, 40].map(|points| (args.seconds / points).max(1));
        for second in 0..args.seconds {
            if second % step == 0 {
                curve.push((second, percent(process.share())));
            }
            process.tick();
            tick();
            if (second + 1) % long_step == 0 {
                let sent = process.sent();
                for ((failures, sent), before) in failures.iter_mut().zip(&sent).zip(&before) {
                    let all = f64::from(sent.all - before.all);
                    let failed = f64::from(sent.bad - before.bad);
                    failures.extend((all > 0.0).then(|| (second + 1, 100.0 * failed / all)));
                }
                before = sent;
            }
        }
        curve.push((args.seconds, percent(process.share())));
        let events = process
            .log()
            .iter()
            .map(|(time, transition)| GuardrailEvent {
                second: time.saturating_sub(now) / 1_000,
                text: transition.line(plan).to_string(),
            });
        GuardrailRun {
            rollout: rollout.name.to_string(),
            events: events.collect(),
            requests: process.sent().map(|tally| (tally.all, tally.bad)),
            shares: curve,
            failures,
        }
    };
    guarded(policy).map(one).collect()
}
