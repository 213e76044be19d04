//! Measures the rate of false trips and the time to detection, for the tables of the documentation.

use std::fmt::Write as _;
use std::rc::Rc;

use divvy::guardrail::simulate::{Arrivals, Behaviour, Process, Setup, TICK, Traffic};
use divvy::guardrail::{Arm, Local, Plan, State};

use super::{NOON, percent};

const SECONDS_PER_DAY: u32 = 86_400;

/// Number of trips in this many proxy-days. Each proxy starts without state and sends the version
/// `rate` requests per second. A proxy that tripped restarts.
///
/// One worker without a store suffices, because the counts of several workers have the same sum.
pub fn quiet_days(plan: &Plan, rate: f64, behaviour: Behaviour, days: u32, seed: u64) -> u32 {
    let mut trips = 0;
    let arrivals = Arrivals::new(rate, behaviour);
    let mut traffic = Traffic::new(seed);
    for _ in 0..days {
        let mut fresh = State::open(plan, None, true);
        let mut local = Local::new(plan);
        let mut now = NOON;
        for _ in 0..SECONDS_PER_DAY {
            let Some(state) = &mut fresh else { break };
            now += TICK;
            traffic.tick(plan, &mut local, Arm(1), &arrivals);
            let ticked = state.tick(plan, &local, now, Some(now - TICK), true);
            state.clear(plan, &mut local);
            if !ticked.transitions.is_empty() {
                trips += 1;
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
        self.seconds[self.seconds.len() / 2]
    }

    /// Maximum in seconds; `None`: not detected in time.
    pub fn worst(&self) -> Option<u64> {
        *self.seconds.last()?
    }

    /// Number of runs with a detection.
    pub fn detected(&self) -> usize {
        self.seconds.iter().flatten().count()
    }
}

/// Measures the time from a change of behaviour, which happens at a different time in each run, to
/// a trip, and waits at most `seconds`.
pub fn detect(setup: &Setup, then: [Behaviour; 2], runs: u64, seconds: u64) -> Detection {
    let one = |number: u64| {
        let seed = setup.seed + number;
        let setup = setup.clone();
        let mut process = Process::new(Setup { seed, ..setup });
        // The longest window, and a different position within its slots in each run.
        let _ = process.run(600 + number);
        let healthy = process.log().len();
        process.behave(then);
        let since = process.now();
        process.run(seconds);
        let (when, _) = process.log().get(healthy)?;
        Some((when - since) / TICK)
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
                weight: percent(50.0),
                behaviours: [good; 2],
                start: NOON,
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
