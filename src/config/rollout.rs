//! One rollout: versions, targets, rules.

use rustc_hash::FxHashSet;

use crate::build::Build;
use crate::limits::{MAX_RULES, METRICS};
use crate::registry::HeaderUse;
use crate::spec::{self, Items};
use crate::strategy::{self, RolloutContext};
use crate::values::{percent, unique};
use crate::versions::Versions;
use crate::{condition, cookies, guardrail, hash, identity, mirror, names, scope};
use divvy_core::bucket::{Gate, Key, Split};
use divvy_core::guardrail::{Arm, Guardrail, Plan, Ramp};
use divvy_core::identity::IdentitySource;
use divvy_core::policy::scope::Scope;
use divvy_core::policy::{
    Expose, HeaderRole, Metrics, Rollout, Rule, RuleVersions, Version, VersionId,
};
use divvy_core::strategy::Strategy;
use divvy_json::error::Path;

/// A rollout as it was compiled.
pub(crate) struct CompiledRollout {
    pub rollout: Rollout,
    /// The entries of its `match`.
    pub scopes: Vec<Scope>,
    /// Whether its versions are what the configuration says.
    pub complete: bool,
}

/// Compiles a rollout.
pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::RolloutSpec<'_>,
    build: &mut Build<'_>,
) -> Option<CompiledRollout> {
    let Some(sources) = raw.identity else {
        return compile_with(at, raw, None, build);
    };
    let outer = (build.identity, build.has_random);
    let sources = identity::own(at.field("identity"), sources, build);
    let compiled = compile_with(at, raw, Some(sources), build);
    (build.identity, build.has_random) = outer;
    compiled
}

