//! Adds what one VM counted to the state that all VMs share, and judges it.
//!
//! The filter and the simulator run this same code; it depends on no host.

use super::local::Local;
use super::plan::Plan;
use super::shared_data::{Change, SharedValue, Update};
use super::state::{State, Ticked};
use super::transition::Transition;

/// One merge of one rollout's counts into the shared state.
#[derive(Debug)]
pub struct Merge {
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Time of this VM's previous merge; the difference to `now` shows a clock that jumped.
    pub ticked_before: Option<u64>,
    /// Whether this configuration gets new requests. Others only add their counts.
    pub current: bool,
    update: Update<Option<Opened>>,
}

/// A state with the counts merged into it.
#[derive(Debug)]
struct Opened {
    state: State,
    ticked: Ticked,
    /// The host had a state, so an unchanged one is known to be current.
    present: bool,
}

/// Outcome of a merge.
#[derive(Debug)]
pub enum Merged {
    /// The counts are in this shared state.
    Current(State, Vec<Transition>),
    /// This configuration was replaced and its revision is not kept: the counts were
    /// dropped.
    Dropped,
    /// Nothing was counted and the host has no state.
    Absent,
    /// The state could not be written. The counts are kept for the next merge.
    Failed,
}

impl Merge {
    /// A merge that has not begun.
    pub fn new(now: u64, ticked_before: Option<u64>, current: bool) -> Self {
        Self {
            now,
            ticked_before,
            current,
            update: Update::default(),
        }
    }

    /// Reads the shared state, or writes the merged one. `None` while a step remains.
    pub fn step(
        &mut self,
        plan: &Plan,
        local: &mut Local,
        shared: &mut impl SharedValue,
    ) -> Option<Merged> {
        let (now, ticked_before, current) = (self.now, self.ticked_before, self.current);
        let counted = &*local;
        let result = self.update.step(shared, |bytes| {
            let Some(mut state) = State::open(plan, bytes, current) else {
                return Change {
                    value: None,
                    result: None,
                };
            };
            let ticked = state.tick(plan, counted, now, ticked_before, current);
            Change {
                value: ticked.changed.then(|| state.encode()),
                result: Some(Opened {
                    state,
                    ticked,
                    present: bytes.is_some(),
                }),
            }
        })?;
        Some(match result {
            None => Merged::Failed,
            Some(None) => {
                *local = Local::new(plan);
                Merged::Dropped
            }
            Some(Some(opened)) if !opened.present && !opened.ticked.changed => Merged::Absent,
            Some(Some(Opened { state, ticked, .. })) => {
                state.clear(plan, local);
                Merged::Current(state, ticked.transitions)
            }
        })
    }

    /// Runs all steps.
    pub fn run(mut self, plan: &Plan, local: &mut Local, shared: &mut impl SharedValue) -> Merged {
        loop {
            if let Some(merged) = self.step(plan, local, shared) {
                return merged;
            }
        }
    }
}
