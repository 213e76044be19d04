//! A configuration in force: the policy and the series it counts in.

use std::cell::Cell;

use super::host::MetricKind;
use super::metrics::Series;
use crate::decide::possible;
use crate::decision::{Decision, Reason};
use crate::output;
use crate::outside::Outside;
use crate::policy::{Metrics, Policy, Rollout, RolloutId, Shares};
use crate::response::ResponseClass;

/// For how many rollouts the series exist from the start. To define a metric takes the
/// host 16 µs, so those of many rollouts wait for their first use.
pub const DEFINED_AT_ONCE: usize = 50;

/// A policy with all that the filter works out once.
#[derive(Default)]
pub struct Active {
    pub policy: Policy,
    shares: Cell<Vec<Shares>>,
    series: Vec<RolloutSeries>,
}

/// What is counted for a rollout, by version; empty where nothing is.
type RolloutSeries = Vec<VersionSeries>;

#[derive(Debug)]
struct VersionSeries {
    requests: [Series; Reason::ALL.len()],
    responses: Option<ResponseSeries>,
}

#[derive(Debug)]
struct ResponseSeries {
    classes: [Series; ResponseClass::ALL.len()],
    duration: Series,
}

fn series_of(rollout: &Rollout) -> RolloutSeries {
    let responses = || ResponseSeries {
        classes: std::array::from_fn(|_| Series::new()),
        duration: Series::new(),
    };
    let versions = rollout.versions.iter();
    let counted = versions.filter(|_| rollout.metrics >= Metrics::Requests);
    counted
        .map(|_| VersionSeries {
            requests: std::array::from_fn(|_| Series::new()),
            responses: (rollout.metrics >= Metrics::Responses).then(responses),
        })
        .collect()
}

impl Active {
    pub fn new(policy: Policy) -> Self {
        let series = policy.rollouts.iter().map(series_of).collect();
        let active = Self {
            policy,
            shares: Cell::default(),
            series,
        };
        for (id, rollout) in active.policy.numbered().take(DEFINED_AT_ONCE) {
            active.define(id, rollout);
        }
        active
    }

    fn define(&self, id: RolloutId, rollout: &Rollout) {
        for (version, reason) in possible(&self.policy, rollout) {
            let decision = Decision {
                rollout: id,
                version,
                reason,
                judged: false,
                upstream: None,
            };
            let _ = self.requests(&decision);
            let _ = self.duration(&decision);
            for class in ResponseClass::ALL {
                let _ = self.responses(&decision, class);
            }
        }
    }

    /// Works out anew what each version has.
    pub fn update_shares(&self, outside: &dyn Outside) {
        self.shares.set(self.policy.shares(outside));
    }

    /// What each version of a rollout has, by its name.
    pub fn shares(&self, id: RolloutId) -> Vec<(&str, u32)> {
        let all = self.shares.take();
        let shares = all.get(usize::from(id.0));
        let rollout = self.policy.rollout(id);
        let versions = rollout.into_iter().flat_map(|rollout| &rollout.versions);
        let by_name = versions.zip(0..).map(|(version, number)| {
            let mut shares = shares.into_iter().flatten();
            let share = shares.find(|(of, _)| of.0 == number);
            (&*version.name, share.map_or(0, |(_, share)| share.ppm()))
        });
        let by_name = by_name.collect();
        self.shares.set(all);
        by_name
    }

    /// Whether a decision is one that a guardrail judges, and whether one of those looks at
    /// how long responses take.
    pub fn is_judged(&self, decisions: &[Decision]) -> (bool, bool) {
        let plans = decisions.iter().filter(|decision| decision.judged);
        let plans = plans.filter_map(|decision| {
            let rollout = self.policy.rollout(decision.rollout)?;
            rollout.guarded(decision.version).map(|(plan, _)| plan)
        });
        plans.fold((false, false), |(_, times), plan| {
            (true, times || plan.limits_latency())
        })
    }

    /// Whether the responses to a request are counted for any of these decisions.
    pub fn counts_responses(&self, decisions: &[Decision]) -> bool {
        decisions.iter().any(|decision| {
            let series = self.of(decision);
            series.is_some_and(|series| series.responses.is_some())
        })
    }

    /// The counter of requests with this decision.
    pub fn requests(&self, decision: &Decision) -> Option<u32> {
        let series = self.of(decision)?.requests.get(decision.reason as usize)?;
        series.id(MetricKind::Counter, || {
            let (rollout, version) = self.names(decision);
            output::request_series(rollout, version, decision.reason)
        })
    }

    /// The counter of responses of this class.
    pub fn responses(&self, decision: &Decision, class: ResponseClass) -> Option<u32> {
        let series = self.of(decision)?.responses.as_ref()?;
        let series = series.classes.get(class as usize)?;
        series.id(MetricKind::Counter, || {
            let (rollout, version) = self.names(decision);
            output::response_series(rollout, version, class)
        })
    }

    /// The histogram of the time to response headers.
    pub fn duration(&self, decision: &Decision) -> Option<u32> {
        let series = self.of(decision)?.responses.as_ref()?;
        series.duration.id(MetricKind::Histogram, || {
            let (rollout, version) = self.names(decision);
            output::duration_series(rollout, version)
        })
    }

    /// What is counted of a decision, if anything is.
    fn of(&self, decision: &Decision) -> Option<&VersionSeries> {
        self.series
            .get(usize::from(decision.rollout.0))?
            .get(usize::from(decision.version.0))
    }

    fn names(&self, decision: &Decision) -> (&str, &str) {
        let rollout = self.policy.rollout(decision.rollout);
        let version = rollout.and_then(|rollout| rollout.version(decision.version));
        (
            rollout.map_or("", |rollout| &rollout.name),
            version.map_or("", |version| &version.name),
        )
    }
}
