//! What is kept of a revision of a rollout: how its versions stand, and what was counted of
//! them, by which limits.
//!
//! Configurations of several revisions, or with several limits, may get new streams at the
//! same time: a listener that drains for minutes beside the one that follows it, two
//! listeners whose plugins share a name. Each finds its own here. Verdicts belong to a
//! revision; counts to its limits as well, since such by others cannot be added.

use super::version::{self, Version};

/// How many revisions are kept: those that were written last.
pub(super) const MAX_REVISIONS: usize = 3;
/// By how many limits of one revision counts are kept.
pub(super) const MAX_LIMITS: usize = 3;

/// A revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    pub revision: u64,
    /// When it was last written.
    pub seen: u64,
    /// How they stand. What was counted of them is below.
    pub versions: Vec<Version>,
    /// The ones that were written last come first.
    pub counts: Vec<Counted>,
}

/// What was counted by the same limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Which limits.
    pub by: u64,
    pub versions: Vec<Of>,
}

/// What was counted of one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Of {
    pub name: u64,
    /// In which attempt. What was counted in an earlier one is void.
    pub attempt: u32,
    pub counts: version::Counts,
}

impl Kept {
    /// A revision of which nothing is known.
    pub fn new(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// Takes out what was counted by these limits and gives it to the versions. Whether
    /// there was anything of the kind.
    pub fn count_by(&mut self, limits: u64) -> bool {
        let all = std::mem::take(&mut self.counts).into_iter();
        let (by_these, by_others): (Vec<_>, _) = all.partition(|counted| counted.by == limits);
        self.counts = by_others;
        let Some(counted) = by_these.into_iter().next() else {
            return false;
        };
        for of in counted.versions {
            let same = |version: &&mut Version| version.name == of.name;
            if let Some(version) = self.versions.iter_mut().find(same)
                && version.attempt == of.attempt
            {
                version.counts = of.counts;
            }
        }
        true
    }
}

impl Counted {
    /// What was counted of these versions.
    pub fn of(by: u64, versions: &[Version]) -> Self {
        let some = |version: &&Version| version.counts != version::Counts::default();
        let of = |version: &Version| Of {
            name: version.name,
            attempt: version.attempt,
            counts: version.counts.clone(),
        };
        Self {
            by,
            versions: versions.iter().filter(some).map(of).collect(),
        }
    }

    /// Whether anything was counted of this version.
    pub fn has(&self, name: u64) -> bool {
        self.versions.iter().any(|of| of.name == name)
    }

    /// Forgets the oldest histogram of each version. `false` where there is none.
    pub fn forget_oldest_histograms(&mut self) -> bool {
        let mut forgot = false;
        for of in &mut self.versions {
            forgot |= of.counts.latencies.forget_oldest_histogram();
        }
        forgot
    }
}
