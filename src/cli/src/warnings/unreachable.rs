//! `unreachable` where it has no effect.

use divvy::decide;
use divvy::decision::Reason;
use divvy::policy::{Policy, Rollout};
use serde_json::Value;

use super::kind::Kind;
use super::warning::{Warning, each};

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    for ((path, raw), rollout) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        if raw.get("unreachable").is_some()
            && let Some(why) = without_effect(policy, rollout)
        {
            let message = format!("has no effect: {why}");
            let path = format!("{path}.unreachable");
            found.push(Warning::new(Kind::NeverUnreachable, path, message));
        }
    }
}

/// Why no request of a rollout gets stable because a version is unreachable.
fn without_effect(policy: &Policy, rollout: &Rollout) -> Option<&'static str> {
    let others = |all: bool| {
        let answers = decide::possible(policy, rollout);
        answers
            .into_iter()
            .any(|(version, reason)| version != rollout.stable && (all || reason != Reason::Rule))
    };
    let split_by_rule = || {
        let mut rules = rollout.rules.iter();
        rules.any(|rule| {
            rule.is_judged()
                && rule
                    .possible()
                    .into_iter()
                    .any(|version| version != rollout.stable)
        })
    };
    if !rollout.routes {
        Some("the rollout only tags, so divvy does not choose what its requests reach")
    } else if !rollout.enabled {
        Some("the rollout is switched off, so stable serves every user")
    } else if !others(true) && rollout.mirror.is_none() {
        Some("stable serves every user")
    } else if !others(false) && !split_by_rule() && rollout.mirror.is_none() {
        Some(
            "only rules without percent or split use another version, and their requests ask for it on purpose",
        )
    } else {
        None
    }
}
