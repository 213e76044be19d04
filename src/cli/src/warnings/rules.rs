//! Rules that can never match.

use std::slice;

use divvy::identity::IgnoredValues;
use divvy::policy::Policy;
use serde_json::Value;

use super::cover::{covers, source};
use super::kind::Kind;
use super::warning::{Warning, each};
use crate::raw::text;

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    let ignored = &policy.ignored_identities;
    for (path, rollout) in each(raw, "", "rollouts") {
        let rules = each(rollout, &path, "rules");
        if rollout.get("enabled") == Some(&Value::Bool(false)) {
            continue;
        }
        for (nth, (place, rule)) in rules.iter().enumerate() {
            let Some(when) = rule.get("when") else {
                continue;
            };
            if rule.get("percent").and_then(Value::as_f64) == Some(0.0) {
                let message = "is 0, so the rule never matches";
                let path = format!("{place}.percent");
                found.push(Warning::new(Kind::RuleNeverDecides, path, message));
                continue;
            }
            if let Some(why) = impossible(when, rollout) {
                found.push(Warning::new(
                    Kind::RuleNeverDecides,
                    format!("{place}.when"),
                    format!("never holds: {why}"),
                ));
                continue;
            }
            if let Some(value) = ignored_identity(when, ignored) {
                let message = format!("never holds: {value:?} is one of ignoreIdentities");
                let path = format!("{place}.when");
                found.push(Warning::new(Kind::RuleNeverDecides, path, message));
                continue;
            }
            // A split leaves requests without an identity to the next rules.
            let all = |earlier: &Value| {
                earlier.get("percent").is_none_or(is_all) && earlier.get("split").is_none()
            };
            let earlier = rules[..nth].iter().map(|(_, earlier)| earlier);
            let covering = earlier
                .filter(|earlier| all(earlier))
                .find(|earlier| earlier.get("when").is_some_and(|wider| covers(wider, when)));
            if let Some(covering) = covering {
                let message = format!(
                    "never decides: the earlier rule {} holds for all requests of this rule",
                    text(covering, "name")
                );
                let path = format!("{place}.when");
                found.push(Warning::new(Kind::RuleNeverDecides, path, message));
            }
        }
    }
}

fn is_all(percent: &Value) -> bool {
    percent.as_f64() == Some(100.0)
}

/// Why a condition can never hold for a request that matches the rollout.
pub(super) fn impossible(when: &Value, rollout: &Value) -> Option<&'static str> {
    let parts = |key: &str| when.get(key).and_then(Value::as_array);
    if let Some(any) = parts("any") {
        let whys: Option<Vec<_>> = any.iter().map(|part| impossible(part, rollout)).collect();
        return whys?.into_iter().next();
    }
    if let Some(all) = parts("all") {
        return all
            .iter()
            .find_map(|part| impossible(part, rollout))
            .or_else(|| contradiction(all));
    }
    if when.get("method").is_some() {
        let asked = exact_values(when)?;
        let scopes = rollout.get("match").and_then(Value::as_array)?;
        let methods = scopes
            .iter()
            .map(|scope| scope.get("methods").and_then(Value::as_array));
        let methods = methods.collect::<Option<Vec<_>>>()?;
        let looked_at = |method: &Value| methods.iter().any(|some| some.contains(method));
        if !asked.iter().any(looked_at) {
            return Some("match does not list the method");
        }
    }
    None
}

/// The value of a condition on the identity that is never one, if it is the only one.
fn ignored_identity<'v>(when: &'v Value, ignored: &IgnoredValues) -> Option<&'v str> {
    when.get("identity")?;
    let values = values(when)?;
    let is_ignored = |value: &Value| {
        let value = value.as_str().unwrap_or_default().trim().as_bytes();
        ignored.contains(value)
    };
    if values.is_empty() || !values.iter().all(is_ignored) {
        return None;
    }
    values.first()?.as_str()
}

/// The values that a leaf accepts, if it lists them.
fn values(leaf: &Value) -> Option<&[Value]> {
    match (leaf.get("exact"), leaf.get("in")) {
        (Some(value), _) => Some(slice::from_ref(value)),
        (_, Some(Value::Array(values))) => Some(values),
        _ => None,
    }
}

/// The same, if case matters.
fn exact_values(leaf: &Value) -> Option<&[Value]> {
    values(leaf).filter(|_| leaf.get("ignoreCase").is_none())
}

/// Why two conditions on the same source, which has one value, can never both hold.
fn contradiction(all: &[Value]) -> Option<&'static str> {
    for (nth, one) in all.iter().enumerate() {
        for other in &all[nth + 1..] {
            let (Some(source), Some(same)) = (source(one), source(other)) else {
                if one.get("not") == Some(other) || other.get("not") == Some(one) {
                    return Some("a condition and its opposite");
                }
                continue;
            };
            // A header, a label and a list may have several values.
            let single = [
                "cookie", "query", "path", "method", "host", "identity", "sourceIp", "peer",
            ];
            if source != same || !single.iter().any(|key| source.get(key).is_some()) {
                continue;
            }
            if let (Some(some), Some(others)) = (exact_values(one), exact_values(other))
                && !some.iter().any(|value| others.contains(value))
            {
                return Some("no value fulfils both conditions");
            }
            let presence = |leaf: &Value| leaf.get("present").and_then(Value::as_bool);
            let absent = presence(one) == Some(false) || presence(other) == Some(false);
            if absent && (presence(one) != Some(false) || presence(other) != Some(false)) {
                return Some("a value cannot be both missing and present");
            }
        }
    }
    None
}
