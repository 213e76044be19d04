//! A state as bytes, for shared data.
//!
//! Decoding is total: other bytes, and those of another layout, are no state. Nobody else
//! writes these keys, but another version of divvy may have, in the same process.

use super::kept::{Counted, Kept, MAX_LIMITS, MAX_REVISIONS, Of};
use super::version::{Counts, Phase, Version};
use super::window::Window;
use super::wire::{Reader, Writer};
use crate::bucket::Share;

/// Goes up when the bytes mean something else. A state of another layout is forgotten, and
/// its verdicts with it.
const LAYOUT: u64 = 2;
/// The most versions that a revision has: those of a rollout, and as many that left it
/// while a verdict held them.
const MAX_VERSIONS: usize = 64;
/// The most bytes that a state has.
pub const MAX_BYTES: usize = 16 * 1024;

/// Revisions as bytes, the one that is written first.
pub(super) fn encode(mut kept: Vec<Kept>) -> Vec<u8> {
    let mut bytes = all(&kept);
    while bytes.len() > MAX_BYTES && forget_something(&mut kept) {
        bytes = all(&kept);
    }
    bytes
}

/// Forgets what can be done without best. A rollout of many versions whose latencies are
/// all over the place comes to that, most of all where several configurations count at the
/// same time. To forget counts weakens the evidence, and never makes any up.
fn forget_something(kept: &mut Vec<Kept>) -> bool {
    let mut counts = kept.iter_mut().flat_map(|kept| &mut kept.counts);
    let written = counts.next();
    let mut others: Vec<_> = counts.collect();
    if let Some(forgot) = others
        .iter_mut()
        .rev()
        .map(|counts| counts.forget_oldest_histograms())
        .find(|forgot| *forgot)
    {
        return forgot;
    }
    if written.is_some_and(Counted::forget_oldest_histograms) {
        return true;
    }
    let some = |counts: &&mut &mut Counted| !counts.versions.is_empty();
    if let Some(counts) = others.iter_mut().rev().find(some) {
        counts.versions.clear();
        return true;
    }
    kept.len() > 1 && kept.pop().is_some()
}

fn all(kept: &[Kept]) -> Vec<u8> {
    let mut to = Writer::default();
    to.number(LAYOUT);
    to.length(kept.len());
    for kept in kept {
        to.number(kept.revision);
        to.number(kept.seen);
        to.length(kept.versions.len());
        for version in &kept.versions {
            stands(version, &mut to);
        }
        to.length(kept.counts.len());
        for counted in &kept.counts {
            to.number(counted.by);
            let of_known = |of| Some((place(&kept.versions, of)?, of));
            let known: Vec<_> = counted.versions.iter().filter_map(of_known).collect();
            to.length(known.len());
            for (place, of) in known {
                to.length(place);
                to.number(u64::from(of.attempt));
                to.maybe(of.counts.slow_since);
                of.counts.errors.encode(&mut to);
                of.counts.latencies.encode(&mut to);
            }
        }
    }
    to.into_bytes()
}

/// A place takes a byte, a name ten.
fn place(versions: &[Version], of: &Of) -> Option<usize> {
    versions.iter().position(|version| version.name == of.name)
}

fn stands(version: &Version, to: &mut Writer) {
    to.number(version.name);
    phase(version.phase, to);
    to.number(u64::from(version.trips));
    to.number(u64::from(version.attempt));
    to.maybe(version.pace.map(|(_, since)| since));
    to.number(
        version
            .pace
            .map_or(0, |(weight, _)| u64::from(weight.ppm())),
    );
}

fn phase(phase: Phase, to: &mut Writer) {
    let (kind, weight, until) = match phase {
        Phase::Healthy => (0, Share::NONE, None),
        Phase::Observed { until } => (1, Share::NONE, Some(until)),
        Phase::Frozen { weight, until } => (2, weight, until),
        Phase::RolledBack { weight, until } => (3, weight, until),
    };
    to.number(kind);
    to.number(u64::from(weight.ppm()));
    to.maybe(until);
}

/// The revisions in these bytes, if they are such.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Kept>> {
    let from = &mut Reader::new(bytes);
    if from.number()? != LAYOUT {
        return None;
    }
    let kept = list(from, MAX_REVISIONS, |from| {
        let (revision, seen) = (from.number()?, from.number()?);
        let versions = list(from, MAX_VERSIONS, version)?;
        let counts = list(from, MAX_LIMITS, |from| {
            Some(Counted {
                by: from.number()?,
                versions: list(from, MAX_VERSIONS, |from| of(&versions, from))?,
            })
        })?;
        Some(Kept {
            revision,
            seen,
            versions,
            counts,
        })
    })?;
    from.is_done().then_some(kept)
}

fn list<'a, T>(
    from: &mut Reader<'a>,
    most: usize,
    one: impl Fn(&mut Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let length = from.length(most)?;
    (0..length).map(|_| one(from)).collect()
}

fn version(from: &mut Reader<'_>) -> Option<Version> {
    let name = from.number()?;
    let kind = from.number()?;
    let weight = Share::from_ppm(from.small()?);
    let until = from.maybe()?;
    let phase = match kind {
        0 => Phase::Healthy,
        1 => Phase::Observed { until: until? },
        2 => Phase::Frozen { weight, until },
        3 => Phase::RolledBack { weight, until },
        _ => return None,
    };
    let (trips, attempt) = (from.small()?, from.small()?);
    let since = from.maybe()?;
    let weight = Share::from_ppm(from.small()?);
    Some(Version {
        name,
        phase,
        trips,
        attempt,
        pace: since.map(|since| (weight, since)),
        counts: Counts::default(),
    })
}

fn of(versions: &[Version], from: &mut Reader<'_>) -> Option<Of> {
    Some(Of {
        name: versions.get(from.length(MAX_VERSIONS)?)?.name,
        attempt: from.small()?,
        counts: Counts {
            slow_since: from.maybe()?,
            errors: Window::decode(from)?,
            latencies: Window::decode(from)?,
        },
    })
}
