//! Conditions of `match` that never or always hold.

use serde_json::Value;

use super::cover::always;
use super::kind::Kind;
use super::rules::impossible;
use super::warning::{Warning, each};

pub(super) fn find(raw: &Value, found: &mut Vec<Warning>) {
    for (path, rollout) in each(raw, "", "rollouts") {
        for (place, entry) in each(rollout, &path, "match") {
            let Some(when) = entry.get("when") else {
                continue;
            };
            let path = format!("{place}.when");
            if let Some(why) = impossible(when, &Value::Null) {
                let message = format!("never holds: {why}");
                found.push(Warning::new(Kind::NeverMatches, path, message));
            } else if always(when) {
                let message = "has no effect: it holds for every request";
                found.push(Warning::new(Kind::NoEffect, path, message));
            }
        }
    }
}
