//! One rollout: versions, targets, rules, strategy.

use std::collections::BTreeSet;

use super::error::{At, Errors};
use super::headers::Headers;
use super::shape::{self, Items};
use super::values::{percent, unique, weight};
use super::{MAX_RULES, MAX_VERSIONS, condition, names};
use crate::bucket::{Gate, Key, Purpose, Share, Split};
use crate::policy::{Rollout, Rule, Strategy, Version, VersionId};

/// A share of users without a way to tell users apart is nobody's share: to accept it
/// would be to serve stable to everyone in silence.
const NO_IDENTITY: &str = "tells users apart, but identity names no source that says who they are";

/// What the whole configuration says that a rollout needs to know.
pub(super) struct Around {
    /// Whether there is an identity source at all.
    pub has_identity: bool,
    /// Whether there is a route header.
    pub has_route: bool,
}

pub(super) fn compile(
    at: At<'_>,
    raw: shape::Rollout,
    around: &Around,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Option<Rollout> {
    names::rollout(at.field("name"), &raw.name, errors);
    if let Some(salt) = &raw.salt {
        names::other(at.field("salt"), salt, errors);
    }
    let salt = raw.salt.as_ref().unwrap_or(&raw.name);
    let versions = Versions::compile(at, &raw.name, raw.target.as_deref(), raw.versions, errors);
    let routes = versions.list.iter().any(|version| version.target.is_some());
    if routes && !around.has_route {
        let at_target = at.field("target");
        errors.add(at_target, "there is no header to put it in: headers.route");
    }
    let stable = versions.find(at.field("stable"), &raw.stable, errors);
    let scopes = raw.scopes.map(|scopes| {
        let at = at.field("match");
        if scopes.is_empty() {
            errors.add(at, "is empty: leave it out to look at every request");
        }
        scopes.each(at, errors, condition::scope)
    });
    let rules = raw.rules.map(|rules| {
        compile_rules(
            at.field("rules"),
            rules,
            salt,
            &versions,
            around,
            headers,
            errors,
        )
    });
    let strategy = strategy(
        at.field("strategy"),
        raw.strategy,
        salt,
        &versions,
        &raw.stable,
        errors,
    );
    if let Some(strategy) = &strategy
        && strategy.needs_identity()
        && !around.has_identity
    {
        errors.add(at.field("strategy"), NO_IDENTITY);
    }
    Some(Rollout {
        name: raw.name.into(),
        enabled: raw.enabled.unwrap_or(true),
        scopes: scopes.unwrap_or_default(),
        versions: versions.list,
        stable: stable?,
        rules: rules.unwrap_or_default(),
        strategy: strategy?,
        routes,
    })
}

/// The versions of a rollout, of which other parts speak by name.
struct Versions {
    list: Vec<Version>,
    /// Whether the list is what the configuration says: otherwise a name that is not
    /// found may be one of those that are left out.
    complete: bool,
}

impl Versions {
    fn compile(
        at: At<'_>,
        rollout: &str,
        common: Option<&str>,
        raw: Items<shape::Version>,
        errors: &mut Errors,
    ) -> Self {
        let place = at.field("versions");
        let count = raw.len();
        if count == 0 {
            errors.add(place, "is empty");
        }
        let raw = raw.at_most(MAX_VERSIONS, "versions", place, errors);
        let mut seen = BTreeSet::new();
        let mut without_target = Vec::new();
        let list = raw.each(place, errors, |at, version, errors| {
            let name = version.name;
            names::version(at.field("name"), &name, errors);
            unique(at.field("name"), &name, &mut seen, errors);
            let target = match (&version.target, common) {
                (Some(own), _) => names::target(at.field("target"), own, &name, errors),
                // What is wrong with the common one is reported once, below.
                (None, Some(common)) => names::target(at, common, &name, &mut Errors::default()),
                (None, None) => {
                    without_target.push(at.to_string());
                    None
                }
            };
            Some(Version {
                member: names::member(rollout, &name),
                name: name.into(),
                target,
            })
        });
        if let Some(common) = common {
            names::target(at.field("target"), common, "v", errors);
        }
        if without_target.len() < list.len() {
            for path in without_target {
                errors.add(
                    At::Root.below(&path),
                    "has no target while others have: give all one, or the rollout a common one",
                );
            }
        }
        Self {
            complete: list.len() == count,
            list,
        }
    }

    fn find(&self, at: At<'_>, name: &str, errors: &mut Errors) -> Option<VersionId> {
        let found = self.list.iter().position(|version| &*version.name == name);
        if found.is_none() && self.complete && !self.list.is_empty() {
            let names: Vec<_> = self.list.iter().map(|version| &*version.name).collect();
            errors.add(at, format!("{name:?} is not one of {}", names.join(", ")));
        }
        found
            .and_then(|index| u16::try_from(index).ok())
            .map(VersionId)
    }
}

fn compile_rules(
    at: At<'_>,
    raw: Items<shape::Rule>,
    salt: &str,
    versions: &Versions,
    around: &Around,
    headers: &mut Headers,
    errors: &mut Errors,
) -> Vec<Rule> {
    let raw = raw.at_most(MAX_RULES, "rules", at, errors);
    let mut seen = BTreeSet::new();
    raw.each(at, errors, |at, rule, errors| {
        names::other(at.field("name"), &rule.name, errors);
        unique(at.field("name"), &rule.name, &mut seen, errors);
        let when = condition::condition(at.field("when"), rule.when, 0, headers, errors);
        let version = versions.find(at.field("use"), &rule.version, errors);
        let percent = match rule.percent {
            Some(number) => {
                if !around.has_identity {
                    errors.add(at.field("percent"), NO_IDENTITY);
                }
                let share = percent(at.field("percent"), number, errors)?;
                Some(Gate::new(Key::rule(salt, &rule.name), share))
            }
            None => None,
        };
        Some(Rule {
            when: when?,
            version: version?,
            percent,
            name: rule.name.into(),
        })
    })
}

fn strategy(
    at: At<'_>,
    raw: shape::Strategy,
    salt: &str,
    versions: &Versions,
    stable: &str,
    errors: &mut Errors,
) -> Option<Strategy> {
    let shape::Strategy {
        canary,
        ab_test,
        blue_green,
    } = raw;
    match (canary, ab_test, blue_green) {
        (Some(raw), None, None) => {
            canary_of(at.field("canary"), &raw, salt, versions, stable, errors)
        }
        (None, Some(raw), None) => ab_test_of(at.field("abTest"), raw, salt, versions, errors),
        (None, None, Some(raw)) => {
            let at = at.field("blueGreen");
            let active = versions.find(at.field("active"), &raw.active, errors)?;
            Some(Strategy::BlueGreen { active })
        }
        (None, None, None) => {
            errors.add(at, "names no strategy: canary, abTest or blueGreen");
            None
        }
        _ => {
            errors.add(at, "names several strategies where one is meant");
            None
        }
    }
}

fn canary_of(
    at: At<'_>,
    raw: &shape::Canary,
    salt: &str,
    versions: &Versions,
    stable: &str,
    errors: &mut Errors,
) -> Option<Strategy> {
    let version = versions.find(at.field("version"), &raw.version, errors);
    if raw.version == stable {
        let message = format!("{stable:?} is stable, which the canary is to be told from");
        errors.add(at.field("version"), message);
    }
    let share = percent(at.field("weight"), raw.weight, errors)?;
    Some(Strategy::Canary {
        version: version?,
        gate: Gate::new(Key::new(Purpose::Gate, salt), share),
    })
}

fn ab_test_of(
    at: At<'_>,
    raw: shape::AbTest,
    salt: &str,
    versions: &Versions,
    errors: &mut Errors,
) -> Option<Strategy> {
    let place = at.field("split");
    let complete = raw.split.len();
    let mut seen = BTreeSet::new();
    let arms = raw.split.at_most(MAX_VERSIONS, "arms", place, errors);
    let arms = arms.each(place, errors, |at, arm, errors| {
        let version = versions.find(at.field("version"), &arm.version, errors);
        unique(at.field("version"), &arm.version, &mut seen, errors);
        let weight = weight(at.field("weight"), arm.weight, errors);
        Some((arm.version, version?, weight?))
    });
    let all_there = arms.len() == complete;
    let named = arms
        .iter()
        .map(|(name, version, weight)| (name.as_str(), *version, *weight));
    let split = Split::new(salt, named);
    if split.is_none() && all_there {
        errors.add(place, "nothing has a weight above 0");
    }
    let share = match raw.traffic {
        Some(number) => percent(at.field("traffic"), number, errors),
        None => Some(Share::ALL),
    };
    Some(Strategy::AbTest {
        traffic: Gate::new(Key::new(Purpose::Gate, salt), share?),
        split: split?,
    })
}
