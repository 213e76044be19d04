//! The state of every unit, of a size that does not depend on the number of lines.
//!
//! Lines may come in any order: the exposure of a unit is the earliest one read, and its arm and first outcomes follow
//! from it. Outcomes that were read before an exposure that precedes them wait, [`MAX_WAITING`] of a unit and goal.

use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

use super::latency::LatencyCounts;
use super::record::LineRecord;

/// Maximum number of outcomes of a unit and goal that wait for an exposure. Conversions are exact with more of them, too
/// few of the counts are then reported.
pub const MAX_WAITING: usize = 16;
/// No exposure was read.
const UNEXPOSED: u8 = u8::MAX;
/// The unit was seen in two arms.
const CROSSED: u8 = u8::MAX - 1;
/// No outcome.
const NEVER: i64 = i64::MAX;
/// No outcome waits.
const NONE_WAITING: u32 = u32::MAX;

/// The units of a log. Each column has one value per unit, those of outcomes one per unit and goal.
#[derive(Debug)]
pub struct UnitLedger {
    index: HashMap<u64, u32, FxBuildHasher>,
    goals: usize,
    arm: Vec<u8>,
    exposed: Vec<i64>,
    requests: Vec<u32>,
    failures: Vec<u32>,
    duration: Vec<f64>,
    outcomes: Vec<OutcomeState>,
    /// The amounts, if they are read.
    values: Option<Vec<f64>>,
    waiting: Vec<WaitingOutcomes>,
    /// By arm: the durations of requests.
    pub latency: Vec<LatencyCounts>,
}

/// The outcomes of a unit and goal.
#[derive(Clone, Copy, Debug)]
struct OutcomeState {
    /// The first one after the exposure.
    first: i64,
    /// Their number.
    count: u32,
    /// Index of those that wait.
    waiting: u32,
}

/// Outcomes before the exposure, as far as it is known.
#[derive(Debug)]
struct WaitingOutcomes {
    outcomes: Vec<(i64, f64)>,
    /// Time of the latest one that was dropped.
    dropped: i64,
}

/// A unit with its exposure.
#[derive(Clone, Copy, Debug)]
pub struct ExposedUnit {
    /// The unit.
    pub unit: u64,
    /// Its place in the columns.
    place: usize,
    /// Its arm.
    pub arm: usize,
    /// Time of its first exposure.
    pub exposed: i64,
    /// Requests with an assignment and a response.
    pub requests: u32,
    /// Those that failed.
    pub failures: u32,
    /// Sum of their durations in milliseconds.
    pub duration: f64,
}

/// Outcomes of a unit and goal after its exposure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitOutcomes {
    /// Time of the first one.
    pub first: Option<i64>,
    /// Their number.
    pub count: u32,
    /// Their amounts.
    pub value: f64,
    /// Whether the number is too low, since too many outcomes waited.
    pub is_short: bool,
}

impl UnitLedger {
    /// An empty one.
    pub fn new(arms: usize, goals: usize, with_values: bool) -> Self {
        Self {
            index: HashMap::default(),
            goals,
            arm: Vec::new(),
            exposed: Vec::new(),
            requests: Vec::new(),
            failures: Vec::new(),
            duration: Vec::new(),
            outcomes: Vec::new(),
            values: with_values.then(Vec::new),
            waiting: Vec::new(),
            latency: vec![LatencyCounts::default(); arms],
        }
    }

    /// Adds what a line says.
    pub fn add(&mut self, record: &LineRecord) {
        let place = self.place(record.unit);
        if let Some(arm) = record.arm {
            self.expose(place, arm, record.time);
            if let Some(failed) = record.failed {
                self.requests[place] = self.requests[place].saturating_add(1);
                self.failures[place] = self.failures[place].saturating_add(u32::from(failed));
            }
            if let Some(duration) = record.duration {
                self.duration[place] += f64::from(duration);
                self.latency[usize::from(arm)].add(duration);
            }
        }
        let mut goals = record.goals;
        while goals != 0 {
            let goal = goals.trailing_zeros() as usize;
            goals &= goals - 1;
            self.outcome(place, goal, record.time, record.value);
        }
    }

