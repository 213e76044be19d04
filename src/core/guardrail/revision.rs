//! State of one revision of a rollout: its versions, and counts by set of limits. Must not
//! depend on the encoding or on the counts of a worker.
//!
//! Configurations with different revisions or limits may receive new streams at the same time: a
//! draining listener beside its successor, or two listeners whose plugins have the same name.
//! Verdicts belong to a revision. Counts belong to a revision and a set of limits, because counts
//! of different limits cannot be added.

use super::plan::{Arm, Plan};
use super::version::{Phase, VersionState, Windows};
use crate::bucket::Share;

/// Maximum number of revisions that are kept; the least recently written is dropped.
pub(super) const MAX_REVISIONS: usize = 3;
/// Maximum number of limit sets per revision whose counts are kept.
pub(super) const MAX_LIMITS: usize = 3;

/// State of one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RevisionState {
    /// Hash of the revision.
    pub revision: u64,
    /// Time of the last write.
    pub seen: u64,
    /// Versions; those in a blob have no counts.
    pub versions: Vec<VersionState>,
    /// Counts by set of limits, most recently written first.
    pub counts: Vec<LimitCounts>,
}

/// Counts of all versions by one set of limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LimitCounts {
    /// Hash of the limits.
    pub limits: u64,
    pub versions: Vec<VersionCounts>,
}

/// Counts of one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VersionCounts {
    /// Hash of the version's name.
    pub name: u64,
    /// Attempt of the version; counts of an earlier attempt are void.
    pub attempt: u32,
    pub windows: Windows,
}

impl RevisionState {
    /// State of a revision without versions.
    pub fn new(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// Moves the counts of these limits to the versions. Returns whether there were any.
    pub fn take_counts(&mut self, limits: u64) -> bool {
        let all = std::mem::take(&mut self.counts).into_iter();
        let (own, others): (Vec<_>, _) = all.partition(|counts| counts.limits == limits);
        self.counts = others;
        let Some(counts) = own.into_iter().next() else {
            return false;
        };
        for counted in counts.versions {
            let same = |version: &&mut VersionState| version.name == counted.name;
            if let Some(version) = self.versions.iter_mut().find(same)
                && version.attempt == counted.attempt
            {
                version.windows = counted.windows;
            }
        }
        true
    }

    /// Weight of a canary with a ramp, which determines its users; a rollback does not change
    /// it. [`Share::NONE`] without a ramp.
    pub fn weight(&self, plan: &Plan, arm: Arm, now: u64) -> Share {
        let Some(ramp) = &plan.ramp else {
            return Share::NONE;
        };
        let version = self.version(plan, arm);
        let weight = match version.and_then(|version| version.progress) {
            Some(progress) if plan.waits() => ramp.awaited(&progress, now),
            Some(progress) if progress.held => ramp.paced(&progress, now),
            _ => ramp.scheduled(now),
        };
        match version.map(|version| version.phase_by(plan)) {
            // A rollback affects the users at the time of the trip, and no others.
            Some(Phase::Frozen { weight: held, .. } | Phase::RolledBack { weight: held, .. }) => {
                weight.min(held)
            }
            _ => weight,
        }
    }

    pub fn version(&self, plan: &Plan, arm: Arm) -> Option<&VersionState> {
        let name = plan.key(arm)?;
        let mut versions = self.versions.iter();
        versions.find(|version| version.name == name)
    }

    pub fn version_mut(&mut self, plan: &Plan, arm: Arm) -> Option<&mut VersionState> {
        let name = plan.key(arm)?;
        let mut versions = self.versions.iter_mut();
        versions.find(|version| version.name == name)
    }
}

impl LimitCounts {
    /// Counts of these versions; versions without counts are omitted.
    pub fn of(limits: u64, versions: &[VersionState]) -> Self {
        let counted = versions
            .iter()
            .filter(|version| version.windows != Windows::default());
        let counted = counted.map(|version| VersionCounts {
            name: version.name,
            attempt: version.attempt,
            windows: version.windows.clone(),
        });
        Self {
            limits,
            versions: counted.collect(),
        }
    }

    /// Whether there are counts of this version.
    pub fn has(&self, name: u64) -> bool {
        self.versions.iter().any(|version| version.name == name)
    }

    /// Drops the oldest histogram of each version. Returns whether there was one.
    pub fn drop_oldest_histograms(&mut self) -> bool {
        let mut dropped = false;
        for version in &mut self.versions {
            dropped |= version.windows.latencies.drop_oldest_histogram();
        }
        dropped
    }
}
