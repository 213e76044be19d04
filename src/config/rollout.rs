//! One rollout: versions, targets, rules.

use rustc_hash::FxHashSet;

use super::build::Build;
use super::limits::{MAX_RULES, METRICS};
use super::registry::HeaderUse;
use super::spec::{self, Items};
use super::strategy::{self, RolloutContext};
use super::values::{percent, unique};
use super::versions::Versions;
use super::{condition, cookies, guardrail, mirror, names, scope};
use crate::bucket::{Gate, Key};
use crate::error::{Errors, Path};
use crate::guardrail::{Arm, Guardrail, Plan, Ramp};
use crate::policy::{Expose, HeaderRole, Metrics, Rollout, Rule, Version, VersionId};
use crate::scope::Scope;
use crate::strategy::Strategy;

/// A rollout as it was compiled.
pub(super) struct CompiledRollout {
    pub rollout: Rollout,
    /// The entries of its `match`.
    pub scopes: Vec<Scope>,
    /// Whether its versions are what the configuration says.
    pub complete: bool,
}

/// Compiles a rollout.
pub(super) fn compile(
    at: Path<'_>,
    raw: &spec::RolloutSpec<'_>,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<CompiledRollout> {
    names::rollout(at.field("name"), raw.name, errors);
    if let Some(salt) = &raw.salt {
        names::other(at.field("salt"), salt, errors);
    }
    let salt = raw.salt.unwrap_or(raw.name);
    let versions = Versions::compile(at, raw.name, raw.target, raw.versions, errors);
    let routes = versions.list.iter().any(|version| version.target.is_some());
    if routes && !build.headers.has(HeaderRole::Route) {
        let at_target = at.field("target");
        errors.add(at_target, "needs a header: name it in headers.route");
    }
    let stable = versions.find(at.field("stable"), raw.stable, errors);
    let scopes = raw.scopes.map(|scopes| {
        let at = at.field("match");
        if scopes.is_empty() {
            errors.add(at, "is empty: leave it out to match every request");
        }
        scopes.each(at, errors, |at, raw, errors| {
            scope::compile(at, &raw, build, errors)
        })
    });
    // A ramp with something wrong is one all the same.
    let canary = raw.strategy.canary.as_ref();
    let ramps = canary.is_some_and(|canary| canary.steps.is_some() || canary.ramp.is_some());
    let rules = raw
        .rules
        .map(|rules| compile_rules(at.field("rules"), rules, salt, &versions, build, errors));
    let around = RolloutContext {
        rollout: raw.name,
        salt,
        stable: raw.stable,
        versions: &versions,
    };
    let strategy = strategy::compile(at.field("strategy"), &raw.strategy, &around, build, errors);
    let (strategy, ramp) = strategy.map_or((None, None), |(strategy, ramp)| (Some(strategy), ramp));
    let revision = raw.revision.unwrap_or_default();
    names::revision(at.field("revision"), revision, errors);
    let label = format!("{}@{revision}", raw.name);
    let expose = raw
        .expose
        .as_ref()
        .map(|raw| expose(at.field("expose"), raw, label, build, errors));
    let sticky = raw.sticky.as_ref().map(|raw| {
        let of = (salt, revision);
        cookies::sticky(
            at.field("sticky"),
            raw,
            of,
            strategy.as_ref(),
            build,
            errors,
        )
    });
    let mirror = raw
        .mirror
        .as_ref()
        .map(|raw| mirror::compile(at.field("mirror"), raw, salt, &versions, build, errors));
    let guardrail = raw
        .guardrail
        .as_ref()
        .map(|raw| guardrail::compile(at.field("guardrail"), raw, ramps, errors));
    if guardrail.is_some() && versions.list.len() == 1 && versions.complete {
        let message = "needs a version other than stable";
        errors.add(at.field("guardrail"), message);
    }
    let plan = plan(
        revision,
        guardrail,
        ramp,
        raw.stable,
        strategy.as_ref(),
        &versions,
    );
    let metrics = metrics(at.field("metrics"), raw.metrics, errors);
    let complete = versions.complete;
    let rollout = Rollout {
        name: raw.name.into(),
        enabled: raw.enabled.unwrap_or(true),
        metrics,
        stable: stable?,
        rules: rules.unwrap_or_default(),
        strategy: strategy?,
        routes,
        sticky: sticky.flatten(),
        mirror: mirror.flatten(),
        expose,
        arms: arms_of(plan.as_ref(), &versions.list),
        plan,
        versions: versions.list,
    };
    Some(CompiledRollout {
        rollout,
        scopes: scopes.unwrap_or_default(),
        complete,
    })
}

