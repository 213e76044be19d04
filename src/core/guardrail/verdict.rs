//! Check of a version's windows against the limits. Must not depend on phases or transitions.

use std::fmt;
use std::time::Duration;

use super::evidence::{self, ENOUGH, ENOUGH_COMPARED, Tally};
use super::latency::{self as buckets, Dense};
use super::plan::{ErrorLimit, LatencyLimit};
use super::units::{AsConfigured, fraction};
use super::window::{SlotLengths, Window};
use crate::bucket::Share;

/// A breached limit and the counts that breach it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// `errors.max`
    Errors {
        /// Failed requests and all requests of the version.
        tally: Tally,
        /// The limit.
        max: Share,
    },
    /// `errors.overStable`
    OverStable {
        /// Failed requests and all requests of the version.
        tally: Tally,
        /// Failed requests and all requests of stable.
        stable: Tally,
        /// Maximum difference of the shares.
        margin: Share,
    },
    /// `latency.max`
    Slow {
        /// Requests slower than the limit, and all requests.
        tally: Tally,
        /// The limit.
        max: Duration,
        /// The judged quantile.
        quantile: f64,
    },
    /// `latency.timesStable`
    SlowerThanStable {
        /// Requests slower than the multiple of stable's quantile, and all requests.
        tally: Tally,
        /// Stable's quantile.
        stable: Duration,
        /// Maximum ratio to it.
        times: f64,
        /// The judged quantile.
        quantile: f64,
    },
    /// `consecutiveErrors`
    Consecutive {
        /// The limit.
        failures: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { tally, max } => {
                let (max, Tally { bad, all }) = (AsConfigured(*max), tally);
                write!(f, "{bad} of {all} requests failed, errors.max is {max}")
            }
            Self::OverStable {
                tally: Tally { bad, all },
                stable,
                margin,
            } => {
                let (stable_bad, stable_all, margin) =
                    (stable.bad, stable.all, AsConfigured(*margin));
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
                let (max, quantile) = (AsConfigured(*max), AsConfigured(*quantile));
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
                let (stable, times) = (AsConfigured(*stable), AsConfigured(*times));
                let quantile = AsConfigured(*quantile);
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

/// Evidence that a breach needs, against a fixed limit and against stable.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    fixed: f64,
    compared: f64,
}

impl Bar {
    /// For a verdict.
    const VERDICT: Self = Self {
        fixed: ENOUGH,
        compared: ENOUGH_COMPARED,
    };
    /// Whatever was observed, without confidence.
    pub(super) const OBSERVED: Self = Self {
        fixed: 0.0,
        compared: 0.0,
    };
}

/// The breached limit on errors.
pub(super) fn errors(
    limit: &ErrorLimit,
    min_requests: u32,
    version: &Window,
    stable: Option<&Window>,
    now: u64,
) -> Option<Cause> {
    let lengths = SlotLengths::of(limit.window);
    let (lookback, tally) = version.shortest_with(lengths, now, min_requests)?;
    // The same period, so that a common cause affects both sides.
    let stable = || stable.map(|stable| stable.tally(lengths, now, lookback));
    errors_of(limit, min_requests, tally, &stable, Bar::VERDICT)
}

/// The same, by counts.
pub(super) fn errors_of(
    limit: &ErrorLimit,
    min_requests: u32,
    tally: Tally,
    stable: &dyn Fn() -> Option<Tally>,
    bar: Bar,
) -> Option<Cause> {
    if tally.bad == 0 {
        return None;
    }
    if let Some(max) = limit.max
        && tally.above(fraction(max)) > bar.fixed
    {
        return Some(Cause::Errors { tally, max });
    }
    let margin = limit.over_stable?;
    let stable = stable()?;
    let enough = stable.all >= min_requests;
    (enough && tally.above_other(stable, fraction(margin)) > bar.compared).then_some(
        Cause::OverStable {
            tally,
            stable,
            margin,
        },
    )
}

/// The limit on latency that is breached at this moment.
pub(super) fn latency(
    limit: &LatencyLimit,
    min_requests: u32,
    version: &Window,
    stable: Option<&Window>,
    now: u64,
) -> Option<Cause> {
    let lengths = SlotLengths::of(limit.window);
    let (lookback, tally) = version.shortest_with(lengths, now, min_requests)?;
    let histograms = || {
        let windows = [version, stable?];
        Some(windows.map(|window| window.histogram(lengths, now, lookback)))
    };
    latency_of(limit, min_requests, tally, &histograms, Bar::VERDICT)
}

/// The same, by counts. `histograms`: those of the version and of stable.
pub(super) fn latency_of(
    limit: &LatencyLimit,
    min_requests: u32,
    tally: Tally,
    histograms: &dyn Fn() -> Option<[Dense; 2]>,
    bar: Bar,
) -> Option<Cause> {
    let quantile = limit.quantile;
    if let Some(max) = limit.max
        && tally.above(1.0 - quantile) > bar.fixed
    {
        return Some(Cause::Slow {
            tally,
            max,
            quantile,
        });
    }
    let times = limit.times_stable?;
    let [version, stable] = histograms()?;
    if version.total() < min_requests || stable.total() < min_requests {
        return None;
    }
    let compared = evidence::slower(&version, &stable, quantile, buckets::shift(times))?;
    (compared.evidence > bar.compared).then_some(Cause::SlowerThanStable {
        tally: compared.tally,
        stable: buckets::upper_edge(compared.quantile),
        times,
        quantile,
    })
}
