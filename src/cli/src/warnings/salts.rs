//! Two experiments with the same salt, which assign users alike, and a salt that changes nothing.

use divvy::bucket::Key;
use divvy::policy::Policy;
use serde_json::Value;

use super::kind::Kind;
use super::warning::{Warning, each};
use crate::raw::{list, salt, text};

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    shared(policy, raw, found);
    for (path, rollout) in each(raw, "", "rollouts") {
        if rollout.get("salt").is_some() && !reads_salt(rollout) {
            let message = "has no effect: hash assigns the users, and no rule with percent or split, no \
                           mirror and no sticky cookie reads the salt";
            let place = format!("{path}.salt");
            found.push(Warning::new(Kind::NoEffect, place, message.to_owned()));
        }
    }
}

/// Whether anything of a rollout depends on its salt. The hash of another system does not.
fn reads_salt(rollout: &Value) -> bool {
    let mut rules = list(rollout, "rules").iter();
    rollout.get("hash").is_none()
        || rollout.get("mirror").is_some()
        || rollout.get("sticky").is_some()
        || rules.any(|rule| rule.get("percent").is_some() || rule.get("split").is_some())
}

fn shared(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    let mut before: Vec<(&str, &str, Option<&Key>, Option<&Value>)> = Vec::new();
    for ((path, rollout), compiled) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        let draws = compiled.strategy.behaviour().needed_identity().is_some() && compiled.enabled;
        // The hash of another system does not read the salt.
        if !draws || rollout.get("hash").is_some() {
            continue;
        }
        let name = text(rollout, "name");
        let salt = salt(rollout);
        let layer = compiled.strategy.behaviour().layer();
        // Two ranges of one layer have no users in common.
        let apart = |other: &Option<&Key>| layer.is_some() && *other == layer;
        // The positions of different identities are independent.
        let identity = rollout.get("identity");
        let same = before
            .iter()
            .find(|(_, of, other, by)| *of == salt && *by == identity && !apart(other));
        if let Some((other, ..)) = same {
            let place = match rollout.get("salt") {
                Some(_) => format!("{path}.salt"),
                None => format!("{path}.name"),
            };
            let message = format!(
                "{salt:?} is also the salt of {other}: both assign the users alike, so the results of \
                 each also contain the effect of the other; use different salts"
            );
            found.push(Warning::new(Kind::SharedSalt, place, message));
        }
        before.push((name, salt, layer, identity));
    }
}
