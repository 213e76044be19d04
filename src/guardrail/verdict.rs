//! Which limit a version breaches, if any, by the counts of the recent past.

use std::fmt;
use std::time::Duration;

use super::evidence::{self, ENOUGH, ENOUGH_COMPARED, Tally};
use super::latency;
use super::transition::Shown;
use super::window::{Lengths, Window};
use super::{ErrorLimit, LatencyLimit, fraction};
use crate::bucket::Share;

/// The limit that is breached, and what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// `errors.max`
    Errors {
        /// The failures among the requests.
        tally: Tally,
        /// The limit.
        max: Share,
    },
    /// `errors.overStable`
    OverStable {
        /// The failures among the requests.
        tally: Tally,
        /// The same of stable.
        stable: Tally,
        /// What lies between them at most.
        margin: Share,
    },
    /// `latency.max`
    Slow {
        /// The requests slower than the limit.
        tally: Tally,
        /// The limit.
        max: Duration,
        /// How many requests it holds for.
        quantile: f64,
    },
    /// `latency.timesStable`
    SlowerThanStable {
        /// The requests slower than the multiple of stable's quantile.
        tally: Tally,
        /// Stable's quantile.
        stable: Duration,
        /// Which multiple of it.
        times: f64,
        /// How many requests it holds for.
        quantile: f64,
    },
    /// `consecutiveErrors`
    Consecutive {
        /// The limit, which is how many failed in a row.
        failures: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { tally, max } => {
                let (max, Tally { bad, all }) = (Shown(*max), tally);
                write!(f, "{bad} of {all} requests failed, errors.max is {max}")
            }
            Self::OverStable {
                tally: Tally { bad, all },
                stable,
                margin,
            } => {
                let (stable_bad, stable_all, margin) = (stable.bad, stable.all, Shown(*margin));
                write!(
                    f,
                    "{bad} of {all} requests failed, {stable_bad} of {stable_all} to stable, \
                     errors.overStable is {margin}"
                )
            }
            Self::Slow {
                tally: Tally { bad, all },
                max,
                quantile,
            } => {
                let (max, quantile) = (Shown(*max), Shown(*quantile));
                write!(
                    f,
                    "{bad} of {all} requests took longer than latency.max, {max}, for quantile \
                     {quantile}"
                )
            }
            Self::SlowerThanStable {
                tally: Tally { bad, all },
                stable,
                times,
                quantile,
            } => {
                let (stable, times) = (Shown(*stable), Shown(*times));
                let quantile = Shown(*quantile);
                write!(
                    f,
                    "{bad} of {all} requests took longer than latency.timesStable, {times} times \
                     stable's {stable}, for quantile {quantile}"
                )
            }
            Self::Consecutive { failures } => {
                write!(f, "{failures} requests in a row failed, consecutiveErrors")
            }
        }
    }
}

/// The limit on errors that is breached.
pub(super) fn errors(
    limit: &ErrorLimit,
    min_requests: u32,
    version: &Window,
    stable: Option<&Window>,
    now: u64,
) -> Option<Cause> {
    let lengths = Lengths::of(limit.window);
    let (span, tally) = version.enough(lengths, now, min_requests)?;
    if tally.bad == 0 {
        return None;
    }
    if let Some(max) = limit.max
        && tally.above(fraction(max)) > ENOUGH
    {
        return Some(Cause::Errors { tally, max });
    }
    let margin = limit.over_stable?;
    // The same span, so that what hits both at a time is seen on both sides.
    let stable = stable?.tally(lengths, now, span);
    let enough = stable.all >= min_requests;
    (enough && tally.above_other(stable, fraction(margin)) > ENOUGH_COMPARED).then_some(
        Cause::OverStable {
            tally,
            stable,
            margin,
        },
    )
}

/// The limit on latency that is breached now, if only for a moment.
pub(super) fn slowness(
    limit: &LatencyLimit,
    min_requests: u32,
    version: &Window,
    stable: Option<&Window>,
    now: u64,
) -> Option<Cause> {
    let lengths = Lengths::of(limit.window);
    let (span, tally) = version.enough(lengths, now, min_requests)?;
    let quantile = limit.quantile;
    if let Some(max) = limit.max
        && tally.above(1.0 - quantile) > ENOUGH
    {
        return Some(Cause::Slow {
            tally,
            max,
            quantile,
        });
    }
    let (times, stable) = (limit.times_stable?, stable?);
    let version = version.by_bucket(lengths, now, span);
    let stable = stable.by_bucket(lengths, now, span);
    if version.total() < min_requests || stable.total() < min_requests {
        return None;
    }
    let compared = evidence::slower(&version, &stable, quantile, latency::shift(times))?;
    (compared.evidence > ENOUGH_COMPARED).then_some(Cause::SlowerThanStable {
        tally: compared.tally,
        stable: latency::upper_edge(compared.quantile),
        times,
        quantile,
    })
}