fn expose(
    at: Path<'_>,
    raw: &spec::ExposeSpec<'_>,
    label: String,
    build: &mut Build,
    errors: &mut Errors,
) -> Expose {
    if raw.group.is_none() && raw.id.is_none() {
        errors.add(at, "has no header: write group, id or both");
    }
    let mut own = |field, name: Option<&str>, wanted| {
        build.headers.own(at.field(field), name?, wanted, errors)
    };
    Expose {
        group: own("group", raw.group, HeaderUse::Group),
        id: own("id", raw.id, HeaderUse::Id),
        label: label.into(),
        response: raw.response.unwrap_or_default(),
    }
}

/// How the versions are watched: all of them but stable, or the one that grows.
fn plan(
    revision: &str,
    guardrail: Option<Option<Guardrail>>,
    ramp: Option<Ramp>,
    stable: &str,
    strategy: Option<&Strategy>,
    versions: &Versions,
) -> Option<Plan> {
    if guardrail.is_none() && ramp.is_none() {
        return None;
    }
    let ramped = strategy.and_then(Strategy::ramped_version);
    let grows = |id: VersionId| ramped.is_none_or(|version| version == id);
    let others = (0..).map(VersionId).zip(&versions.list);
    let guarded: Vec<_> = others
        .filter(|(id, version)| *version.name != *stable && grows(*id))
        .map(|(_, version)| &*version.name)
        .collect();
    let guardrail = guardrail.flatten().unwrap_or_default();
    Some(Plan::new(revision, guardrail, ramp, stable, guarded))
}

fn arms_of(plan: Option<&Plan>, versions: &[Version]) -> Vec<Option<Arm>> {
    let Some(plan) = plan else {
        return Vec::new();
    };
    let arms = versions.iter().map(|version| plan.find(&version.name));
    arms.collect()
}

fn metrics(at: Path<'_>, raw: Option<&str>, errors: &mut Errors) -> Metrics {
    match raw {
        None | Some("responses") => Metrics::Responses,
        Some("requests") => Metrics::Requests,
        Some("off") => Metrics::Off,
        Some(other) => {
            errors.add_unknown_name(at, other, METRICS.into_iter());
            Metrics::Responses
        }
    }
}

fn compile_rules(
    at: Path<'_>,
    raw: Items<'_, spec::RuleSpec<'_>>,
    salt: &str,
    versions: &Versions,
    build: &mut Build,
    errors: &mut Errors,
) -> Vec<Rule> {
    let raw = raw.at_most(MAX_RULES, "rules", at, errors);
    let mut seen = FxHashSet::default();
    raw.each(at, errors, |at, rule, errors| {
        names::other(at.field("name"), rule.name, errors);
        unique(at.field("name"), rule.name, &mut seen, errors);
        let when = condition::compile(at.field("when"), &rule.when, 0, build, errors);
        let version = versions.find(at.field("use"), rule.version, errors);
        let percent = match rule.percent {
            Some(number) => {
                build.needs_anybody(at.field("percent"), errors);
                let share = percent(at.field("percent"), number, errors)?;
                Some(Gate::new(Key::rule(salt, rule.name), share))
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
