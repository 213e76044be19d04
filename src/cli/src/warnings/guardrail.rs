//! Guardrails that watch no version, or never see enough requests.

use divvy::bucket::Share;
use divvy::policy::Policy;
use divvy::request::Empty;
use serde_json::Value;

use super::warning::{Warning, each};
use crate::output::percent;

pub(super) fn find(policy: &Policy, raw: &Value, rps: Option<f64>, found: &mut Vec<Warning>) {
    let shares = policy.shares(&Empty);
    let rollouts = each(raw, "", "rollouts");
    for (((path, raw), rollout), shares) in rollouts.iter().zip(&policy.rollouts).zip(shares) {
        let Some(guardrail) = raw.get("guardrail") else {
            continue;
        };
        if let Some((version, field)) = rollout.strategy.behaviour().sole_version()
            && version == rollout.stable
        {
            let message = "is stable, which the guardrail does not watch: there is no version to \
                           fall back to";
            found.push(Warning::new(format!("{path}.strategy.{field}"), message));
            continue;
        }
        let (Some(rps), Some(plan)) = (rps, &rollout.plan) else {
            continue;
        };
        let others = shares.iter();
        let others = others.filter(|(version, _)| *version != rollout.stable);
        let largest = others.map(|(_, share)| *share).max();
        let share = percent(plan.last_share().or(largest).unwrap_or(Share::NONE));
        let window = plan.longest_window().as_secs_f64();
        let needed = plan.min_requests();
        let seen = rps * share / 100.0 * window;
        if seen > 0.0 && seen < f64::from(needed) {
            let field = match guardrail.get("minRequests") {
                Some(_) => ".minRequests",
                None => "",
            };
            let message = format!(
                "the guardrail never judges: it needs {needed} requests, but at {rps} requests per \
                 second a version with {share:.4} % of the users gets {seen:.1} in the longest \
                 window, {window:.0} s"
            );
            found.push(Warning::new(format!("{path}.guardrail{field}"), message));
        }
    }
}
