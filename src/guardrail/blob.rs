//! A state as bytes, for shared data.
//!
//! Decoding is total: other bytes, and those of another layout, are no state. Nobody else
//! writes these keys, but another version of divvy may have, in the same process.

use super::share_of_ppm;
use super::state::State;
use super::version::{Phase, Version};
use super::window::Window;
use super::wire::{Reader, Writer};
use crate::bucket::Share;

/// Goes up when the bytes mean something else. A state of another layout is forgotten, and
/// its verdicts with it.
const LAYOUT: u64 = 1;
/// The most versions that a state has: those of a rollout, and as many that left it while
/// a verdict held them.
const MAX_VERSIONS: usize = 64;
/// The most bytes that a state has.
pub const MAX_BYTES: usize = 16 * 1024;

/// A state as bytes.
pub(super) fn encode(state: &mut State) -> Vec<u8> {
    let mut bytes = all(state);
    // A rollout of many versions whose latencies are all over the place. To forget the
    // oldest of them weakens the evidence, and never makes any up.
    while bytes.len() > MAX_BYTES {
        let mut forgot = false;
        for version in &mut state.versions {
            forgot |= version.latencies.forget_oldest_histogram();
        }
        if !forgot {
            break;
        }
        bytes = all(state);
    }
    bytes
}

fn all(state: &State) -> Vec<u8> {
    let mut to = Writer::default();
    to.number(LAYOUT);
    to.number(state.revision);
    to.number(state.counted);
    to.number(state.seen);
    to.length(state.versions.len());
    for version in &state.versions {
        to.number(version.name);
        phase(version.phase, &mut to);
        to.number(u64::from(version.trips));
        to.number(u64::from(version.attempt));
        to.maybe(version.pace.map(|(_, since)| since));
        to.number(
            version
                .pace
                .map_or(0, |(weight, _)| u64::from(weight.ppm())),
        );
        to.maybe(version.slow_since);
        version.errors.encode(&mut to);
        version.latencies.encode(&mut to);
    }
    to.into_bytes()
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

/// The state in these bytes, if they are one.
pub(super) fn decode(bytes: &[u8]) -> Option<State> {
    let from = &mut Reader::new(bytes);
    if from.number()? != LAYOUT {
        return None;
    }
    let (revision, counted, seen) = (from.number()?, from.number()?, from.number()?);
    let mut versions = Vec::new();
    for _ in 0..from.length(MAX_VERSIONS)? {
        versions.push(version(from)?);
    }
    from.is_done().then_some(State {
        revision,
        counted,
        seen,
        versions,
    })
}

fn version(from: &mut Reader<'_>) -> Option<Version> {
    let name = from.number()?;
    let kind = from.number()?;
    let weight = share_of_ppm(from.small()?);
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
    let weight = share_of_ppm(from.small()?);
    Some(Version {
        name,
        phase,
        trips,
        attempt,
        pace: since.map(|since| (weight, since)),
        slow_since: from.maybe()?,
        errors: Window::decode(from)?,
        latencies: Window::decode(from)?,
    })
}
