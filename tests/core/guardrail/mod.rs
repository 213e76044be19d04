//! Guardrail and ramp by their public interface: as a state machine and over simulated days.
mod beside;
mod evidence;
mod heeding;
mod lifecycle;
mod merging;
mod report;
mod steps;
mod verdicts;
mod waiting;

use std::rc::Rc;
use std::time::Duration;

use divvy::bucket::Share;
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::{
    Arm, ErrorLimit, Guardrail, LatencyLimit, Local, Pauses, Plan, Ramp, Standing, State, Step,
    Transition, Until,
};

/// A Monday noon, in milliseconds since the Unix epoch.
const NOON: u64 = 1_796_644_800_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const V2: Arm = Arm(1);

fn percent(percent: f64) -> Share {
    Share::from_percent(percent).unwrap()
}

/// Maximum of 1 % errors in 30 seconds.
fn one_percent() -> Guardrail {
    Guardrail {
        errors: Some(ErrorLimit {
            max: Some(percent(1.0)),
            over_stable: None,
            window: Duration::from_secs(30),
        }),
        ..Guardrail::default()
    }
}

/// Maximum of 1 % over stable.
fn over_stable() -> Guardrail {
    let mut guardrail = one_percent();
    let errors = guardrail.errors.as_mut().unwrap();
    (errors.max, errors.over_stable) = (None, Some(percent(1.0)));
    guardrail
}

/// Limits on the 95 % quantile in a window of 30 seconds.
fn latency(max: Option<u64>, times_stable: Option<f64>) -> Guardrail {
    Guardrail {
        latency: Some(LatencyLimit {
            quantile: 0.95,
            max: max.map(Duration::from_millis),
            times_stable,
            window: Duration::from_secs(30),
            lasting: Duration::ZERO,
        }),
        ..Guardrail::default()
    }
}

fn plan(revision: &str, guardrail: Guardrail) -> Rc<Plan> {
    Rc::new(Plan::new(revision, guardrail, None, "v1", ["v2"]))
}

/// 5 %, 25 % and 50 % for ten minutes each, then 100 %, from noon on.
fn ramp() -> Ramp {
    let steps = [5.0, 25.0, 50.0, 100.0].map(|weight| Step {
        weight: percent(weight),
        until: Until::Hold(Duration::from_mins(10)),
    });
    Ramp::new(NOON, steps.to_vec(), Pauses::default()).unwrap()
}

/// A ramp by the clock alone.
fn plan_with_ramp(guardrail: Guardrail) -> Rc<Plan> {
    let guardrail = Guardrail {
        evidence: false,
        ..guardrail
    };
    Rc::new(Plan::new("1", guardrail, Some(ramp()), "v1", ["v2"]))
}

/// One worker and its state.
struct Worker {
    plan: Rc<Plan>,
    state: State,
    local: Local,
    now: u64,
}

impl Worker {
    fn new(plan: &Rc<Plan>) -> Self {
        Self {
            state: State::open(plan, None, true).unwrap(),
            local: Local::new(plan),
            plan: Rc::clone(plan),
            now: NOON,
        }
    }

    /// Continues with another plan and the shared state.
    fn switch(&mut self, plan: &Rc<Plan>) {
        let bytes = self.state.encode();
        self.state = State::open(plan, Some(&bytes), true).unwrap();
        self.local = Local::new(plan);
        self.plan = Rc::clone(plan);
    }

    /// Verdict on v2.
    fn standing(&self) -> Standing {
        self.state.standing(&self.plan, V2)
    }

    /// Counts of v2.
    fn known(&self) -> Tally {
        self.state.known(&self.plan, V2, self.now)
    }

    fn count(&mut self, arm: Arm, requests: u32, failures: u32) {
        let tally = Tally {
            bad: failures,
            all: requests,
        };
        self.local.count(arm, tally);
    }

    /// Log lines of a tick at this time.
    fn tick_at(&mut self, now: u64) -> Vec<Transition> {
        let before = Some(self.now);
        self.now = now;
        let bytes = self.state.encode();
        self.state = State::open(&self.plan, Some(&bytes), true).unwrap();
        let ticked = self.state.tick(&self.plan, &self.local, now, before, true);
        self.state.clear(&self.plan, &mut self.local);
        ticked.transitions
    }

    /// Log lines of ticks each second until this time.
    fn until(&mut self, end: u64) -> Vec<(u64, String)> {
        let mut log = Vec::new();
        while self.now < end {
            let transitions = self.tick_at((self.now + SECOND).min(end));
            let lines = transitions.iter().map(|transition| {
                let line = transition.line(&self.plan).to_string();
                (self.now, line)
            });
            log.extend(lines);
        }
        log
    }

    /// Counts requests, half of them failures.
    fn fails(&mut self) {
        self.count(V2, 40, 20);
    }

    fn weight(&self) -> Share {
        self.state.weight(&self.plan, V2, self.now)
    }
}
