//! A guardrail at work: the filter's own state machines under made-up traffic.

use std::rc::Rc;

use divvy::bucket::Share;
use divvy::guardrail::simulate::{Behaviour, Pace, Process, Setup};
use divvy::outside::Outside;
use divvy::policy::{Policy, Strategy};
use serde::Serialize;

use super::Simulate;
use crate::explain::ask::Known;

/// What happened to a rollout's canary in one proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The rollout.
    pub rollout: String,
    /// What its guardrail did, and after how many seconds.
    pub events: Vec<Event>,
    /// How many requests stable and the canary got, and how many of them failed.
    pub requests: [(u32, u32); 2],
    /// The canary's share, in percent, every so often: seconds and share.
    pub shares: Vec<(u64, f64)>,
}

/// Something that a guardrail did.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, in seconds.
    pub second: u64,
    /// What.
    pub text: String,
}

/// Lets traffic run through every rollout that has a guardrail; `tick` hears of each second.
pub fn run(policy: &Policy, args: &Simulate, now: u64, mut tick: impl FnMut()) -> Vec<Run> {
    let known = Known {
        now: Some(now),
        ..Known::default()
    };
    let shares = policy.shares(&known as &dyn Outside);
    let mut runs = Vec::new();
    for (rollout, shares) in policy.rollouts.iter().zip(shares) {
        let Some(plan) = rollout.plan.clone().filter(|plan| plan.is_guarded()) else {
            continue;
        };
        let others = shares
            .iter()
            .filter(|(version, _)| *version != rollout.stable);
        let weight = match rollout.strategy {
            Strategy::BlueGreen { .. } => Share::ALL,
            _ => others.map(|(_, share)| *share).max().unwrap_or(Share::NONE),
        };
        let behaves = |errors: f64, millis: f64| Behaviour {
            errors: errors / 100.0,
            pace: plan.limits_latency().then(|| Pace {
                median: std::time::Duration::from_secs_f64(millis / 1_000.0),
                spread: 0.5,
            }),
        };
        let plan = Rc::new(plan.clone());
        let mut process = Process::new(Setup {
            plan: Rc::clone(&plan),
            workers: args.workers.max(1),
            rate: args.rps,
            weight,
            behaviours: [
                behaves(args.stable_errors, args.stable_latency),
                behaves(args.canary_errors, args.canary_latency),
            ],
            start: now,
            seed: args.seed,
        });
        let mut curve = Vec::new();
        let step = (args.seconds / 400).max(1);
        for second in 0..args.seconds {
            if second % step == 0 {
                curve.push((second, f64::from(process.share().ppm()) / 1e4));
            }
            process.tick();
            tick();
        }
        curve.push((args.seconds, f64::from(process.share().ppm()) / 1e4));
        let events = process.log().iter().map(|(when, transition)| Event {
            second: when.saturating_sub(now) / 1_000,
            text: transition.line(&plan).to_string(),
        });
        runs.push(Run {
            rollout: rollout.name.to_string(),
            events: events.collect(),
            requests: process.sent().map(|tally| (tally.all, tally.bad)),
            shares: curve,
        });
    }
    runs
}
