//! Guardrails that watch no version, or never see enough requests.

use divvy::bucket::Share;
use divvy::decide;
use divvy::decision::Reason;
use divvy::guardrail::{Plan, Until};
use divvy::policy::Policy;
use divvy::request::Empty;
use serde_json::Value;

use super::cover::always;
use super::kind::Kind;
use super::warning::{Warning, each};
use crate::output::percent;
use crate::raw::list;

pub(super) fn find(policy: &Policy, raw: &Value, rps: Option<f64>, found: &mut Vec<Warning>) {
    let shares = policy.shares(&Empty);
    let rollouts = each(raw, "", "rollouts");
    for (index, ((path, raw_rollout), shares)) in rollouts.iter().zip(shares).enumerate() {
        found.extend(without_effect(path, raw_rollout));
        let Some(guardrail) = raw_rollout.get("guardrail") else {
            continue;
        };
        if let Some((field, message)) = never_judges(policy, raw, index) {
            found.push(Warning::new(
                Kind::NeverJudges,
                format!("{path}.{field}"),
                message,
            ));
            continue;
        }
        let rollout = &policy.rollouts[index];
        let (Some(rps), Some(plan)) = (rps, &rollout.plan) else {
            continue;
        };
        found.extend(late_steps(path, raw_rollout, plan, rps));
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
            let path = format!("{path}.guardrail{field}");
            found.push(Warning::new(Kind::TooFewRequests, path, message));
        }
    }
}

/// The first step that lasts longer than its `hold`, because the canary gets too few requests in it.
fn late_steps(path: &str, rollout: &Value, plan: &Plan, rps: f64) -> Option<Warning> {
    let ramp = plan.ramp().filter(|_| plan.waits())?;
    let needed = plan.min_requests();
    let steps: Vec<_> = ramp.schedule().map(|step| step.step).collect();
    let (_, left) = steps.split_last()?;
    let mut late = left.iter().enumerate().filter_map(|(index, step)| {
        let Until::Hold(hold) = step.until else {
            return None;
        };
        let seen = rps * percent(step.weight) / 100.0 * hold.as_secs_f64();
        (step.weight > Share::NONE && seen < f64::from(needed)).then_some((index, step, hold, seen))
    });
    let (index, step, hold, seen) = late.next()?;
    let others = match late.count() {
        0 => String::new(),
        1 => "; so does a later step".to_owned(),
        more => format!("; so do {more} later steps"),
    };
    let field = match rollout.pointer("/strategy/canary/steps") {
        Some(_) => format!("steps[{index}].hold"),
        None => "ramp.every".to_owned(),
    };
    let message = format!(
        "the step of {} % lasts longer than {}: it needs {needed} requests, but at {rps} requests per \
         second the canary gets {seen:.1} in that time{others}",
        percent(step.weight),
        humantime::format_duration(hold),
    );
    let path = format!("{path}.strategy.canary.{field}");
    Some(Warning::new(Kind::TooFewRequests, path, message))
}

/// Fields of a ramp and of its evidence that have no effect.
fn without_effect(path: &str, rollout: &Value) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut add = |field: &str, message: &str| {
        let path = format!("{path}.{field}");
        found.push(Warning::new(Kind::NoEffect, path, message.to_owned()));
    };
    let canary = rollout.pointer("/strategy/canary");
    let steps = canary.map(|canary| list(canary, "steps"));
    let is_ramp = canary.is_some_and(|canary| canary.get("weight").is_none());
    if rollout.pointer("/guardrail/evidence").is_some() {
        let observes = rollout.pointer("/guardrail/onBreach") == Some(&Value::from("observe"));
        if !is_ramp {
            let message = "has no effect: only the steps of a canary wait for evidence";
            add("guardrail.evidence", message);
        } else if observes {
            let message = "has no effect: with onBreach observe no step waits";
            add("guardrail.evidence", message);
        }
    }
    if let Some((last, steps)) = steps.and_then(|steps| steps.split_last())
        && last.get("gate").is_some()
    {
        let field = format!("strategy.canary.steps[{}].gate", steps.len());
        add(&field, "has no effect: the last step has no end");
    }
    found
}

/// Why no response counts for the guardrail of a rollout, and the field at which that is decided.
pub fn never_judges(policy: &Policy, raw: &Value, index: usize) -> Option<(String, String)> {
    let rollout = policy.rollouts.get(index)?;
    let is_guarded = rollout.plan.as_ref().is_some_and(|plan| plan.is_guarded());
    // Decisions of a trusted proxy count, whatever the strategy is.
    if !is_guarded || !rollout.enabled || policy.inheritance.is_some() {
        return None;
    }
    if let Some((version, field)) = rollout.strategy.behaviour().sole_version()
        && version == rollout.stable
        && rollout.rules.iter().all(|rule| !rule.is_judged())
    {
        let message = "is stable, which the guardrail does not watch: there is no version to \
                       fall back to";
        return Some((format!("strategy.{field}"), message.to_owned()));
    }
    let raw = list(raw, "rollouts").get(index)?;
    let mut forced = Vec::new();
    let mut is_reached = true;
    for (rule, raw) in rollout.rules.iter().zip(list(raw, "rules")) {
        let admits = rule.percent.as_ref().map(|gate| gate.share());
        let versions = rule.possible().into_iter();
        for new in versions.filter(|version| *version != rollout.stable) {
            if rule.is_judged() && admits.is_none_or(|share| share > Share::NONE) {
                return None;
            }
            if !rule.is_judged() {
                let name = rollout.version(new)?.name.to_string();
                forced.extend((!forced.contains(&name)).then_some(name));
            }
        }
        let is_for_all = admits.is_none_or(|share| share == Share::ALL) && !rule.needs_identity();
        if is_for_all && always(raw.get("when")?) {
            is_reached = false;
            break;
        }
    }
    if is_reached && strategy_reaches(policy, index, raw) {
        return None;
    }
    let message = match forced.as_slice() {
        [] => "the guardrail never judges: no request gets a version other than stable".to_owned(),
        forced => format!(
            "the guardrail never judges: only rules without percent or split send requests to {}, and their responses do not \
             count, because a person asks for that version on purpose; give the rule a percent (100 is everybody), or \
             the strategy a weight",
            forced.join(" and ")
        ),
    };
    Some(("guardrail".to_owned(), message))
}

/// Whether the strategy can choose a version other than stable, now or later.
fn strategy_reaches(policy: &Policy, index: usize, raw: &Value) -> bool {
    let Some(rollout) = policy.rollouts.get(index) else {
        return false;
    };
    if rollout.strategy.behaviour().ramped_version().is_some() {
        let canary = raw.pointer("/strategy/canary").unwrap_or(&Value::Null);
        let weights = list(canary, "steps").iter().chain(canary.get("ramp"));
        let mut weights = weights.flat_map(|step| {
            ["weight", "from", "to", "then"].map(|field| step.get(field).and_then(Value::as_f64))
        });
        return weights.any(|weight| weight.is_some_and(|weight| weight > 0.0));
    }
    if raw
        .pointer("/strategy/abTest/traffic")
        .and_then(Value::as_f64)
        == Some(0.0)
    {
        return false;
    }
    let answers = decide::possible(policy, rollout);
    answers.iter().any(|(version, reason)| {
        *version != rollout.stable && !matches!(reason, Reason::Rule | Reason::Inherited)
    })
}
