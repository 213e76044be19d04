//! Conditions: combinations and sources.

use crate::build::Build;
use crate::limits::MAX_DEPTH;
use crate::names;
use crate::operator;
use crate::registry::ClaimSpec;
use crate::spec::{self, Items, OperatorSpec};
use crate::values::{no_claim, only_true};
use divvy_core::condition::operator::{COMBINATIONS, SOURCES};
use divvy_core::condition::{Assigned, Condition, Source, ValueKind};
use divvy_json::error::Path;

const NOT_IN_MATCH: &str = "is not possible in match: which rollouts match is known before an \
                            identity is looked for and a rollout decides; use a rule";

/// Compiles a condition that is nested in `depth` others.
pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::ConditionSpec<'_>,
    depth: usize,
    build: &mut Build<'_>,
) -> Option<Condition> {
    if depth >= MAX_DEPTH {
        let message = format_args!("is nested too deeply: the maximum is {MAX_DEPTH} conditions");
        at.error(message);
        return None;
    }
    let deeper = depth.saturating_add(1);
    let mut whole: Vec<Option<Condition>> = Vec::new();
    if let Some(parts) = raw.all {
        let parts = list(at.field("all"), parts, deeper, build);
        whole.push(parts.map(Condition::All));
    }
    if let Some(parts) = raw.any {
        let parts = list(at.field("any"), parts, deeper, build);
        whole.push(parts.map(Condition::Any));
    }
    if let Some(inner) = &raw.not {
        let inner = compile(at.field("not"), inner, deeper, build);
        whole.push(inner.map(|inner| Condition::Not(Box::new(inner))));
    }
    if let Some(raw) = &raw.assigned {
        if build.in_match {
            at.field("assigned").error(NOT_IN_MATCH);
        }
        whole.push(assigned(at.field("assigned"), raw, build));
    }
    if raw.jwt_claim.is_none() {
        no_claim(at, raw.jwt_payload, raw.claim_type);
    }
    let (sources, operator) = sources(at, raw, build);
    match (whole.len(), sources.len()) {
        (1, 0) => {
            no_operator(at, operator);
            whole.pop().flatten()
        }
        (0, 1) => {
            let source = sources.into_iter().next().flatten();
            let kind = source.as_ref().map_or(ValueKind::Text, Source::kind);
            let matcher = operator::compile(at, operator, kind, build);
            Some(Condition::Leaf(source?, matcher?))
        }
        (0, 0) => {
            let fields = [&SOURCES[..], &COMBINATIONS].concat().join(", ");
            at.error(format_args!("has no source: write one of {fields}"));
            None
        }
        _ => {
            at.error("has several sources: combine conditions with all or any");
            None
        }
    }
}

fn list(
    at: Path<'_>,
    parts: Items<'_, spec::ConditionSpec<'_>>,
    depth: usize,
    build: &mut Build<'_>,
) -> Option<Vec<Condition>> {
    if parts.is_empty() {
        at.error("is empty");
        return None;
    }
    let parts = parts.each(at, |at, part| compile(at, &part, depth, build));
    Some(parts)
}

fn assigned(at: Path<'_>, raw: &spec::AssignedSpec<'_>, build: &Build<'_>) -> Option<Condition> {
    let place = at.field("rollout");
    let found = build.earlier.find(place, raw.rollout, build.has_trust);
    let at = at.field("version");
    let here = match found {
        Some(rollout) => Some((rollout.id, rollout.version(at, raw.version)?)),
        None if build.has_trust => {
            names::other(at, raw.version);
            None
        }
        None => return None,
    };
    Some(Condition::Assigned(Assigned {
        here,
        rollout: raw.rollout.into(),
        version: raw.version.into(),
    }))
}

fn no_operator(at: Path<'_>, operator: &OperatorSpec) {
    if let Some(given) = operator::given(operator).first() {
        at.field(given.name())
            .error("is an operator without a source");
    } else if operator.ignore_case.is_some() {
        at.field("ignoreCase")
            .error("has no effect here: leave it out");
    }
}

/// The sources of a condition, `None` for one with an error, and its operator.
fn sources<'t>(
    at: Path<'_>,
    raw: &'t spec::ConditionSpec<'t>,
    build: &mut Build<'_>,
) -> (Vec<Option<Source>>, &'t OperatorSpec<'t>) {
    let mut found = Vec::new();
    let headers = &mut build.headers;
    if let Some(name) = &raw.header {
        let id = headers.read(at.field("header"), name);
        found.push(id.map(Source::Header));
    }
    if let Some(name) = &raw.cookie {
        let id = headers.cookie(at.field("cookie"), name);
        found.push(id.map(Source::Cookie));
    }
    if let Some(key) = &raw.query {
        let id = headers.query(at.field("query"), key);
        found.push(id.map(Source::Query));
    }
    if let Some(label) = &raw.label {
        let id = headers.label(at.field("label"), label);
        found.push(id.map(Source::Label));
    }
    if let Some(path) = raw.jwt_claim {
        let raw = ClaimSpec {
            path,
            payload: raw.jwt_payload,
            kind: raw.claim_type,
        };
        let claim = headers.claim(at, raw);
        found.push(claim.map(|(id, _)| Source::Claim(id)));
    }
    if raw.identity.is_some() && build.in_match {
        at.field("identity").error(NOT_IN_MATCH);
    } else if raw.identity.is_some() {
        build.require_lasting_identity(at.field("identity"));
    }
    let flags = [
        ("path", raw.path, Source::Path),
        ("method", raw.method, Source::Method),
        ("host", raw.host, Source::Host),
        ("sourceIp", raw.source_ip, Source::SourceIp),
        ("peer", raw.peer, Source::Peer),
        ("identity", raw.identity, Source::Identity),
    ];
    for (field, flag, source) in flags {
        if let Some(flag) = flag {
            only_true(at.field(field), flag);
            found.push(Some(source));
        }
    }
    (found, &raw.operator)
}
