//! A policy in force and the series that it counts in.

use std::cell::Cell;

use super::host::{Host, MetricId, MetricKind};
use super::metrics::Series;
use super::vm::Vm;
use crate::decide::possible;
use crate::decision::{Decision, Reason, VersionId};
use crate::output;
use crate::policy::{Metrics, Policy, Rollout, RolloutId, Shares, UnitHash};
use crate::request::Environment;
use crate::response::ResponseClass;
use crate::signature::{KeyPurpose, SignatureResult};

/// Number of rollouts whose series are defined with the configuration. To define a metric
/// takes the host 16 µs, so the series of further rollouts wait for their first use.
pub const DEFINED_AT_ONCE: usize = 50;

/// A policy in force and the series that it counts in.
#[derive(Default)]
pub struct ActivePolicy {
    /// The policy.
    pub policy: Policy,
    /// Shares of all versions when they were last worked out.
    shares: Cell<Vec<Shares>>,
    series: Vec<RolloutSeries>,
    /// Results of signatures, by purpose.
    signatures: [[Series; SignatureResult::ALL.len()]; KeyPurpose::ALL.len()],
    /// Ids of the keys, if the policy uses some.
    pub key_ids: Vec<Box<str>>,
}

/// Series of a rollout, by version. Empty if its metrics are off.
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

impl ActivePolicy {
    /// Puts a policy in force and defines its first series.
    /// `key_ids`: those of the keys in the environment.
    pub fn new<H: Host>(vm: &Vm<H>, policy: Policy, key_ids: &[Box<str>]) -> Self {
        let series = policy.rollouts.iter().map(series_of).collect();
        let purposes = policy.signed_purposes();
        let has_keyed_unit = policy.unit.as_ref().is_some_and(UnitHash::is_keyed);
        let key_ids = if purposes.is_empty() && !has_keyed_unit {
            &[]
        } else {
            key_ids
        };
        let active = Self {
            key_ids: key_ids.to_vec(),
            signatures: Default::default(),
            policy,
            shares: Cell::default(),
            series,
        };
        for (id, rollout) in active.policy.numbered().take(DEFINED_AT_ONCE) {
            active.define(vm, id, rollout);
        }
        for purpose in purposes {
            for result in SignatureResult::ALL {
                let _ = active.signature(vm, purpose, result);
            }
        }
        active
    }

    /// The counter of signatures for this purpose with this result.
    pub fn signature<H: Host>(
        &self,
        vm: &Vm<H>,
        purpose: KeyPurpose,
        result: SignatureResult,
    ) -> Option<MetricId> {
        let results = self.signatures.get(purpose as usize)?;
        let series = results.get(result as usize)?;
        series.id(vm, MetricKind::Counter, || {
            output::signature_series(purpose, result)
        })
    }

    fn define<H: Host>(&self, vm: &Vm<H>, id: RolloutId, rollout: &Rollout) {
        for (version, reason) in possible(&self.policy, rollout) {
            let _ = self.requests(vm, id, version, reason);
            let _ = self.duration(vm, id, version);
            for class in ResponseClass::ALL {
                let _ = self.responses(vm, id, version, class);
            }
        }
    }

    /// Works out the shares of all versions.
    pub fn update_shares(&self, environment: &dyn Environment) {
        self.shares.set(self.policy.shares(environment));
    }

    /// Name and share of each version of a rollout, in parts per million.
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

    /// Whether responses are counted for one of these decisions.
    pub fn counts_responses(&self, decisions: &[Decision]) -> bool {
        decisions.iter().any(|decision| {
            let series = self.series(decision.rollout, decision.version);
            series.is_some_and(|series| series.responses.is_some())
        })
    }

    /// The counter of requests that got a version for this reason.
    pub fn requests<H: Host>(
        &self,
        vm: &Vm<H>,
        rollout: RolloutId,
        version: VersionId,
        reason: Reason,
    ) -> Option<MetricId> {
        let series = self.series(rollout, version)?;
        let series = series.requests.get(reason as usize)?;
        series.id(vm, MetricKind::Counter, || {
            let (rollout, version) = self.names(rollout, version);
            output::request_series(rollout, version, reason)
        })
    }

    /// The counter of responses of this class.
    pub fn responses<H: Host>(
        &self,
        vm: &Vm<H>,
        rollout: RolloutId,
        version: VersionId,
        class: ResponseClass,
    ) -> Option<MetricId> {
        let series = self.series(rollout, version)?.responses.as_ref()?;
        let series = series.classes.get(class as usize)?;
        series.id(vm, MetricKind::Counter, || {
            let (rollout, version) = self.names(rollout, version);
            output::response_series(rollout, version, class)
        })
    }

    /// The histogram of the time to response headers.
    pub fn duration<H: Host>(
        &self,
        vm: &Vm<H>,
        rollout: RolloutId,
        version: VersionId,
    ) -> Option<MetricId> {
        let series = self.series(rollout, version)?.responses.as_ref()?;
        series.duration.id(vm, MetricKind::Histogram, || {
            let (rollout, version) = self.names(rollout, version);
            output::duration_series(rollout, version)
        })
    }

    fn series(&self, rollout: RolloutId, version: VersionId) -> Option<&VersionSeries> {
        let versions = self.series.get(usize::from(rollout.0))?;
        versions.get(usize::from(version.0))
    }

    fn names(&self, rollout: RolloutId, version: VersionId) -> (&str, &str) {
        let rollout = self.policy.rollout(rollout);
        let version = rollout.and_then(|rollout| rollout.version(version));
        (
            rollout.map_or("", |rollout| &rollout.name),
            version.map_or("", |version| &version.name),
        )
    }
}