    fn place(&mut self, unit: u64) -> usize {
        let next = self.arm.len();
        let place = *self.index.entry(unit).or_insert(next as u32) as usize;
        if place == next {
            self.arm.push(UNEXPOSED);
            self.exposed.push(NEVER);
            self.requests.push(0);
            self.failures.push(0);
            self.duration.push(0.0);
            let none = OutcomeState {
                first: NEVER,
                count: 0,
                waiting: NONE_WAITING,
            };
            self.outcomes.extend(std::iter::repeat_n(none, self.goals));
            if let Some(values) = &mut self.values {
                values.extend(std::iter::repeat_n(0.0, self.goals));
            }
        }
        place
    }

    fn expose(&mut self, place: usize, arm: u8, time: i64) {
        let known = &mut self.arm[place];
        *known = match *known {
            UNEXPOSED => arm,
            same if same == arm => arm,
            _ => CROSSED,
        };
        if time >= self.exposed[place] {
            return;
        }
        self.exposed[place] = time;
        for goal in 0..self.goals {
            let waiting = self.outcomes[place * self.goals + goal].waiting;
            let Some(waiting) = self.waiting.get_mut(waiting as usize) else {
                continue;
            };
            let ready: Vec<_> = waiting
                .outcomes
                .extract_if(.., |(at, _)| *at >= time)
                .collect();
            for (at, value) in ready {
                self.confirm(place, goal, at, value);
            }
        }
    }

    fn outcome(&mut self, place: usize, goal: usize, time: i64, value: f64) {
        if time >= self.exposed[place] {
            return self.confirm(place, goal, time, value);
        }
        let state = &mut self.outcomes[place * self.goals + goal];
        if state.waiting == NONE_WAITING {
            state.waiting = self.waiting.len() as u32;
            self.waiting.push(WaitingOutcomes {
                outcomes: Vec::with_capacity(1),
                dropped: i64::MIN,
            });
        }
        let waiting = &mut self.waiting[state.waiting as usize];
        waiting.outcomes.push((time, value));
        if waiting.outcomes.len() > MAX_WAITING {
            // The latest ones stay: they are those that an exposure most probably precedes.
            let earliest = (0..).zip(&waiting.outcomes).min_by_key(|(_, (at, _))| *at);
            if let Some((earliest, _)) = earliest {
                let (at, _) = waiting.outcomes.swap_remove(earliest);
                waiting.dropped = waiting.dropped.max(at);
            }
        }
    }

    fn confirm(&mut self, place: usize, goal: usize, time: i64, value: f64) {
        let place = place * self.goals + goal;
        let state = &mut self.outcomes[place];
        state.first = state.first.min(time);
        state.count = state.count.saturating_add(1);
        if let Some(values) = &mut self.values {
            values[place] += value;
        }
    }

    /// Number of units that were seen in two arms.
    pub fn crossed(&self) -> usize {
        self.arm.iter().filter(|arm| **arm == CROSSED).count()
    }

    /// The units with an exposure in one arm.
    pub fn exposed(&self) -> impl Iterator<Item = ExposedUnit> {
        self.index.iter().filter_map(|(unit, place)| {
            let place = *place as usize;
            let arm = usize::from(self.arm[place]);
            (arm < self.latency.len()).then(|| ExposedUnit {
                unit: *unit,
                place,
                arm,
                exposed: self.exposed[place],
                requests: self.requests[place],
                failures: self.failures[place],
                duration: self.duration[place],
            })
        })
    }

    /// The outcomes of a unit.
    pub fn outcomes(&self, unit: &ExposedUnit, goal: usize) -> UnitOutcomes {
        let place = unit.place * self.goals + goal;
        let state = self.outcomes[place];
        let waiting = self.waiting.get(state.waiting as usize);
        let is_short = waiting.is_some_and(|waiting| waiting.dropped >= unit.exposed);
        UnitOutcomes {
            first: (state.first != NEVER).then_some(state.first),
            count: state.count,
            value: self.values.as_ref().map_or(0.0, |values| values[place]),
            is_short,
        }
    }
}
