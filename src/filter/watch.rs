//! The rollouts of a configuration whose versions are watched: what came of their requests
//! is counted here, merged with what the other VMs counted, and judged.
//!
//! Every VM keeps what it knew at its last tick. Counts and verdicts of all of them are in
//! shared data, one value for each rollout, so they outlive a push that makes all VMs new.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::host::{self, Swapped};
use super::marks;
use crate::guardrail::clock::JUMP;
use crate::guardrail::{Arm, Local, Plan, State};
use crate::policy::{Policy, RolloutId};
use crate::response::FinishedRequest;

/// How often another VM may be faster before a merge is left to the next tick.
const TRIES: usize = 16;

/// The watched rollouts of one configuration in one VM.
pub struct Watch {
    watched: Vec<Watched>,
    /// By rollout: its place among the watched ones.
    places: Vec<Option<usize>>,
    /// When this VM merged last, by which it knows that its clock jumped.
    ticked: Cell<Option<u64>>,
}

struct Watched {
    rollout: RolloutId,
    /// In shared data.
    key: Box<str>,
    /// What was counted since the last merge.
    local: Cell<Option<Local>>,
    /// What was known at the last merge.
    state: Cell<Option<Rc<State>>>,
}

impl Watch {
    /// Watches what the policy says. What the process knows of it has to be recalled.
    pub fn new(plugin: &str, policy: &Policy) -> Self {
        let mut watched = Vec::new();
        let mut places = Vec::new();
        for (id, rollout) in policy.numbered() {
            let Some(plan) = &rollout.plan else {
                places.push(None);
                continue;
            };
            places.push(Some(watched.len()));
            let key = marks::key(plugin, "guardrail", &rollout.name);
            watched.push(Watched {
                rollout: id,
                key,
                local: Cell::new(Some(Local::new(plan))),
                state: Cell::new(None),
            });
        }
        Self {
            watched,
            places,
            ticked: Cell::new(None),
        }
    }

    /// Goes by what all VMs know: for whoever is in charge from now on.
    pub fn recall(&self, policy: &Policy) {
        for watched in &self.watched {
            let rollout = policy.rollout(watched.rollout);
            if let Some(plan) = rollout.and_then(|rollout| rollout.plan.as_ref()) {
                let before = watched.state.take();
                let shared = host::shared(&watched.key);
                let shared = shared.filter(|(bytes, _)| !bytes.is_empty());
                // A host that says nothing takes back nothing.
                let opened = match (&shared, &before) {
                    (None, Some(_)) => None,
                    (shared, _) => {
                        let bytes = shared.as_ref().map(|(bytes, _)| &**bytes);
                        State::open(plan, bytes, true).map(Rc::new)
                    }
                };
                watched.state.set(opened.or(before));
            }
        }
    }

    /// Whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// The time that ramps go by. Where the clock jumped ahead, that is still the last tick:
    /// only the next one can hold the ramps back, and until then nobody goes along.
    pub fn clock(&self) -> Option<u64> {
        let now = now()?;
        let ticked = self.ticked.get();
        let jumped = |ticked: &u64| now.saturating_sub(*ticked) > JUMP;
        Some(ticked.filter(jumped).unwrap_or(now))
    }

    /// What was known about a rollout at the last merge.
    pub fn state(&self, rollout: RolloutId) -> Option<Rc<State>> {
        let watched = self.get(rollout)?;
        let state = watched.state.take();
        watched.state.set(state.clone());
        state
    }

    /// Counts the end of a request. `true` where that cannot wait for the next tick.
    pub fn record(
        &self,
        rollout: RolloutId,
        plan: &Plan,
        arm: Arm,
        finished: &FinishedRequest,
    ) -> bool {
        let Some(watched) = self.get(rollout) else {
            return false;
        };
        let mut local = watched.local.take();
        let urgent = local.as_mut().is_some_and(|local| {
            local.record(plan, arm, finished.sample(), finished.counted_latency())
        });
        watched.local.set(local);
        urgent
    }

    /// Merges and judges all of them. Whoever is not in charge only adds its counts.
    pub fn tick(&self, policy: &Policy, in_charge: bool) {
        let Some(now) = now() else { return };
        for watched in &self.watched {
            self.merge(watched, policy, now, in_charge);
        }
        self.ticked.set(Some(now));
    }

    /// Merges and judges one of them at once. Whether that changed how a version stands.
    pub fn merge_now(&self, rollout: RolloutId, policy: &Policy, in_charge: bool) -> bool {
        match (self.get(rollout), now()) {
            (Some(watched), Some(now)) => self.merge(watched, policy, now, in_charge),
            _ => false,
        }
    }

    fn get(&self, rollout: RolloutId) -> Option<&Watched> {
        let place = *self.places.get(usize::from(rollout.0))?;
        self.watched.get(place?)
    }

    fn merge(&self, watched: &Watched, policy: &Policy, now: u64, in_charge: bool) -> bool {
        let rollout = policy.rollout(watched.rollout);
        let Some(plan) = rollout.and_then(|rollout| rollout.plan.as_ref()) else {
            return false;
        };
        let Some(mut local) = watched.local.take() else {
            return false;
        };
        let mut changed = false;
        for _ in 0..TRIES {
            let before = host::shared(&watched.key);
            let bytes = before.as_ref().map(|(bytes, _)| &**bytes);
            let Some(mut state) = State::open(plan, bytes, in_charge) else {
                // Others are in charge by now, and nothing of this revision is kept: what was
                // counted is dropped, not kept for the day when this one comes back. Where the
                // host says nothing, nothing is known.
                if bytes.is_some() {
                    local = Local::new(plan);
                }
                break;
            };
            let ticked = state.tick(plan, &local, now, self.ticked.get(), in_charge);
            if ticked.changed {
                // 0 would overwrite what another VM has just written. For a key that is not
                // there the host takes any other number.
                let cas = before.as_ref().map_or(u32::MAX, |(_, cas)| *cas);
                match host::swap_shared(&watched.key, &state.encode(), cas) {
                    Ok(Swapped::Yes) => {}
                    Ok(Swapped::No) => continue,
                    // Nothing is lost yet: it is tried again with the next tick.
                    Err(_) => break,
                }
            }
            // A host that says nothing takes back nothing.
            if before.is_none() && !ticked.changed {
                break;
            }
            state.clear(plan, &mut local);
            changed = !ticked.transitions.is_empty();
            for transition in &ticked.transitions {
                let name = rollout.map_or("", |rollout| &rollout.name);
                let line = transition.line(plan);
                if transition.is_breach() {
                    log::warn!("rollout {name}: {line}");
                } else {
                    log::info!("rollout {name}: {line}");
                }
            }
            watched.state.set(Some(Rc::new(state)));
            break;
        }
        watched.local.set(Some(local));
        changed
    }
}

/// Milliseconds since 1970.
pub fn now() -> Option<u64> {
    let nanos = host::realtime_nanos()?;
    let since = Duration::from_nanos(nanos).as_millis();
    u64::try_from(since).ok()
}
