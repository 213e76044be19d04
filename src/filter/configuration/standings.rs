//! The values of a rollout's gauges, and the attempts to reach its versions. Must not depend on which
//! configuration the gauges show.

use super::Configuration;
use crate::decision::Decision;
use crate::filter::host::Host;
use crate::filter::reach::VersionPlace;
use crate::guardrail::{self, Plan, Standing};
use crate::output;
use crate::policy::{Metrics, RolloutId};
use crate::unreachable::Attempt;

/// Value of `divvy_guardrail_state` of a version that is unreachable. The others are those of
/// [`Standing::gauge`].
const UNREACHABLE: u64 = 3;

impl<H: Host> Configuration<H> {
    /// Whether the request with these decisions tries the unreachable version that it is routed to.
    #[cold]
    pub(in crate::filter) fn take_tried(&self, decisions: &[Decision]) -> bool {
        let Some(tried) = self.reach.take_tried() else {
            return false;
        };
        let tries = self.active.policy.watched_route(decisions) == Some(tried);
        if !tries {
            // The decision was taken back.
            self.note_attempt(tried, true, Attempt::Unknown);
        }
        tries
    }

    /// Notes whether a version got a request; `tries`: the request tried an unreachable one.
    pub(in crate::filter) fn note_attempt(
        &self,
        place: VersionPlace,
        tries: bool,
        attempt: Attempt,
    ) {
        let (host, policy) = (&self.vm.host, &self.active.policy);
        if tries {
            self.reach.note_try(host, policy, place, attempt);
        } else {
            self.reach.note(host, policy, place, attempt);
        }
    }

    /// Names and values of a rollout's gauges: the share of each version, the standing of those
    /// that are watched, and whether a step waits for evidence.
    pub(super) fn gauges_of(&self, id: RolloutId) -> Vec<(String, u64)> {
        let Some(rollout) = self.active.policy.rollout(id) else {
            return Vec::new();
        };
        let mut gauges = Vec::new();
        let mut values = self.values_of(id).into_iter();
        let mut add = |name| gauges.extend(values.next().map(|value| (name, value)));
        if rollout.metrics > Metrics::Off {
            for version in &rollout.versions {
                add(output::weight_series(&rollout.name, &version.name));
            }
        }
        for (_, version, _) in rollout.standings() {
            add(output::guardrail_series(&rollout.name, &version.name));
        }
        if rollout.plan.as_ref().is_some_and(Plan::waits) {
            add(output::waiting_series(&rollout.name));
        }
        gauges
    }

    /// Values of a rollout's gauges, in the same order.
    pub(super) fn values_of(&self, id: RolloutId) -> Vec<u64> {
        let mut values = Vec::new();
        let Some(rollout) = self.active.policy.rollout(id) else {
            return values;
        };
        if rollout.metrics > Metrics::Off {
            let shares = self.active.shares(id).into_iter();
            values.extend(shares.map(|(_, share)| u64::from(share)));
        }
        let state = self.watch.state(id);
        values.extend(rollout.standings().map(|(version, _, arm)| {
            let judged = rollout.plan.as_ref().zip(arm);
            let standing = judged.map_or(Standing::Healthy, |(plan, arm)| {
                guardrail::standing(plan, state.as_deref(), arm)
            });
            if standing != Standing::RolledBack && self.reach.is_down((id, version)) {
                UNREACHABLE
            } else {
                standing.gauge()
            }
        }));
        if let Some(plan) = rollout.plan.as_ref().filter(|plan| plan.waits()) {
            let is_waiting = guardrail::is_waiting(plan, state.as_deref());
            values.push(u64::from(is_waiting));
        }
        values
    }
}
