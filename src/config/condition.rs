//! Conditions: combinations, sources, and the operators that belong to them.

use super::build::{Build, NotHere};
use super::error::{At, Errors};
use super::headers::RawClaim;
use super::operator::{self, Kind};
use super::shape::{self, Items, Operator};
use super::values::{no_claim, only_true};
use super::{MAX_DEPTH, names};
use crate::condition::{Assigned, Condition, Source};

/// Compiles a condition that stands `depth` others deep.
pub(super) fn compile(
    at: At<'_>,
    raw: &shape::Condition<'_>,
    depth: usize,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<Condition> {
    if depth >= MAX_DEPTH {
        let message = format_args!("conditions stand more than {MAX_DEPTH} deep in one another");
        errors.add(at, message);
        return None;
    }
    let deeper = depth.saturating_add(1);
    let mut whole: Vec<Option<Condition>> = Vec::new();
    if let Some(parts) = raw.all {
        let parts = list(at.field("all"), parts, deeper, build, errors);
        whole.push(parts.map(Condition::All));
    }
    if let Some(parts) = raw.any {
        let parts = list(at.field("any"), parts, deeper, build, errors);
        whole.push(parts.map(Condition::Any));
    }
    if let Some(inner) = &raw.not {
        let inner = compile(at.field("not"), inner, deeper, build, errors);
        whole.push(inner.map(|inner| Condition::Not(Box::new(inner))));
    }
    if let Some(raw) = &raw.assigned {
        whole.push(assigned(at.field("assigned"), raw, build, errors));
    }
    if raw.jwt_claim.is_none() {
        no_claim(at, raw.jwt_payload, raw.claim_type, errors);
    }
    let (sources, operator) = sources(at, raw, build, errors);
    match (whole.len(), sources.len()) {
        (1, 0) => {
            no_operator(at, operator, errors);
            whole.pop().flatten()
        }
        (0, 1) => {
            let source = sources.into_iter().next().flatten();
            let kind = source.as_ref().map_or(Kind::Text, kind_of);
            let test = operator::compile(at, operator, kind, build, errors);
            Some(Condition::Leaf(source?, test?))
        }
        (0, 0) => {
            errors.add(
                at,
                "names nothing to look at: header, cookie, query, label, jwtClaim, path, method, \
                 host, sourceIp, identity, assigned, all, any or not",
            );
            None
        }
        _ => {
            errors.add(
                at,
                "names several things to look at: combine conditions with all or any",
            );
            None
        }
    }
}

fn list(
    at: At<'_>,
    parts: Items<'_, shape::Condition<'_>>,
    depth: usize,
    build: &mut Build,
    errors: &mut Errors,
) -> Option<Vec<Condition>> {
    if parts.is_empty() {
        errors.add(at, "is empty");
        return None;
    }
    let parts = parts.each(at, errors, |at, part, errors| {
        compile(at, &part, depth, build, errors)
    });
    Some(parts)
}

fn assigned(
    at: At<'_>,
    raw: &shape::Assigned<'_>,
    build: &Build,
    errors: &mut Errors,
) -> Option<Condition> {
    let place = at.field("rollout");
    let found = build
        .earlier
        .find(place, raw.rollout, build.chained, errors);
    let at = at.field("version");
    let here = match found {
        Ok(rollout) => Some((rollout.id, rollout.version(at, raw.version, errors)?)),
        Err(NotHere) if build.chained => {
            names::other(at, raw.version, errors);
            None
        }
        Err(NotHere) => return None,
    };
    Some(Condition::Assigned(Assigned {
        here,
        rollout: raw.rollout.into(),
        version: raw.version.into(),
    }))
}

fn no_operator(at: At<'_>, operator: &Operator, errors: &mut Errors) {
    if let Some(given) = operator::given(operator).first() {
        errors.add(at.field(given), "this operator has no source to look at");
    } else if operator.ignore_case.is_some() {
        errors.add(at.field("ignoreCase"), "there is no text to compare here");
    }
}

/// The sources that are named, `None` for one with something wrong; and what they are held
/// against.
fn sources<'t>(
    at: At<'_>,
    raw: &'t shape::Condition<'t>,
    build: &mut Build,
    errors: &mut Errors,
) -> (Vec<Option<Source>>, &'t Operator<'t>) {
    let mut found = Vec::new();
    let headers = &mut build.headers;
    if let Some(name) = &raw.header {
        let id = headers.read(at.field("header"), name, errors);
        found.push(id.map(Source::Header));
    }
    if let Some(name) = &raw.cookie {
        let id = headers.cookie(at.field("cookie"), name, errors);
        found.push(id.map(Source::Cookie));
    }
    if let Some(key) = &raw.query {
        let id = headers.query(at.field("query"), key, errors);
        found.push(id.map(Source::Query));
    }
    if let Some(label) = &raw.label {
        let id = headers.label(at.field("label"), label, errors);
        found.push(id.map(Source::Label));
    }
    if let Some(path) = raw.jwt_claim {
        let raw = RawClaim {
            path,
            payload: raw.jwt_payload,
            kind: raw.claim_type,
        };
        let claim = headers.claim(at, raw, errors);
        found.push(claim.map(|(id, _)| Source::Claim(id)));
    }
    if raw.identity.is_some() {
        build.needs_somebody(at.field("identity"), errors);
    }
    let flags = [
        ("path", raw.path, Source::Path),
        ("method", raw.method, Source::Method),
        ("host", raw.host, Source::Host),
        ("sourceIp", raw.source_ip, Source::SourceIp),
        ("identity", raw.identity, Source::Identity),
    ];
    for (field, flag, source) in flags {
        if let Some(flag) = flag {
            only_true(at.field(field), flag, errors);
            found.push(Some(source));
        }
    }
    (found, &raw.operator)
}

const fn kind_of(source: &Source) -> Kind {
    match source {
        Source::Path => Kind::Path,
        Source::Host => Kind::Host,
        Source::Method => Kind::Method,
        Source::SourceIp => Kind::Address,
        _ => Kind::Text,
    }
}
