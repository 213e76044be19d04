//! Rate of false trips and time to detection: the tables of the documentation. Must not depend on
//! the command line.

use std::fmt::Write as _;
use std::rc::Rc;

use super::TICK;
use super::process::{Process, Setup};
use super::traffic::{Arrivals, Behaviour, Traffic};
use crate::bucket::Share;
use crate::guardrail::{Arm, Local, Plan, State};

const SECONDS_PER_DAY: u32 = 86_400;
/// Start time of the simulated proxies: a Monday noon.
const START: u64 = 1_796_644_800_000;

/// Number of trips in this many proxy-days. Each proxy starts without state and sends the version
/// `rate` requests per second. A proxy that tripped restarts.
///
/// One worker without a store suffices, because the counts of several workers have the same sum.
pub fn quiet_days(plan: &Plan, rate: f64, behaviour: Behaviour, days: u32, seed: u64) -> u32 {
    let mut trips: u32 = 0;
    let arrivals = Arrivals::new(rate, behaviour);
    let mut traffic = Traffic::new(seed);
    for _ in 0..days {
        let mut fresh = State::open(plan, None, true);
        let mut local = Local::new(plan);
        let mut now = START;
        for _ in 0..SECONDS_PER_DAY {
            let Some(state) = &mut fresh else { break };
            now = now.saturating_add(TICK);
            traffic.tick(plan, &mut local, Arm(1), &arrivals);
            let before = now.checked_sub(TICK);
            let ticked = state.tick(plan, &local, now, before, true);
            state.clear(plan, &mut local);
            if !ticked.transitions.is_empty() {
                trips = trips.saturating_add(1);
                fresh = State::open(plan, None, true);
            }
        }
    }
    trips
}

/// Times to detection of a version that began to fail.
#[derive(Clone, Debug)]
pub struct Detection {
    /// Seconds per run, sorted; `None`: not detected in time.
    seconds: Vec<Option<u64>>,
}

impl Detection {
    /// Median in seconds; `None`: not detected in time.
    pub fn median(&self) -> Option<u64> {
        self.at(self.seconds.len().checked_div(2).unwrap_or_default())
    }

    /// Maximum in seconds; `None`: not detected in time.
    pub fn worst(&self) -> Option<u64> {
        self.at(self.seconds.len().saturating_sub(1))
    }

    /// Number of runs with a detection.
    pub fn detected(&self) -> usize {
        self.seconds.iter().flatten().count()
    }

    fn at(&self, index: usize) -> Option<u64> {
        self.seconds.get(index).copied().flatten()
    }
}

/// Measures the time from a change of behaviour, which happens at a different time in each run, to
/// a trip, and waits at most `seconds`.
pub fn detect(setup: &Setup, then: [Behaviour; 2], runs: u64, seconds: u64) -> Detection {
    let one = |number: u64| {
        let seed = setup.seed.wrapping_add(number);
        let mut process = Process::new(Setup {
            seed,
            ..setup.clone()
        });
        // The longest window, and a different position within its slots in each run.
        let _ = process.run(600_u64.saturating_add(number));
        let healthy = process.log().len();
        process.behave(then);
        let since = process.now();
        process.run(seconds);
        let (when, _) = process.log().get(healthy)?;
        when.saturating_sub(since).checked_div(TICK)
    };
    let mut seconds: Vec<_> = (0..runs).map(one).collect();
    seconds.sort_by_key(|seconds| seconds.unwrap_or(u64::MAX));
    Detection { seconds }
}

/// Table of the documentation in Markdown. For each rate of requests per proxy: false trips of a
/// canary at half its limit, and seconds to the detection of failing canaries (median and
/// maximum).
pub fn table(plan: &Rc<Plan>, half: f64, rates: &[f64], errors: &[f64], days: u32) -> String {
    const RUNS: u64 = 51;
    const PATIENCE: u64 = 3_600;
    let mut text = String::from("| requests/s to the canary | false trips");
    let _ = write!(text, " in {days} proxy-days |");
    for share in errors {
        let _ = write!(text, " {} % fail |", share * 100.0);
    }
    text.push_str("\n|---|---|");
    text.extend(errors.iter().map(|_| "---|"));
    for (rate, seed) in rates.iter().zip(1..) {
        let trips = quiet_days(plan, *rate, Behaviour::failing(half), days, seed);
        let _ = write!(text, "\n| {rate} | {trips} |");
        for share in errors {
            let good = Behaviour::failing(half / 5.0);
            let setup = Setup {
                plan: Rc::clone(plan),
                workers: 2,
                rate: rate * 2.0,
                weight: Share::from_percent(50.0).unwrap_or(Share::ALL),
                behaviours: [good; 2],
                start: START,
                seed,
            };
            let bad = Behaviour::failing(*share);
            let found = detect(&setup, [good, bad], RUNS, PATIENCE);
            match (found.median(), found.worst()) {
                (Some(median), Some(worst)) => write!(text, " {median} s ({worst} s) |"),
                (Some(median), None) => write!(text, " {median} s (over 1 h) |"),
                (None, _) => write!(text, " over 1 h |"),
            }
            .unwrap_or_default();
        }
    }
    text.push('\n');
    text
}
