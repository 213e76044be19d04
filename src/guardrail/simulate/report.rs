//! How often a guardrail is wrong, and how long it takes to be right: the table of the
//! documentation.

use std::fmt::Write as _;
use std::rc::Rc;

use super::TICK;
use super::process::{Process, Setup};
use super::traffic::{Behaviour, Stream, Traffic};
use crate::bucket::Share;
use crate::guardrail::{Arm, Local, Plan, State};

const SECONDS_PER_DAY: u32 = 86_400;
/// When the simulated proxies start: a Monday noon.
const START: u64 = 1_796_644_800_000;

/// How often a version trips in so many proxy-days, each of a proxy that has just started
/// and sends it `rate` requests a second. A proxy that tripped begins anew.
///
/// One worker, whose state needs no store: what several workers count is the same sum.
pub fn quiet_days(plan: &Plan, rate: f64, behaviour: Behaviour, days: u32, seed: u64) -> u32 {
    let mut trips: u32 = 0;
    let stream = Stream::new(rate, behaviour);
    let mut traffic = Traffic::new(seed);
    for _ in 0..days {
        let mut fresh = State::open(plan, None, true);
        let mut local = Local::new(plan);
        let mut now = START;
        for _ in 0..SECONDS_PER_DAY {
            let Some(state) = &mut fresh else { break };
            now = now.saturating_add(TICK);
            traffic.tick(plan, &mut local, Arm(1), &stream);
            let before = now.checked_sub(TICK);
            let ticked = state.tick(plan, &local, now, before, true);
            local.merged(plan, state);
            if !ticked.transitions.is_empty() {
                trips = trips.saturating_add(1);
                fresh = State::open(plan, None, true);
            }
        }
    }
    trips
}

/// How long it took to notice that a version went bad.
#[derive(Clone, Debug)]
pub struct Detection {
    /// In each try, sorted; `None` where it was not noticed in time.
    seconds: Vec<Option<u64>>,
}

impl Detection {
    /// Half of the tries took at most this long; `None`: longer than was waited.
    pub fn median(&self) -> Option<u64> {
        self.at(self.seconds.len().checked_div(2).unwrap_or_default())
    }

    /// None took longer.
    pub fn worst(&self) -> Option<u64> {
        self.at(self.seconds.len().saturating_sub(1))
    }

    /// In how many tries it was noticed.
    pub fn noticed(&self) -> usize {
        self.seconds.iter().flatten().count()
    }

    fn at(&self, index: usize) -> Option<u64> {
        self.seconds.get(index).copied().flatten()
    }
}

/// Lets the versions go from `setup.behaviours` to others, after a while that differs from
/// try to try, and waits at most so many seconds for the guardrail to notice.
pub fn detect(setup: &Setup, then: [Behaviour; 2], tries: u64, seconds: u64) -> Detection {
    let one = |number: u64| {
        let seed = setup.seed.wrapping_add(number);
        let mut process = Process::new(Setup {
            seed,
            ..setup.clone()
        });
        // As long as the longest window, and then anywhere within one of its slots.
        let _ = process.run(600_u64.saturating_add(number));
        let healthy = process.log().len();
        process.behave(then);
        let since = process.now();
        process.run(seconds);
        let (when, _) = process.log().get(healthy)?;
        when.saturating_sub(since).checked_div(TICK)
    };
    let mut seconds: Vec<_> = (0..tries).map(one).collect();
    seconds.sort_by_key(|seconds| seconds.unwrap_or(u64::MAX));
    Detection { seconds }
}

/// The table of the documentation, as Markdown: for each rate of requests to the canary, in
/// each proxy, the false trips of a canary at half its limit, and the seconds until one that
/// fails more is noticed (median, and the slowest try).
pub fn table(plan: &Rc<Plan>, half: f64, rates: &[f64], errors: &[f64], days: u32) -> String {
    const TRIES: u64 = 51;
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
            let found = detect(&setup, [good, bad], TRIES, PATIENCE);
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
