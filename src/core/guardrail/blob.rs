//! Encoding of a rollout's state for shared data. Must not depend on plans or on judging.
//!
//! Decoding is total: bytes in another layout are not a state. Another version of divvy in the
//! same process may have written them.

use super::progress::StepCounts;
use super::ramp::{CurrentStep, MAX_STEPS};
use super::revision::{LimitCounts, MAX_LIMITS, MAX_REVISIONS, RevisionState, VersionCounts};
use super::version::{Phase, VersionState, Windows};
use super::window::{Counts, Window};
use super::wire::{BlobReader, BlobWriter};
use crate::bucket::Share;

/// Number of the layout. States in another layout are discarded, with their verdicts.
const LAYOUT: u64 = 3;
/// The layout before, which has no steps. Its states are read, so that verdicts outlive an update.
const WITHOUT_STEPS: u64 = 2;
/// Maximum number of versions of a revision: those of a rollout, and as many removed ones with a
/// verdict.
const MAX_VERSIONS: usize = 64;
/// Maximum size of a state in bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// Encodes revisions, the current one first. Drops counts until the result fits.
pub(super) fn encode(mut revisions: Vec<RevisionState>) -> Vec<u8> {
    let mut bytes = encode_all(&revisions);
    while bytes.len() > MAX_BYTES && drop_least_important(&mut revisions) {
        bytes = encode_all(&revisions);
    }
    bytes
}

/// Drops latencies of other limits, then own latencies, then counts of other limits, then
/// revisions. Returns whether anything was dropped.
///
/// A rollout with many versions and widely spread latencies can exceed the maximum size,
/// especially while several configurations count at the same time. Missing counts weaken
/// evidence; they never create any.
fn drop_least_important(revisions: &mut Vec<RevisionState>) -> bool {
    let mut counts = revisions
        .iter_mut()
        .flat_map(|revision| &mut revision.counts);
    let own = counts.next();
    let mut others: Vec<_> = counts.collect();
    for counts in others.iter_mut().rev() {
        if counts.drop_oldest_histograms() {
            return true;
        }
    }
    if own.is_some_and(LimitCounts::drop_oldest_histograms) {
        return true;
    }
    let counted = |counts: &&mut &mut LimitCounts| !counts.versions.is_empty();
    if let Some(counts) = others.iter_mut().rev().find(counted) {
        counts.versions.clear();
        return true;
    }
    revisions.len() > 1 && revisions.pop().is_some()
}

fn encode_all(revisions: &[RevisionState]) -> Vec<u8> {
    let mut to = BlobWriter::default();
    to.number(LAYOUT);
    to.length(revisions.len());
    for revision in revisions {
        to.number(revision.revision);
        to.number(revision.seen);
        to.length(revision.versions.len());
        for version in &revision.versions {
            encode_version(version, &mut to);
        }
        to.length(revision.counts.len());
        for counts in &revision.counts {
            to.number(counts.limits);
            let indexed = |counted| Some((index(&revision.versions, counted)?, counted));
            let indexed: Vec<_> = counts.versions.iter().filter_map(indexed).collect();
            to.length(indexed.len());
            for (index, counted) in indexed {
                to.length(index);
                to.number(u64::from(counted.attempt));
                to.optional(counted.windows.slow_since);
                counted.windows.errors.encode(&mut to);
                counted.windows.latencies.encode(&mut to);
                counted.windows.step.errors.encode(&mut to);
                counted.windows.step.latencies.encode(&mut to);
            }
        }
    }
    to.into_bytes()
}

/// Index of a version in the list: one byte instead of the ten of a name's hash.
fn index(versions: &[VersionState], counted: &VersionCounts) -> Option<usize> {
    versions
        .iter()
        .position(|version| version.name == counted.name)
}

fn encode_version(version: &VersionState, to: &mut BlobWriter) {
    to.number(version.name);
    encode_phase(version.phase, to);
    to.number(u64::from(version.trips));
    to.number(u64::from(version.attempt));
    to.optional(version.progress.map(|progress| progress.since));
    let progress = version.progress.unwrap_or_default();
    to.number(u64::from(progress.weight.ppm()));
    to.length(progress.step);
    to.number(u64::from(progress.held));
    to.number(u64::from(version.waiting));
}

fn encode_phase(phase: Phase, to: &mut BlobWriter) {
    let (kind, weight, until) = match phase {
        Phase::Healthy => (0, Share::NONE, None),
        Phase::Observed { until } => (1, Share::NONE, Some(until)),
        Phase::Frozen { weight, until } => (2, weight, until),
        Phase::RolledBack { weight, until } => (3, weight, until),
    };
    to.number(kind);
    to.number(u64::from(weight.ppm()));
    to.optional(until);
}

