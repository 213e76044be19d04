//! A configuration in force: the policy and the series it counts in.

use super::host::MetricKind;
use super::metrics::Series;
use crate::decide::{Decision, Reason, possible};
use crate::output::{self, Class};
use crate::policy::{Policy, Rollout, RolloutId};

/// For how many rollouts the series exist from the start. To define a metric takes the
/// host 16 µs, so those of many rollouts wait for their first use.
pub const DEFINED_AT_ONCE: usize = 50;

/// A policy with all that the filter works out once.
#[derive(Debug, Default)]
pub struct Active {
    pub policy: Policy,
    series: Vec<RolloutSeries>,
}

#[derive(Debug)]
struct RolloutSeries {
    /// By version.
    versions: Vec<VersionSeries>,
}

#[derive(Debug)]
struct VersionSeries {
    requests: [Series; Reason::ALL.len()],
    responses: [Series; Class::ALL.len()],
    duration: Series,
}

impl VersionSeries {
    fn new() -> Self {
        Self {
            requests: std::array::from_fn(|_| Series::new(MetricKind::Counter)),
            responses: std::array::from_fn(|_| Series::new(MetricKind::Counter)),
            duration: Series::new(MetricKind::Histogram),
        }
    }
}

impl Active {
    pub fn new(policy: Policy) -> Self {
        let series = policy
            .rollouts
            .iter()
            .map(|rollout| RolloutSeries {
                versions: rollout
                    .versions
                    .iter()
                    .map(|_| VersionSeries::new())
                    .collect(),
            })
            .collect();
        let active = Self { policy, series };
        for (id, rollout) in active.policy.numbered().take(DEFINED_AT_ONCE) {
            active.define(id, rollout);
        }
        active
    }

    fn define(&self, id: RolloutId, rollout: &Rollout) {
        for (version, reason) in possible(rollout) {
            let decision = Decision {
                rollout: id,
                version,
                reason,
            };
            let _ = self.requests(&decision);
            let _ = self.duration(&decision);
            for class in Class::ALL {
                let _ = self.responses(&decision, class);
            }
        }
    }

    /// The counter of requests with this decision.
    pub fn requests(&self, decision: &Decision) -> Option<u32> {
        let series = self.of(decision)?.requests.get(decision.reason as usize)?;
        series.id(|| {
            let (rollout, version) = self.names(decision);
            output::request_series(rollout, version, decision.reason)
        })
    }

    /// The counter of responses of this class.
    pub fn responses(&self, decision: &Decision, class: Class) -> Option<u32> {
        let series = self.of(decision)?.responses.get(class as usize)?;
        series.id(|| {
            let (rollout, version) = self.names(decision);
            output::response_series(rollout, version, class)
        })
    }

    /// The histogram of the time to response headers.
    pub fn duration(&self, decision: &Decision) -> Option<u32> {
        self.of(decision)?.duration.id(|| {
            let (rollout, version) = self.names(decision);
            output::duration_series(rollout, version)
        })
    }

    fn of(&self, decision: &Decision) -> Option<&VersionSeries> {
        self.series
            .get(usize::from(decision.rollout.0))?
            .versions
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
