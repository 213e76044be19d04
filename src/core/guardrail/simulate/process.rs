//! Simulated proxy: workers with a VM each, shared data, configuration updates and restarts. Must
//! not depend on the filter.

use std::collections::VecDeque;
use std::rc::Rc;

use super::TICK;
use super::store::Store;
use super::traffic::{Arrivals, Behaviour, Traffic};
use crate::bucket::Share;
use crate::guardrail::evidence::Tally;
use crate::guardrail::local::Local;
use crate::guardrail::merge::{Merge, Merged};
use crate::guardrail::plan::{Arm, Plan};
use crate::guardrail::state::State;
use crate::guardrail::transition::Transition;
use crate::guardrail::units::fraction;
use crate::guardrail::version::Standing;

/// Parameters of a simulated proxy.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Configuration of the rollout.
    pub plan: Rc<Plan>,
    /// Number of workers.
    pub workers: usize,
    /// Requests per second to the rollout, in all workers together.
    pub rate: f64,
    /// Share of the canary if the plan has no ramp.
    pub weight: Share,
    /// Behaviour of stable and of the canary.
    pub behaviours: [Behaviour; 2],
    /// Start time in milliseconds since the Unix epoch.
    pub start: u64,
    /// Seed of all randomness.
    pub seed: u64,
}

/// Effect of a configuration update on the VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vms {
    /// They stay and get another root context.
    Kept,
    /// They are replaced.
    New,
}

/// A simulated proxy.
#[derive(Clone, Debug)]
pub struct Process {
    setup: Setup,
    traffic: Traffic,
    now: u64,
    store: Store,
    workers: Vec<Worker>,
    log: Vec<(u64, Transition)>,
    sent: [Tally; 2],
    given_up: u64,
}

#[derive(Clone, Debug)]
struct Worker {
    roots: VecDeque<Root>,
    ticked: Option<u64>,
    /// State after the last tick.
    view: Option<State>,
    /// Share of the canary, and the arrivals for it.
    streams: Option<(Share, [Arrivals; 2])>,
}

/// A configuration in a VM. The last one receives new streams; the streams of the others have
/// ended.
#[derive(Clone, Debug)]
struct Root {
    plan: Rc<Plan>,
    local: Local,
}

/// A root between its read and its write of shared data.
struct Turn {
    worker: usize,
    root: Root,
    merge: Merge,
}

impl Root {
    fn new(plan: &Rc<Plan>) -> Self {
        Self {
            plan: Rc::clone(plan),
            local: Local::new(plan),
        }
    }
}

impl Worker {
    fn new(plan: &Rc<Plan>) -> Self {
        Self {
            roots: VecDeque::from([Root::new(plan)]),
            ticked: None,
            view: None,
            streams: None,
        }
    }
}

impl Process {
    /// A proxy at its start.
    pub fn new(setup: Setup) -> Self {
        let workers = (0..setup.workers).map(|_| Worker::new(&setup.plan));
        Self {
            traffic: Traffic::new(setup.seed),
            now: setup.start,
            store: Store::default(),
            workers: workers.collect(),
            log: Vec::new(),
            sent: Default::default(),
            given_up: 0,
            setup,
        }
    }

    /// Simulates a second of traffic and then a tick in each VM.
    pub fn tick(&mut self) {
        self.now = self.now.saturating_add(TICK);
        for index in 0..self.workers.len() {
            let share = self.share_of_worker(index);
            self.serve(index, share);
        }
        self.merge();
    }

    /// Simulates a tick without traffic.
    pub fn idle(&mut self) {
        self.now = self.now.saturating_add(TICK);
        self.merge();
    }

    /// Simulates this many seconds, or until there is a transition. Returns whether there was one.
    pub fn run(&mut self, seconds: u64) -> bool {
        let before = self.log.len();
        for _ in 0..seconds {
            self.tick();
            if self.log.len() > before {
                return true;
            }
        }
        false
    }

    /// Updates the configuration.
    pub fn push(&mut self, plan: &Rc<Plan>, vms: Vms) {
        self.setup.plan = Rc::clone(plan);
        for worker in &mut self.workers {
            if vms == Vms::New {
                worker.ticked = None;
                worker.view = None;
            }
            // The old root writes its counts with its last tick or at its end.
            worker.roots.push_back(Root::new(plan));
            worker.streams = None;
        }
    }

    /// Ends the process and starts another.
    pub fn restart(&mut self) {
        self.store = Store::default();
        let workers = self.workers.len();
        self.workers = (0..workers)
            .map(|_| Worker::new(&self.setup.plan))
            .collect();
    }