/// Decodes revisions. `None`: the bytes are not a state in this layout.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<RevisionState>> {
    let from = &mut BlobReader::new(bytes);
    let layout = from.number()?;
    if layout != LAYOUT && layout != WITHOUT_STEPS {
        return None;
    }
    let has_steps = layout == LAYOUT;
    let revisions = decode_list(from, MAX_REVISIONS, |from| {
        let (revision, seen) = (from.number()?, from.number()?);
        let versions = decode_list(from, MAX_VERSIONS, |from| decode_version(from, has_steps))?;
        let counts = decode_list(from, MAX_LIMITS, |from| {
            Some(LimitCounts {
                limits: from.number()?,
                versions: decode_list(from, MAX_VERSIONS, |from| {
                    decode_counts(&versions, from, has_steps)
                })?,
            })
        })?;
        Some(RevisionState {
            revision,
            seen,
            versions,
            counts,
        })
    })?;
    from.is_done().then_some(revisions)
}

fn decode_list<'a, T>(
    from: &mut BlobReader<'a>,
    max: usize,
    decode: impl Fn(&mut BlobReader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let length = from.length(max)?;
    (0..length).map(|_| decode(from)).collect()
}

fn decode_version(from: &mut BlobReader<'_>, has_steps: bool) -> Option<VersionState> {
    let name = from.number()?;
    let kind = from.number()?;
    let weight = Share::from_ppm(from.small()?);
    let until = from.optional()?;
    let phase = match kind {
        0 => Phase::Healthy,
        1 => Phase::Observed { until: until? },
        2 => Phase::Frozen { weight, until },
        3 => Phase::RolledBack { weight, until },
        _ => return None,
    };
    let (trips, attempt) = (from.small()?, from.small()?);
    let since = from.optional()?;
    let weight = Share::from_ppm(from.small()?);
    // Before there were steps, only a ramp that was held back had a progress.
    let (mut step, mut held, mut waiting) = (0, true, false);
    if has_steps {
        step = from.length(MAX_STEPS)?;
        held = from.number()? == 1;
        waiting = from.number()? == 1;
    }
    let progress = since.map(|since| CurrentStep {
        step,
        weight,
        since,
        held,
    });
    Some(VersionState {
        name,
        phase,
        trips,
        attempt,
        progress,
        waiting,
        windows: Windows::default(),
    })
}

fn decode_counts(
    versions: &[VersionState],
    from: &mut BlobReader<'_>,
    has_steps: bool,
) -> Option<VersionCounts> {
    Some(VersionCounts {
        name: versions.get(from.length(MAX_VERSIONS)?)?.name,
        attempt: from.small()?,
        windows: Windows {
            slow_since: from.optional()?,
            errors: Window::decode(from)?,
            latencies: Window::decode(from)?,
            step: if has_steps {
                StepCounts {
                    errors: Counts::decode(from)?,
                    latencies: Counts::decode(from)?,
                }
            } else {
                StepCounts::default()
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of the layout before steps: v2 was thawed at 25 %, and 3 of its 40 requests failed.
    fn without_steps() -> Vec<u8> {
        let mut to = BlobWriter::default();
        let (revision, seen, name, since) = (7, 1_000_000, 99, 900_000);
        for number in [WITHOUT_STEPS, 1, revision, seen, 1, name] {
            to.number(number);
        }
        encode_phase(Phase::Healthy, &mut to);
        let (trips, attempt) = (1, 2);
        for number in [trips, attempt] {
            to.number(number);
        }
        to.optional(Some(since));
        to.number(250_000);
        // One set of limits with counts of the first version, in one slot of the errors.
        let (limits, version) = (5, 0);
        for number in [1, limits, 1, version, attempt] {
            to.number(number);
        }
        to.optional(None);
        for number in [1, 0, 30, 40, 3, 0, 0] {
            to.number(number);
        }
        to.into_bytes()
    }

    #[test]
    fn a_state_of_the_layout_before_is_read_with_its_verdicts_and_counts() {
        let revisions = decode(&without_steps()).unwrap();
        let [revision] = revisions.as_slice() else {
            panic!("{revisions:?}");
        };
        let version = &revision.versions[0];
        assert_eq!((version.trips, version.attempt), (1, 2));
        let progress = version.progress.unwrap();
        assert_eq!((progress.weight.ppm(), progress.since), (250_000, 900_000));
        assert!(progress.held, "only a ramp that was held back had one");
        let windows = &revision.counts[0].versions[0].windows;
        assert_ne!(windows.errors, Window::default());
        assert_eq!(windows.step, StepCounts::default());
        // It is written in the present layout.
        assert_eq!(decode(&encode(revisions.clone())), Some(revisions));
    }

    #[test]
    fn a_state_in_an_unknown_layout_or_cut_off_is_not_a_state() {
        let old = without_steps();
        let new = encode(decode(&old).unwrap());
        for bytes in [old, new] {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), None, "{end}");
            }
            for layout in [0, 1, 4, 0x7f] {
                let mut other = bytes.clone();
                other[0] = layout;
                assert_eq!(decode(&other), None, "{layout}");
            }
        }
    }
}
