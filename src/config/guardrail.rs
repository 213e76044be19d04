//! Limits on what a version may do to its users.

use std::time::Duration;

use crate::limits;
use crate::spec;
use crate::values::{self, count, duration, duration_or, percent};
use divvy_core::guardrail::plan::PATIENCE;
use divvy_core::guardrail::{ErrorLimit, Guardrail, LatencyLimit, OnBreach};
use divvy_json::error::Path;

const MIN_REQUESTS: u32 = 20;
const ERROR_WINDOW: Duration = Duration::from_secs(30);
const LATENCY_WINDOW: Duration = Duration::from_secs(60);

/// Compiles the limits; `ramps` says whether the rollout is one that can be frozen.
pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::GuardrailSpec<'_>,
    ramps: bool,
) -> Option<Guardrail> {
    let before = at.error_count();
    let limits = [
        raw.errors.is_some(),
        raw.latency.is_some(),
        raw.consecutive_errors.is_some(),
    ];
    if !limits.contains(&true) {
        at.error("has no limit: write errors, latency or consecutiveErrors");
    }
    let min_requests = raw.min_requests.map_or(Some(MIN_REQUESTS), |number| {
        count(at.field("minRequests"), number, limits::REQUESTS)
    });
    let error_limit = raw
        .errors
        .as_ref()
        .map(|raw| error_limit(at.field("errors"), raw));
    let latency = raw
        .latency
        .as_ref()
        .map(|raw| latency_limit(at.field("latency"), raw));
    let consecutive = raw.consecutive_errors.map(|number| {
        let at = at.field("consecutiveErrors");
        count(at, number, limits::REQUESTS)
    });
    let patience = patience(at.field("patience"), raw.patience);
    let on_breach = on_breach(at.field("onBreach"), raw.on_breach, ramps);
    let recover_after = raw.recover_after.map(|text| {
        let at = at.field("recoverAfter");
        duration(at, text, limits::RECOVERY)
    });
    if at.error_count() > before {
        return None;
    }
    Some(Guardrail {
        min_requests: min_requests?,
        errors: error_limit.flatten(),
        latency: latency.flatten(),
        consecutive_errors: consecutive.flatten(),
        patience,
        on_breach,
        recover_after: recover_after.flatten(),
        evidence: raw.evidence.unwrap_or(true),
    })
}

fn error_limit(at: Path<'_>, raw: &spec::ErrorLimitSpec<'_>) -> Option<ErrorLimit> {
    if raw.max.is_none() && raw.over_stable.is_none() {
        at.error("has no limit: write max, overStable or both");
    }
    let share =
        |field, number: Option<f64>| number.and_then(|number| percent(at.field(field), number));
    let (max, over_stable) = (share("max", raw.max), share("overStable", raw.over_stable));
    Some(ErrorLimit {
        max,
        over_stable,
        window: window(at, raw.window, ERROR_WINDOW)?,
    })
}

fn latency_limit(at: Path<'_>, raw: &spec::LatencyLimitSpec<'_>) -> Option<LatencyLimit> {
    if raw.max.is_none() && raw.times_stable.is_none() {
        at.error("has no limit: write max, timesStable or both");
    }
    if !limits::QUANTILE.contains(&raw.quantile) {
        let number = values::shown(raw.quantile);
        at.field("quantile").error(format_args!(
            "{number} is not a quantile: write a number from 0.5 to 0.999, such as 0.95"
        ));
    }
    let max = raw
        .max
        .as_ref()
        .and_then(|text| duration(at.field("max"), text, limits::LATENCY));
    if let Some(times) = raw.times_stable
        && !limits::TIMES_STABLE.contains(&times)
    {
        let number = values::shown(times);
        at.field("timesStable").error(format_args!(
            "{number} is not a factor: write a number from 1.01 to 100, such as 1.2"
        ));
    }
    let lasting = raw.lasting.as_ref().map_or(Some(Duration::ZERO), |text| {
        duration(at.field("for"), text, limits::WINDOW)
    });
    Some(LatencyLimit {
        quantile: raw.quantile,
        max,
        times_stable: raw.times_stable,
        window: window(at, raw.window, LATENCY_WINDOW)?,
        lasting: lasting?,
    })
}

fn window(at: Path<'_>, raw: Option<&str>, default: Duration) -> Option<Duration> {
    raw.map_or(Some(default), |text| {
        duration(at.field("window"), text, limits::WINDOW)
    })
}

/// `None`: off.
fn patience(at: Path<'_>, raw: Option<&str>) -> Option<Duration> {
    match raw {
        None => Some(PATIENCE),
        Some("off") => None,
        Some(text) => duration_or(at, text, limits::PATIENCE, "off"),
    }
}

fn on_breach(at: Path<'_>, raw: Option<&str>, ramps: bool) -> OnBreach {
    match raw {
        None | Some("rollback") => OnBreach::Rollback,
        Some("observe") => OnBreach::Observe,
        Some("freeze") if ramps => OnBreach::Freeze,
        Some("stepBack") if ramps => OnBreach::StepBack,
        Some(kind @ ("freeze" | "stepBack")) => {
            at.error(format_args!(
                "{kind} needs a canary with steps or ramp: write rollback or observe"
            ));
            OnBreach::Rollback
        }
        Some(other) => {
            at.unknown_name(other, limits::ON_BREACH.into_iter());
            OnBreach::Rollback
        }
    }
}