    /// Changes the behaviour of the versions.
    pub fn behave(&mut self, behaviours: [Behaviour; 2]) {
        self.setup.behaviours = behaviours;
        for worker in &mut self.workers {
            worker.streams = None;
        }
    }

    /// Sets the clock.
    pub const fn set_clock(&mut self, now: u64) {
        self.now = now;
    }

    /// Time of the clock.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Transitions and their times.
    pub fn log(&self) -> &[(u64, Transition)] {
        &self.log
    }

    /// Requests and failures of stable and of the canary so far.
    pub const fn sent(&self) -> [Tally; 2] {
        self.sent
    }

    /// Number of failed writes, and of ticks without a successful write.
    pub const fn contention(&self) -> (u64, u64) {
        (self.store.conflicts, self.given_up)
    }

    /// The shared state.
    pub fn state(&self) -> Option<State> {
        State::open(&self.setup.plan, self.store.value(), true)
    }

    /// Size of the shared state in bytes.
    pub fn stored(&self) -> usize {
        self.store.value().map_or(0, <[u8]>::len)
    }

    /// Current share of the canary.
    pub fn share(&self) -> Share {
        share(&self.setup, self.state().as_ref(), self.now)
    }

    fn share_of_worker(&self, index: usize) -> Share {
        let view = self.workers.get(index).and_then(|w| w.view.as_ref());
        share(&self.setup, view, self.now)
    }

    fn serve(&mut self, index: usize, share: Share) {
        let setup = &self.setup;
        let Some(worker) = self.workers.get_mut(index) else {
            return;
        };
        let streams = match worker.streams {
            Some((of, streams)) if of == share => streams,
            _ => streams_of(setup, share),
        };
        worker.streams = Some((share, streams));
        let Some(root) = worker.roots.back_mut() else {
            return;
        };
        for ((arm, stream), sent) in [Arm::STABLE, Arm(1)]
            .into_iter()
            .zip(&streams)
            .zip(&mut self.sent)
        {
            let tally = self.traffic.tick(&root.plan, &mut root.local, arm, stream);
            *sent = sent.plus(tally);
        }
    }

    /// Lets all roots read, merge and write in a random, interleaved order.
    fn merge(&mut self) {
        let mut turns = VecDeque::new();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            let newest = worker.roots.len().saturating_sub(1);
            let (now, ticked) = (self.now, worker.ticked);
            let turn = |(index, root)| Turn {
                worker: number,
                root,
                merge: Merge::new(now, ticked, index == newest),
            };
            let roots = std::mem::take(&mut worker.roots);
            turns.extend(roots.into_iter().enumerate().map(turn));
        }
        while !turns.is_empty() {
            let next = self.traffic.pick(turns.len());
            let Some(turn) = turns.get_mut(next) else {
                break;
            };
            let Turn { root, merge, .. } = turn;
            if let Some(merged) = merge.step(&root.plan, &mut root.local, &mut self.store)
                && let Some(turn) = turns.swap_remove_back(next)
            {
                self.done(turn, merged);
            }
        }
        for worker in &mut self.workers {
            worker.ticked = Some(self.now);
        }
    }

    fn done(&mut self, turn: Turn, merged: Merged) {
        let Some(worker) = self.workers.get_mut(turn.worker) else {
            return;
        };
        let failed = matches!(merged, Merged::Failed);
        self.given_up = self.given_up.saturating_add(u64::from(failed));
        let current = turn.merge.current;
        if let Merged::Current(state, transitions) = merged {
            let now = self.now;
            let happened = transitions.into_iter();
            self.log
                .extend(happened.map(|transition| (now, transition)));
            if current {
                worker.view = Some(state);
            }
        }
        if current {
            worker.roots.push_back(turn.root);
        } else if failed {
            // The root ticks until its write succeeds.
            worker.roots.push_front(turn.root);
        }
    }
}

fn share(setup: &Setup, state: Option<&State>, now: u64) -> Share {
    let standing = state.map(|state| state.standing(&setup.plan, Arm(1)));
    if standing == Some(Standing::RolledBack) {
        return Share::NONE;
    }
    match (&setup.plan.ramp, state) {
        (None, _) => setup.weight,
        (Some(_), Some(state)) => state.weight(&setup.plan, Arm(1), now),
        (Some(ramp), None) => ramp.scheduled(now),
    }
}

fn streams_of(setup: &Setup, share: Share) -> [Arrivals; 2] {
    let workers = u32::try_from(setup.workers.max(1)).unwrap_or(u32::MAX);
    let rate = setup.rate / f64::from(workers);
    let [stable, canary] = setup.behaviours;
    [
        Arrivals::new(rate * fraction(share.rest()), stable),
        Arrivals::new(rate * fraction(share), canary),
    ]
}
