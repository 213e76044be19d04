//! Values that stand in several places: percentages, weights, names that must be unique.

use rustc_hash::FxHashSet;

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use crate::limits::WEIGHT;
use divvy_core::bucket::Share;
use divvy_json::error::Path;

/// The value; an error without one.
fn or_error<T>(at: Path<'_>, value: Option<T>, message: impl FnOnce() -> String) -> Option<T> {
    if value.is_none() {
        at.error(message());
    }
    value
}

/// A percentage as a share.
pub(crate) fn percent(at: Path<'_>, number: f64) -> Option<Share> {
    or_error(at, Share::from_percent(number), || {
        let number = shown(number);
        format!(
            "{number} is not a percentage: write a number from 0 to 100 with at most 4 decimals"
        )
    })
}

/// The weight of an arm.
pub(crate) fn weight(at: Path<'_>, number: f64) -> Option<u32> {
    or_error(at, whole(number, &WEIGHT), || {
        let (number, most) = (shown(number), WEIGHT.end());
        format!("{number} is not a weight: write a whole number from 0 to {most}")
    })
}

/// A whole number within these bounds.
pub(crate) fn count(at: Path<'_>, number: f64, bounds: RangeInclusive<u32>) -> Option<u32> {
    or_error(at, whole(number, &bounds), || {
        let (number, low, high) = (shown(number), bounds.start(), bounds.end());
        format!("{number} is not a whole number from {low} to {high}")
    })
}

fn whole(number: f64, bounds: &RangeInclusive<u32>) -> Option<u32> {
    let within = f64::from(*bounds.start())..=f64::from(*bounds.end());
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within bounds"
    )]
    (number.fract() == 0.0 && within.contains(&number)).then_some(number as u32)
}

/// A duration such as `30s` within these bounds.
pub(crate) fn duration(
    at: Path<'_>,
    text: &str,
    bounds: RangeInclusive<Duration>,
) -> Option<Duration> {
    duration_of(at, text, &bounds, "")
}

/// The same where a word stands for no duration.
pub(crate) fn duration_or(
    at: Path<'_>,
    text: &str,
    bounds: RangeInclusive<Duration>,
    word: &str,
) -> Option<Duration> {
    duration_of(at, text, &bounds, &format!(", or {word}"))
}

fn duration_of(
    at: Path<'_>,
    text: &str,
    bounds: &RangeInclusive<Duration>,
    otherwise: &str,
) -> Option<Duration> {
    let found = humantime::parse_duration(text).ok();
    let found = found.filter(|duration| bounds.contains(duration));
    or_error(at, found, || {
        let [low, high] = [bounds.start(), bounds.end()].map(|end| in_days(*end));
        format!("{text:?} is not a duration from {low} to {high}, such as 90s or 10m{otherwise}")
    })
}

/// A duration in days where it is whole days: humantime writes `400d` in months.
fn in_days(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match (
        duration.as_secs().checked_div(DAY),
        duration.as_secs().checked_rem(DAY),
    ) {
        (Some(days @ 1..), Some(0)) => format!("{days}d"),
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// An instant such as `2026-12-01T09:00:00Z`, in milliseconds since 1970.
pub(crate) fn instant(at: Path<'_>, text: &str) -> Option<u64> {
    let found = humantime::parse_rfc3339(text).ok();
    let since = found.and_then(|instant| instant.duration_since(SystemTime::UNIX_EPOCH).ok());
    let found = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    or_error(at, found, || {
        format!("{text:?} is not an instant: write it in UTC as 2026-12-01T09:00:00Z")
    })
}

/// Adds an error for a name that was seen before.
pub(crate) fn unique(at: Path<'_>, name: &str, seen: &mut FxHashSet<Box<str>>) {
    if !seen.insert(name.into()) {
        at.error(format_args!("{name:?} is a duplicate"));
    }
}

/// Adds an error for a flag that names a source and is false, which would mean nothing.
pub(crate) fn only_true(at: Path<'_>, flag: bool) {
    if !flag {
        at.error("is false: write true or leave the field out");
    }
}

/// Adds errors for fields that need a `jwtClaim` beside them.
pub(crate) fn no_claim(at: Path<'_>, payload: Option<&str>, kind: Option<&str>) {
    for (field, given) in [("jwtPayload", payload), ("type", kind)] {
        if given.is_some() {
            at.field(field)
                .error("has no effect without jwtClaim: leave it out");
        }
    }
}

/// A number as a configuration writes it: `5` instead of `5.0`, and `0.1` with the fewest decimals
/// that give the same number, at most nine. The formatting of the standard library needs 18 KB.
pub(crate) fn shown(number: f64) -> String {
    const EXACT: f64 = (1_u64 << 53) as f64;
    const MOST: usize = 9;
    if number.abs() >= EXACT {
        return "a number beyond 2^53".to_owned();
    }
    let (mut decimals, mut scale) = (0_usize, 1_u64);
    let scaled = |scale: u64| (number.abs() * scale as f64).round();
    while decimals < MOST && scaled(scale) < EXACT && scaled(scale) / scale as f64 != number.abs() {
        decimals = decimals.saturating_add(1);
        scale = scale.saturating_mul(10);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "of a size that fits"
    )]
    let digits = scaled(scale) as u64;
    let whole = digits.checked_div(scale).unwrap_or_default();
    let rest = digits.checked_rem(scale).unwrap_or_default();
    let sign = if number < 0.0 { "-" } else { "" };
    match decimals {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{rest:0decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_they_are_written() {
        for (number, text) in [
            (0.0, "0"),
            (5.0, "5"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (33.33, "33.33"),
            (0.00001, "0.00001"),
            (5.000_000_5, "5.0000005"),
            (99.999_999_999, "99.999999999"),
            (1_000_001.0, "1000001"),
            (123_456_789.125, "123456789.125"),
            (1e-12, "0.000000000"),
            (-1e300, "a number beyond 2^53"),
        ] {
            assert_eq!(shown(number), text);
        }
    }
}
