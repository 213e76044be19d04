//! Identity sources of a rollout that no decision uses, or that share users between the tests of a
//! layer.

use divvy::condition::{Condition, Source};
use divvy::identity::IdentitySource;
use divvy::policy::{Policy, Rollout};
use serde_json::Value;

use super::kind::Kind;
use super::warning::{Warning, each};
use crate::raw::{list, text};

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    never_written(raw, found);
    useless_unit(policy, raw, found);
    let mut layers: Vec<(&str, &str, Option<&Value>)> = Vec::new();
    for ((path, rollout), compiled) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        let identity = rollout.get("identity");
        let is_used = policy.unit.is_some() || uses_identity(compiled);
        if identity.is_some() && compiled.enabled && !is_used {
            let message = "has no effect: no decision of this rollout depends on the identity";
            let path = format!("{path}.identity");
            found.push(Warning::new(Kind::NoEffect, path, message));
        }
        let Some(layer) = compiled.strategy.behaviour().layer() else {
            continue;
        };
        let other = layers
            .iter()
            .find(|(name, _, by)| *name == layer.salt() && *by != identity);
        if let Some((name, other, _)) = other {
            let message = format!(
                "{name:?} is also the layer of {other}, which knows users by another identity: the ranges \
                 of the two do not exclude each other; use one identity, or two layers"
            );
            let path = format!("{path}.strategy.abTest.layer.name");
            found.push(Warning::new(Kind::LayerIdentities, path, message));
        }
        layers.push((layer.salt(), text(rollout, "name"), identity));
    }
}

/// A header for the identity, and sources none of which has a value that a header carries.
fn never_written(raw: &Value, found: &mut Vec<Warning>) {
    if raw.pointer("/headers/identity").is_none() {
        return;
    }
    let rollouts = list(raw, "rollouts").iter();
    let lists = std::iter::once(raw).chain(rollouts);
    let mut sources = lists.flat_map(|object| list(object, "identity"));
    let carried = ["header", "cookie", "query", "jwtClaim"];
    if !sources.any(|source| carried.iter().any(|field| source.get(field).is_some())) {
        let message =
            "has no effect: only identities from a header, cookie, query or jwtClaim are written";
        found.push(Warning::new(Kind::NoEffect, "headers.identity", message));
    }
}

/// Units without users, or beside log lines that do not say what the users got.
fn useless_unit(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    if policy.unit.is_none() {
        return;
    }
    let own = policy.rollouts.iter();
    let own = own.filter_map(|rollout| rollout.identity.as_ref());
    let mut sources = own.chain([&policy.identity]).flatten();
    let message = if sources.all(|source| matches!(source, IdentitySource::Random)) {
        "has no effect: no source of identity stays the same between requests of a user"
    } else if raw.pointer("/headers/assignment").is_none() {
        "has no effect on results: no header has the decisions, so a log cannot say which version a \
         unit got; add headers.assignment"
    } else {
        return;
    };
    found.push(Warning::new(Kind::NoEffect, "headers.unit", message));
}

/// Whether a decision of the rollout can depend on the identity.
fn uses_identity(rollout: &Rollout) -> bool {
    let asks = rollout.strategy.behaviour().needed_identity().is_some();
    let is_copied = |gate: &divvy::bucket::Gate| gate.constant().is_none();
    asks || rollout.sticky.is_some()
        || (rollout.mirror.as_ref()).is_some_and(|mirror| is_copied(&mirror.gate))
        || (rollout.rules.iter()).any(|rule| rule.needs_identity() || reads_identity(&rule.when))
}

fn reads_identity(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(reads_identity),
        Condition::Not(inner) => reads_identity(inner),
        Condition::Leaf(source, _) => matches!(source, Source::Identity),
        Condition::Assigned(_) => false,
    }
}