fn compile_with(
    at: Path<'_>,
    raw: &spec::RolloutSpec<'_>,
    identity: Option<Vec<IdentitySource>>,
    build: &mut Build<'_>,
) -> Option<CompiledRollout> {
    names::rollout(at.field("name"), raw.name);
    if let Some(salt) = &raw.salt {
        names::other(at.field("salt"), salt);
    }
    let salt = raw.salt.unwrap_or(raw.name);
    let versions = Versions::compile(at, raw.name, raw.target, raw.versions);
    let routes = versions.list.iter().any(|version| version.target.is_some());
    if routes && !build.headers.has(HeaderRole::Route) {
        let at_target = at.field("target");
        at_target.error("needs a header: name it in headers.route");
    }
    let stable = versions.find(at.field("stable"), raw.stable);
    let scopes = raw.scopes.map(|scopes| {
        let at = at.field("match");
        if scopes.is_empty() {
            at.error("is empty: leave it out to match every request");
        }
        scopes.each(at, |at, raw| scope::compile(at, &raw, build))
    });
    let rules = raw
        .rules
        .map(|rules| compile_rules(at.field("rules"), rules, salt, &versions, build));
    let hash = raw.hash.as_ref();
    let hash = hash.map(|hash| hash::compile(at, hash, &raw.strategy, build));
    let around = RolloutContext {
        rollout: raw.name,
        salt,
        stable: raw.stable,
        versions: &versions,
        hash: match &hash {
            Some(hash) => Some(hash.as_ref()?),
            None => None,
        },
    };
    let strategy = strategy::compile(at.field("strategy"), &raw.strategy, &around, build);
    let (strategy, ramp) = strategy.map_or((None, None), |(strategy, ramp)| (Some(strategy), ramp));
    let revision = raw.revision.unwrap_or_default();
    names::revision(at.field("revision"), revision);
    let attempt = format!("{}@{revision}", raw.name);
    let expose = raw
        .expose
        .as_ref()
        .map(|raw| expose(at.field("expose"), raw, attempt, build));
    let raw_name = raw.name;
    let sticky = raw.sticky.as_ref().map(|raw| {
        let of = (raw_name, salt, revision);
        cookies::sticky(at.field("sticky"), raw, of, strategy.as_ref(), build)
    });
    let mirror = raw
        .mirror
        .as_ref()
        .map(|raw| mirror::compile(at.field("mirror"), raw, salt, &versions, build));
    let ramps = strategy::ramps(&raw.strategy);
    let guardrail = raw
        .guardrail
        .as_ref()
        .map(|raw| guardrail::compile(at.field("guardrail"), raw, ramps));
    if guardrail.is_some() && versions.list.len() == 1 && versions.complete {
        let message = "needs a version other than stable";
        at.field("guardrail").error(message);
    }
    let plan = plan(
        revision,
        guardrail,
        ramp,
        raw.stable,
        strategy.as_ref(),
        &versions,
    );
    let metrics = metrics(at.field("metrics"), raw.metrics);
    let complete = versions.complete;
    let enabled = raw.enabled.unwrap_or(true);
    let rollout = Rollout {
        name: raw.name.into(),
        revision: revision.into(),
        enabled,
        watches_reach: enabled && routes && raw.unreachable.unwrap_or(true),
        metrics,
        stable: stable?,
        identity,
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
    attempt: String,
    build: &mut Build<'_>,
) -> Expose {
    let has_header = raw.group.is_some() || raw.id.is_some();
    if !has_header && raw.label.is_none() {
        at.error("has no header: write group, id, label or several of them");
    } else if !has_header && raw.response.is_some() {
        let message = "has no effect without group or id: leave it out";
        at.field("response").error(message);
    }
    let label = raw.label.as_ref();
    let label = label.and_then(|raw| {
        let at = at.field("label");
        build.headers.own_label(at, raw.header, raw.key)
    });
    let mut own =
        |field, name: Option<&str>, wanted| build.headers.own(at.field(field), name?, wanted);
    Expose {
        group: own("group", raw.group, HeaderUse::Group),
        id: own("id", raw.id, HeaderUse::Id),
        attempt: attempt.into(),
        label,
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
    let ramped = strategy.and_then(|strategy| strategy.behaviour().ramped_version());
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

fn metrics(at: Path<'_>, raw: Option<&str>) -> Metrics {
    match raw {
        None | Some("responses") => Metrics::Responses,
        Some("requests") => Metrics::Requests,
        Some("off") => Metrics::Off,
        Some(other) => {
            at.unknown_name(other, METRICS.into_iter());
            Metrics::Responses
        }
    }
}

fn compile_rules(
    at: Path<'_>,
    raw: Items<'_, spec::RuleSpec<'_>>,
    salt: &str,
    versions: &Versions,
    build: &mut Build<'_>,
) -> Vec<Rule> {
    let raw = raw.at_most(MAX_RULES, "rules", at);
    let mut seen = FxHashSet::default();
    raw.each(at, |at, rule| {
        names::other(at.field("name"), rule.name);
        unique(at.field("name"), rule.name, &mut seen);
        let when = condition::compile(at.field("when"), &rule.when, 0, build);
        let chosen = rule_versions(at, &rule, salt, versions, build);
        let percent = match rule.percent {
            Some(number) => {
                let share = percent(at.field("percent"), number);
                if share.is_none_or(|share| share.constant().is_none()) {
                    build.require_identity(at.field("percent"));
                }
                Some(Gate::new(Key::rule(salt, rule.name), share?))
            }
            None => None,
        };
        Some(Rule {
            when: when?,
            versions: chosen?,
            percent,
            name: rule.name.into(),
        })
    })
}

fn rule_versions(
    at: Path<'_>,
    rule: &spec::RuleSpec<'_>,
    salt: &str,
    versions: &Versions,
    build: &Build<'_>,
) -> Option<RuleVersions> {
    match (rule.version, rule.split) {
        (Some(name), None) => {
            let version = versions.find(at.field("use"), name);
            version.map(RuleVersions::Use)
        }
        (None, Some(raw)) => {
            let at = at.field("split");
            let split = Split::of_rule((salt, rule.name), strategy::arms(at, raw, versions)?)?;
            if split.constant().is_none() {
                build.require_identity(at);
            }
            Some(RuleVersions::Split(split))
        }
        (None, None) => {
            at.error("has no version: write use or split");
            None
        }
        (Some(_), Some(_)) => {
            at.error("has use and split: write one of them");
            None
        }
    }
}
