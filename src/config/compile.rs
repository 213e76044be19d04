//! The whole configuration: identity, headers, and the list of rollouts.

use rustc_hash::FxHashSet;

use crate::build::{Build, IdentityKind};
use crate::limits::{MAX_ROLLOUTS, MAX_UNITS};
use crate::read::{self, Read};
use crate::registry::{HeaderUse, Registry};
use crate::rollout::CompiledRollout;
use crate::spec::{self, Items};
use crate::{identity, names, overrides, rollout, trust, values};
use divvy_core::identity::IgnoredValues;
use divvy_core::policy::scope::ScopeIndex;
use divvy_core::policy::{Features, HeaderRole, Policy, Rollout};
use divvy_core::signature::KeyRing;
use divvy_json::Tree;
use divvy_json::error::Path;

/// Compiles a configuration; `None` if a top-level field does not fit. The lists are then read by
/// themselves, to report their errors too.
pub(crate) fn compile(root: Path<'_>, tree: &Tree<'_>, keys: &KeyRing) -> Option<Policy> {
    if let Some(config) = read::read(tree, root) {
        return Some(compile_config(root, config, (tree, keys), true));
    }
    let lists = spec::ConfigSpec {
        version: None,
        identity: list(tree.get("identity")),
        ignore_identities: None,
        trust: None,
        holdout: None,
        headers: None,
        response_header: None,
        overrides: None,
        overrides_after: None,
        rollouts: list(tree.get("rollouts")),
    };
    compile_config(root, lists, (tree, keys), false);
    None
}

fn list<'t, T: Read<'t>>(value: Option<&'t Tree<'t>>) -> Option<T> {
    read::read(value?, Path::SILENT)
}

/// `whole` is false if only the lists could be read: then an absent field is not an error.
fn compile_config(
    root: Path<'_>,
    config: spec::ConfigSpec<'_>,
    (tree, keys): (&Tree<'_>, &KeyRing),
    whole: bool,
) -> Policy {
    let registry = Registry::new(root.field("headers"), config.headers);
    let mut build = Build::new(registry, keys, root);
    build.headers.own_all(tree);
    let response_header = config.response_header.and_then(|name| {
        let at = root.field("responseHeader");
        let name = names::own_header(at, name)?;
        if matches!(
            build.headers.find(&name),
            Some((_, HeaderUse::Group | HeaderUse::Id))
        ) {
            at.error(format_args!("{name:?} already has another purpose"));
        }
        Some(name)
    });
    let overrides = overrides::compile(
        root,
        config.overrides.as_ref(),
        config.overrides_after,
        &mut build,
    );
    let (identity, mint) = identity::sources(root.field("identity"), config.identity, &mut build);
    let ignored_identities = IgnoredValues::new(identity::ignored(
        root.field("ignoreIdentities"),
        config.ignore_identities,
    ));
    build.minted = mint.as_ref().map(|mint| mint.identities.clone());
    build.has_trust = config.trust.is_some() || !whole;
    let inheritance = trust::compile(root.field("trust"), config.trust, &build);
    if !whole {
        build.identity = IdentityKind::Lasting;
    }
    build.has_holdout = config.holdout.is_some() || !whole;
    build.holdout = identity::holdout(root.field("holdout"), config.holdout);
    let (rollouts, scopes) = rollouts(root.field("rollouts"), config.rollouts, &mut build);
    let written_headers = build.headers.written_headers();
    let identity_input = build.headers.identity_input();
    let has_unit = build.headers.written(HeaderRole::Unit).is_some();
    let own_identities = rollouts.iter().filter(|rollout| rollout.identity.is_some());
    let own_identities = own_identities.count();
    if has_unit && own_identities > MAX_UNITS {
        let message = format_args!(
            "has a part for each rollout with an identity of its own, and {own_identities} have one: \
             the maximum is {MAX_UNITS}"
        );
        root.field("headers").field("unit").error(message);
    }
    let unit = has_unit.then(|| build.unit_hash());
    let headers = build.headers;
    let reserved_headers = headers.owned;
    let mut response_headers: Vec<Box<str>> = Vec::new();
    response_headers.extend(response_header.as_deref().map(Into::into));
    for expose in rollouts
        .iter()
        .filter_map(|rollout| rollout.expose.as_ref())
    {
        for id in [expose.group, expose.id].into_iter().flatten() {
            let own = id.own_index().and_then(|index| reserved_headers.get(index));
            if let Some(header) = own.filter(|_| expose.response)
                && !response_headers.contains(&header.name)
            {
                response_headers.push(header.name.clone());
            }
        }
    }
    let features = Features::of(
        &rollouts,
        mint.as_ref(),
        unit.is_some(),
        identity_input.is_some(),
    );
    Policy {
        fingerprint: 0,
        version: config.version.unwrap_or_default().into(),
        identity,
        ignored_identities,
        mint,
        overrides,
        inheritance,
        reserved_headers,
        written_headers,
        identity_input,
        unit,
        own_entries: headers.shared,
        response_header: response_header.map(Into::into),
        response_headers,
        names: headers.names,
        rollouts,
        scopes,
        features,
    }
}

fn rollouts(
    at: Path<'_>,
    list: Option<Items<'_, spec::RolloutSpec<'_>>>,
    build: &mut Build<'_>,
) -> (Vec<Rollout>, ScopeIndex) {
    let mut index = ScopeIndex::default();
    let Some(list) = list else {
        return (Vec::new(), index);
    };
    let list = list.at_most(MAX_ROLLOUTS, "rollouts", at);
    let mut seen = FxHashSet::default();
    let rollouts = list.each(at, |at, raw| {
        values::unique(at.field("name"), raw.name, &mut seen);
        let name = raw.name;
        let id = build.earlier.next();
        build.earlier.has_gaps = at.last_index() > Some(usize::from(id.0));
        let compiled = rollout::compile(at, &raw, build);
        let sound = compiled.as_ref().filter(|compiled| compiled.complete);
        let versions = sound.map(|compiled| {
            let versions = compiled.rollout.versions.iter();
            versions.map(|version| version.name.clone()).collect()
        });
        build.earlier.add(name, versions);
        let CompiledRollout {
            rollout, scopes, ..
        } = compiled?;
        index.add(id, scopes);
        Some(rollout)
    });
    (rollouts, index)
}
