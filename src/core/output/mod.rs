//! The effects of decisions as values: header changes, cookies, names of metrics.
//!
//! Depends on `decide` and `policy`; must not depend on `filter`, which applies the changes.

mod cookies;
mod response;
mod series;
mod shared;
mod unit;

use cookies::{carry_minted, remove_overrides};
pub use cookies::{cookies, minted_cookie};
pub use response::change_response;
pub use series::{
    duration_series, guardrail_series, key_series, request_series, response_series, series,
    signature_series, waiting_series, weight_series,
};

use crate::assignment::{write_decision, write_member};
use crate::decide::Outcome;
use crate::decision::Decision;
use crate::identity::Origin;
use crate::policy::{HeaderRole, Policy, ReservedHeader, Version};
use crate::request::{HeaderId, Request};

/// A change to one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderChange<'p, 'v> {
    /// Replaces all lines of the header with this one.
    Set(&'p str, &'v [u8]),
    /// Removes all lines of the header.
    Remove(&'p str),
}

/// Passes the changes to a request's headers to `change`. Every reserved header that arrived is
/// replaced or removed, so that no client chooses a version by sending one; those in
/// [`Outcome::kept`] did not come from a client. `text` is a buffer
/// that requests share. Whether `baggage` has no room for the assignment.
pub fn change_request<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    text: &mut Vec<u8>,
    mut change: impl FnMut(HeaderChange<'p, '_>),
) -> bool {
    let carries = policy.features.sets_cookies && carry_minted(policy, request, outcome, text);
    if carries {
        change(HeaderChange::Set("cookie", text));
    }
    if let Some(overrides) = &policy.overrides {
        remove_overrides(overrides, request, text, carries, &mut change);
    }
    let mut arrived = request.header_ids();
    if arrived.any(|id| policy.reserved_header(id).is_some()) {
        replace(policy, request, outcome, text, &mut change);
    } else {
        set(policy, outcome, text, |_, made| change(made));
    }
    if policy.own_entries.is_empty() {
        return false;
    }
    shared::change(policy, request, outcome, text, change)
}

/// Sets headers, and removes the other reserved headers that arrived, unless an earlier filter of
/// the chain wrote them.
fn replace<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    text: &mut Vec<u8>,
    mut change: impl FnMut(HeaderChange<'p, '_>),
) {
    // A header that arrived in several lines is changed once.
    let mut changed: Vec<HeaderId> = Vec::new();
    set(policy, outcome, text, |id, made| {
        change(made);
        changed.push(id);
    });
    for id in request.header_ids() {
        if let Some(header) = policy.reserved_header(id)
            && !changed.contains(&id)
            && !outcome.kept.contains(&id)
        {
            change(HeaderChange::Remove(&header.name));
            changed.push(id);
        }
    }
}

/// Sets headers, with their numbers.
fn set<'p>(
    policy: &'p Policy,
    outcome: &Outcome<'_>,
    text: &mut Vec<u8>,
    mut change: impl FnMut(HeaderId, HeaderChange<'p, '_>),
) {
    let is_decided = !outcome.decisions.is_empty() || !outcome.forwarded.is_empty();
    if !is_decided && !policy.features.units {
        return;
    }
    for (role, id) in &policy.written_headers {
        // Those of an earlier filter stay; the assignment contains its decisions.
        if *role != HeaderRole::Assignment && outcome.kept.contains(id) {
            continue;
        }
        if let Some(header) = policy.reserved_header(*id)
            && let Some(value) = value(policy, outcome, *role, text)
        {
            change(*id, HeaderChange::Set(&header.name, value));
        }
    }
    if policy.features.exposes && !outcome.is_preflight {
        for shown in exposed(policy, &outcome.decisions) {
            if !outcome.kept.contains(&shown.id) {
                change(shown.id, HeaderChange::Set(shown.name, shown.text));
            }
        }
    }
}

/// The changes to a request whose headers cannot be read: every reserved header is set or
/// removed, whether or not it arrived. The route header is never set: the rollout that owns the
/// route is unknown, and the default route serves stable.
pub fn change_blindly<'p>(
    policy: &'p Policy,
    outcome: &Outcome<'_>,
    mut change: impl FnMut(HeaderChange<'p, '_>),
) {
    let exposed = exposed(policy, &outcome.decisions);
    for header in stripped(policy) {
        let mut written = policy.written_headers.iter();
        let role = written.find(|(role, id)| *id == header.id && *role != HeaderRole::Route);
        let mut text = Vec::new();
        let own = role.and_then(|(role, _)| value(policy, outcome, *role, &mut text));
        let shown = || exposed.iter().find(|shown| shown.id == header.id);
        change(match own.or_else(|| Some(shown()?.text)) {
            Some(value) => HeaderChange::Set(&header.name, value),
            None => HeaderChange::Remove(&header.name),
        });
    }
    shared::remove(policy, &mut change);
    remove_override_header(policy, change);
}

/// Removes the header with overrides, which clients may send.
fn remove_override_header<'p>(
    policy: &'p Policy,
    mut change: impl FnMut(HeaderChange<'p, 'static>),
) {
    let overrides = policy.overrides.as_ref();
    if let Some((_, name)) = overrides.and_then(|overrides| overrides.header.as_ref()) {
        change(HeaderChange::Remove(name));
    }
}

