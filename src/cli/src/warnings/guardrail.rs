//! Guardrails that watch no version, or never see enough requests.

use divvy::bucket::Share;
use divvy::environment::Empty;
use divvy::policy::{Policy, Rollout};
use serde_json::Value;

use super::{Warning, each};

/// Maximum length of a window as a multiple of its configured length.
const STRETCH: f64 = 10.0;
/// Default lengths of windows in seconds.
const ERRORS_WINDOW: f64 = 30.0;
const LATENCY_WINDOW: f64 = 60.0;

pub(super) fn find(policy: &Policy, raw: &Value, rps: Option<f64>, found: &mut Vec<Warning>) {
    let shares = policy.shares(&Empty);
    let rollouts = each(raw, "", "rollouts");
    for (((path, rollout), compiled), shares) in rollouts.iter().zip(&policy.rollouts).zip(shares) {
        let Some(guardrail) = rollout.get("guardrail") else {
            continue;
        };
        let stable = compiled.stable;
        if compiled.strategy.sole_version() == Some(stable) {
            let message = "is stable, which the guardrail does not watch: there is no version to \
                           fall back to";
            found.push(Warning::new(
                format!("{path}.strategy.blueGreen.active"),
                message,
            ));
            continue;
        }
        let Some(rps) = rps else { continue };
        let most = most(compiled, rollout).or_else(|| {
            let others = shares.iter().filter(|(version, _)| *version != stable);
            others.map(|(_, share)| *share).max()
        });
        let share = f64::from(most.unwrap_or(Share::NONE).ppm()) / 1e6;
        let seconds = |limit: &str, default: f64| {
            let limit = guardrail.get(limit)?;
            let text = limit.get("window").and_then(Value::as_str);
            let given = text.and_then(|text| humantime::parse_duration(text).ok());
            Some(given.map_or(default, |given| given.as_secs_f64()))
        };
        let windows = [
            seconds("errors", ERRORS_WINDOW),
            seconds("latency", LATENCY_WINDOW),
        ];
        let longest = windows.into_iter().flatten().fold(0.0, f64::max) * STRETCH;
        let needed = guardrail
            .get("minRequests")
            .and_then(Value::as_f64)
            .unwrap_or(20.0);
        let seen = rps * share * longest;
        if longest > 0.0 && share > 0.0 && seen < needed {
            let place = match guardrail.get("minRequests") {
                Some(_) => format!("{path}.guardrail.minRequests"),
                None => format!("{path}.guardrail"),
            };
            let message = format!(
                "the guardrail never judges: it needs {needed} requests, but at {rps} requests per \
                 second a version with {:.4} % of the users gets {seen:.1} in the longest window, \
                 {longest:.0} s",
                share * 100.0
            );
            found.push(Warning::new(place, message));
        }
    }
}

/// The largest share of a canary that grows over time.
fn most(compiled: &Rollout, raw: &Value) -> Option<Share> {
    compiled.strategy.ramped_version()?;
    let canary = raw.pointer("/strategy/canary")?;
    let ramp = ["/ramp/to", "/ramp/then"].map(|place| canary.pointer(place));
    let steps = crate::list(canary, "steps").iter();
    let weights = steps
        .filter_map(|step| step.get("weight"))
        .chain(ramp.into_iter().flatten());
    weights
        .filter_map(|weight| Share::from_percent(weight.as_f64()?))
        .max()
}
