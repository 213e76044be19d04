//! Two experiments with the same salt, which assign users alike.

use divvy::bucket::Key;
use divvy::policy::Policy;
use serde_json::Value;

use super::kind::Kind;
use super::warning::{Warning, each};
use crate::raw::{salt, text};

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
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
