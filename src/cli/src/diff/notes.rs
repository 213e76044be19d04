//! Changes beside the shares: targets, copies, guardrails, cookies, headers and trust.

use divvy::strategy::StrategyBehaviour;
use serde_json::Value;

use super::{Located, Side, units};
use crate::raw::{list, salt, text};

const OTHER_IDENTITY: &str = "identity: changed, so a user with another identity is another user";

const OTHER_UNIT: &str = "headers.unit: a user with another identity has another unit, so logs before and \
                          after the change cannot be joined";

/// Changes of the fields that belong to all rollouts.
pub(super) fn of_configuration(before: Side<'_>, after: Side<'_>) -> Vec<String> {
    let [old, new] = [before, after].map(|side| &side.config.raw);
    let mut notes = units::notes(before, after);
    if old.get("identity") != new.get("identity") {
        notes.push(OTHER_IDENTITY.to_owned());
        if units::in_both(old, new) {
            notes.push(OTHER_UNIT.to_owned());
        }
    }
    for field in [
        "ignoreIdentities",
        "holdout",
        "trust",
        "headers",
        "responseHeader",
        "overrides",
        "overridesAfter",
    ] {
        notes.extend(changed(field, old.get(field), new.get(field)));
    }
    notes
}

/// A field with its old and its new value.
fn changed(field: &str, was: Option<&Value>, is: Option<&Value>) -> Option<String> {
    if was == is {
        return None;
    }
    let shown = |value: Option<&Value>| match value {
        None => "the default".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    Some(format!("{field}: was {}, is now {}", shown(was), shown(is)))
}

/// The copies of a `mirror`.
pub(super) fn copies(mirror: Option<&Value>) -> Option<String> {
    let mirror = mirror?;
    let percent = mirror
        .get("percent")
        .and_then(Value::as_f64)
        .unwrap_or_default();
    let methods = list(mirror, "methods").iter().filter_map(Value::as_str);
    let methods: Vec<_> = methods.collect();
    let methods = match methods.as_slice() {
        [] => "all methods, also those that write".to_owned(),
        methods => methods.join(" and "),
    };
    let version = text(mirror, "version");
    Some(format!(
        "mirror: {version} gets copies of the requests of {percent} % of the users, with {methods}"
    ))
}

/// Versions of both with another target.
fn targets(before: Located<'_>, after: Located<'_>) -> Vec<String> {
    let target = |side: Located<'_>, name: &str| {
        let versions = &side.config.policy.rollouts[side.index].versions;
        let version = versions.iter().find(|version| &*version.name == name)?;
        Some(version.target.as_deref().unwrap_or("none").to_owned())
    };
    let names = list(after.raw(), "versions").iter();
    let names = names.map(|version| text(version, "name"));
    let notes = names.filter_map(|name| {
        let is = target(after, name)?;
        match target(before, name) {
            Some(was) if was == is => None,
            Some(was) => Some(format!("target of {name}: was {was}, is now {is}")),
            None => Some(format!("version {name}: added, with target {is}")),
        }
    });
    let gone = list(before.raw(), "versions").iter();
    let gone = gone.map(|version| text(version, "name"));
    let gone = gone.filter(|name| target(after, name).is_none());
    notes
        .chain(gone.map(|name| format!("version {name}: removed")))
        .collect()
}

/// A changed salt. The hash of another system does not read it; rules, mirrors and sticky cookies do.
fn other_salt(was: &Value, is: &Value) -> Option<String> {
    let [old, new] = [was, is].map(salt);
    if old == new {
        return None;
    }
    let moved = if was.get("hash").is_none() || is.get("hash").is_none() {
        "users are assigned again at random"
    } else {
        "the hash of another system does not read it; users of rules with percent or split and of \
         the mirror are chosen again, and sticky cookies no longer count"
    };
    Some(format!("salt: was {old}, is now {new}: {moved}"))
}

/// Changes of a rollout.
pub(super) fn of_rollout(before: Located<'_>, after: Located<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let [was, is] = [before.raw(), after.raw()];
    if before.name() != after.name() {
        notes.push(format!("name: was {}", before.name()));
    }
    notes.extend(other_salt(was, is));
    if was.get("hash") != is.get("hash") {
        let shown = |rollout: &Value| match rollout.get("hash") {
            Some(hash) => hash.to_string(),
            None => "that of divvy".to_owned(),
        };
        notes.push(format!(
            "hash: was {}, is now {}: users are assigned again at random",
            shown(was),
            shown(is)
        ));
    }
    let strategies = [before, after].map(Located::strategy);
    for (field, [was, is]) in [
        ("layer", strategies.map(StrategyBehaviour::layer)),
        ("holdout", strategies.map(StrategyBehaviour::holdout)),
    ] {
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            let [was, is] = [was.salt(), is.salt()];
            notes.push(format!("{field}: was {was:?}, is now {is:?}"));
        }
    }
    if text(was, "revision") != text(is, "revision") {
        let note = "revision: changed, so sticky cookies, rollbacks and outages no longer count";
        notes.push(note.to_owned());
    }
    if was.get("identity") != is.get("identity") {
        notes.push(OTHER_IDENTITY.to_owned());
        if units::in_both(&before.config.raw, &after.config.raw) {
            notes.push(OTHER_UNIT.to_owned());
        }
    }
    notes.extend(targets(before, after));
    let mirrors = [was, is].map(|rollout| copies(rollout.get("mirror")));
    match mirrors {
        [was, is] if was == is => {}
        [_, Some(is)] => notes.push(is),
        _ => notes.push("mirror: removed, so nothing is copied any more".to_owned()),
    }
    for field in [
        "stable",
        "guardrail",
        "unreachable",
        "sticky",
        "expose",
        "metrics",
    ] {
        notes.extend(changed(field, was.get(field), is.get(field)));
    }
    // The schedule of a canary: its shares show one moment of it.
    for field in ["start", "steps", "ramp", "passed", "pauses"] {
        let of = |rollout: &'_ Value| rollout.pointer("/strategy/canary")?.get(field).cloned();
        let [was, is] = [of(was), of(is)];
        let note = match (&was, &is) {
            (None, Some(is)) => Some(format!("{field}: is now {is}")),
            (Some(_), None) => Some(format!("{field}: removed")),
            _ => changed(field, was.as_ref(), is.as_ref()),
        };
        notes.extend(note);
    }
    for field in ["match", "rules"] {
        if was.get(field) != is.get(field) {
            notes.push(format!("{field}: changed"));
        }
    }
    match [was, is].map(|rollout| rollout.get("enabled") != Some(&Value::Bool(false))) {
        [true, false] => notes.push("enabled: switched off".to_owned()),
        [false, true] => notes.push("enabled: switched on".to_owned()),
        _ => {}
    }
    notes
}
