//! Limits on what a version may do to its users.

use std::time::Duration;

use super::error::{At, Errors};
use super::read;
use super::shape;
use super::values::{count, duration, percent};
use crate::guardrail::{ErrorLimit, Guardrail, LatencyLimit, OnBreach};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const MIN_REQUESTS: u32 = 20;
const ERROR_WINDOW: Duration = Duration::from_secs(30);
const LATENCY_WINDOW: Duration = Duration::from_secs(60);

/// Compiles the limits; `ramps` says whether the rollout is one that can be frozen.
pub(super) fn compile(
    at: At<'_>,
    raw: &shape::Guardrail<'_>,
    ramps: bool,
    errors: &mut Errors,
) -> Option<Guardrail> {
    let before = errors.count();
    let limits = [
        raw.errors.is_some(),
        raw.latency.is_some(),
        raw.consecutive_errors.is_some(),
    ];
    if !limits.contains(&true) {
        errors.add(at, "has no limit: errors, latency or consecutiveErrors");
    }
    let min_requests = raw.min_requests.map_or(Some(MIN_REQUESTS), |number| {
        count(at.field("minRequests"), number, 1..=100_000, errors)
    });
    let error_limit = raw
        .errors
        .as_ref()
        .map(|raw| error_limit(at.field("errors"), raw, errors));
    let latency = raw
        .latency
        .as_ref()
        .map(|raw| latency_limit(at.field("latency"), raw, errors));
    let consecutive = raw.consecutive_errors.map(|number| {
        let at = at.field("consecutiveErrors");
        count(at, number, 1..=100_000, errors)
    });
    let on_breach = on_breach(at.field("onBreach"), raw.on_breach, ramps, errors);
    let recover_after = raw.recover_after.map(|text| {
        let at = at.field("recoverAfter");
        duration(at, text, SECOND..=DAY, errors)
    });
    if errors.count() > before {
        return None;
    }
    Some(Guardrail {
        min_requests: min_requests?,
        errors: error_limit.flatten(),
        latency: latency.flatten(),
        consecutive_errors: consecutive.flatten(),
        on_breach,
        recover_after: recover_after.flatten(),
    })
}

fn error_limit(at: At<'_>, raw: &shape::ErrorLimit<'_>, errors: &mut Errors) -> Option<ErrorLimit> {
    if raw.max.is_none() && raw.over_stable.is_none() {
        errors.add(at, "has no limit: max, overStable or both");
    }
    let mut share = |field, number: Option<f64>| {
        number.and_then(|number| percent(at.field(field), number, errors))
    };
    let (max, over_stable) = (share("max", raw.max), share("overStable", raw.over_stable));
    Some(ErrorLimit {
        max,
        over_stable,
        window: window(at, raw.window, ERROR_WINDOW, errors)?,
    })
}

fn latency_limit(
    at: At<'_>,
    raw: &shape::LatencyLimit<'_>,
    errors: &mut Errors,
) -> Option<LatencyLimit> {
    if raw.max.is_none() && raw.times_stable.is_none() {
        errors.add(at, "has no limit: max, timesStable or both");
    }
    if !(0.5..=0.999).contains(&raw.quantile) {
        let number = read::shown(raw.quantile);
        let message = format_args!("{number} is no quantile from 0.5 to 0.999, such as 0.95");
        errors.add(at.field("quantile"), message);
    }
    let max = raw.max.as_ref().and_then(|text| {
        let bounds = MILLISECOND..=Duration::from_secs(600);
        duration(at.field("max"), text, bounds, errors)
    });
    if let Some(times) = raw.times_stable
        && !(1.01..=100.0).contains(&times)
    {
        let number = read::shown(times);
        let message = format_args!("{number} is no factor from 1.01 to 100, such as 1.2");
        errors.add(at.field("timesStable"), message);
    }
    let lasting = raw.lasting.as_ref().map_or(Some(Duration::ZERO), |text| {
        duration(at.field("for"), text, SECOND..=HOUR, errors)
    });
    Some(LatencyLimit {
        quantile: raw.quantile,
        max,
        times_stable: raw.times_stable,
        window: window(at, raw.window, LATENCY_WINDOW, errors)?,
        lasting: lasting?,
    })
}

fn window(
    at: At<'_>,
    raw: Option<&str>,
    default: Duration,
    errors: &mut Errors,
) -> Option<Duration> {
    raw.map_or(Some(default), |text| {
        duration(at.field("window"), text, SECOND..=HOUR, errors)
    })
}

fn on_breach(at: At<'_>, raw: Option<&str>, ramps: bool, errors: &mut Errors) -> OnBreach {
    match raw {
        None | Some("rollback") => OnBreach::Rollback,
        Some("observe") => OnBreach::Observe,
        Some("freeze") if ramps => OnBreach::Freeze,
        Some("freeze") => {
            errors.add(
                at,
                "freeze holds a ramp, and this rollout has none: rollback or observe",
            );
            OnBreach::Rollback
        }
        Some(other) => {
            let message = format_args!("{other:?} is not one of rollback, freeze, observe");
            errors.add(at, message);
            OnBreach::Rollback
        }
    }
}