/// Removes every reserved header and every shared one, whether or not it is there.
pub fn strip<'p>(policy: &'p Policy, mut change: impl FnMut(HeaderChange<'p, 'static>)) {
    for header in stripped(policy) {
        change(HeaderChange::Remove(&header.name));
    }
    shared::remove(policy, &mut change);
    remove_override_header(policy, change);
}

/// The reserved headers that clients may not send.
pub fn stripped(policy: &Policy) -> impl Iterator<Item = &ReservedHeader> {
    let headers = policy.reserved_headers.iter();
    headers.filter(|header| !header.is_input)
}

/// The value of a reserved header, if it has one for this outcome. `text` is a buffer for it.
fn value<'v>(
    policy: &'v Policy,
    outcome: &'v Outcome<'_>,
    role: HeaderRole,
    text: &'v mut Vec<u8>,
) -> Option<&'v [u8]> {
    match role {
        HeaderRole::Route => Some(route(policy, &outcome.decisions)?.as_bytes()),
        HeaderRole::Assignment => {
            text.clear();
            whole_assignment(policy, outcome, text);
            (!text.is_empty()).then_some(text)
        }
        HeaderRole::Mirror => Some(mirror(policy, outcome)?.as_bytes()),
        HeaderRole::Identity => identity(policy, outcome),
        HeaderRole::Unit => {
            text.clear();
            unit::write(policy, outcome, text);
            (!text.is_empty()).then_some(text)
        }
    }
}

/// A header of one rollout.
struct ExposedHeader<'p> {
    id: HeaderId,
    name: &'p str,
    text: &'p [u8],
    /// Whether the response gets it as well.
    response: bool,
}

/// The headers that rollouts expose. If several share a header, the first that decides sets it.
fn exposed<'p>(policy: &'p Policy, decisions: &[Decision]) -> Vec<ExposedHeader<'p>> {
    let mut all: Vec<ExposedHeader<'p>> = Vec::new();
    for decision in decisions {
        let rollout = policy.rollout(decision.rollout);
        let Some(expose) = rollout.and_then(|rollout| rollout.expose.as_ref()) else {
            continue;
        };
        let version = version(policy, decision).map_or("", |version| &version.name);
        for (id, text) in [(expose.group, version), (expose.id, &expose.attempt)] {
            let Some(id) = id.filter(|id| all.iter().all(|shown| shown.id != *id)) else {
                continue;
            };
            all.extend(policy.reserved_header(id).map(|header| ExposedHeader {
                id,
                name: &header.name,
                text: text.as_bytes(),
                response: expose.response,
            }));
        }
    }
    all
}

/// The identity, if a header can carry it: one that a client or a token gave or that was minted,
/// without control characters, which a query parameter can contain. Where a rollout has identity
/// sources of its own, that of the rollout that owns the route.
fn identity<'o>(policy: &Policy, outcome: &'o Outcome<'_>) -> Option<&'o [u8]> {
    let owner = if policy.features.own_identities {
        policy.route_owner(&outcome.decisions)
    } else {
        None
    };
    let identity = match owner {
        Some(owner) => outcome.identity_of(policy, owner.rollout)?,
        None => outcome.identity.as_ref()?,
    };
    let given = matches!(identity.origin, Origin::Given | Origin::Minted);
    let is_valid = given && !identity.bytes.iter().any(u8::is_ascii_control);
    is_valid.then_some(&*identity.bytes)
}

/// The value of the route header.
pub fn route<'p>(policy: &'p Policy, decisions: &[Decision]) -> Option<&'p str> {
    version(policy, policy.route_owner(decisions)?)?
        .target
        .as_deref()
}

/// The value of the mirror header.
fn mirror<'p>(policy: &'p Policy, outcome: &Outcome<'_>) -> Option<&'p str> {
    let (rollout, version) = outcome.mirror?;
    let version = policy.rollout(rollout)?.version(version)?;
    version.target.as_deref()
}

/// Writes the assignment with the forwarded members of upstream proxies. A forwarded member
/// replaces the decision about the same rollout, which does not have that version.
fn whole_assignment(policy: &Policy, outcome: &Outcome<'_>, text: &mut Vec<u8>) {
    let forwarded = &outcome.forwarded;
    if forwarded.is_empty() {
        return join(policy, outcome.decisions.iter(), text);
    }
    let replaced = |decision: &&Decision| {
        let rollout = policy.rollout(decision.rollout);
        rollout.is_some_and(|rollout| forwarded.iter().any(|member| member.key == rollout.name))
    };
    let decisions = outcome.decisions.iter();
    join(
        policy,
        decisions.filter(|decision| !replaced(decision)),
        text,
    );
    for member in forwarded {
        write_member(text, &member.text);
    }
}

/// The value of the assignment header for these decisions; `None` if there are none.
pub fn assignment(policy: &Policy, decisions: &[Decision]) -> Option<String> {
    let mut text = Vec::new();
    join(policy, decisions.iter(), &mut text);
    let text = String::from_utf8(text).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Appends a member for each decision.
fn join<'d>(policy: &Policy, decisions: impl Iterator<Item = &'d Decision>, text: &mut Vec<u8>) {
    for decision in decisions {
        let Some(version) = version(policy, decision) else {
            continue;
        };
        write_decision(text, &version.member, decision.reason, decision.upstream);
    }
}

fn version<'p>(policy: &'p Policy, decision: &Decision) -> Option<&'p Version> {
    policy.rollout(decision.rollout)?.version(decision.version)
}
