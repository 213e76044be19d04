//! Assertions on every decision, for any policy and any request.

use divvy::assignment::baggage;
use divvy::bucket::POSITIONS;
use divvy::decide::{self, Outcome};
use divvy::decision::{Decision, Reason};
use divvy::identity::{Identity, MAX_BYTES, Origin};
use divvy::output::{self, HeaderChange};
use divvy::policy::{EntryForm, HeaderRole, OwnEntry, Policy, RolloutId};
use divvy::request::{Request, serialize_pairs};

use crate::Pair;
use crate::text::Properties;

/// Maximum bytes of a host name. A longer one matches no rollout.
pub const LONGEST_HOST: usize = 255;

/// Decides a request read from a header block and from a list of pairs, with all assertions.
/// Lines that begin with `@` are properties of the stream.
pub fn check_lines(policy: &Policy, lines: &[Pair<'_>]) -> Vec<Decision> {
    let (properties, headers) = Properties::split(lines);
    let block = serialize_pairs(&headers);
    let read = Request::from_block(&policy.names, &block).expect("the block is well formed");
    let read = read.with_environment(&properties);
    let outcome = check(policy, &read);

    let listed = Request::from_headers(&policy.names, headers.iter().copied());
    let listed = listed.with_environment(&properties);
    assert_eq!(outcome, decide::decide(policy, &listed), "block and list");

    // Without inheritance, reserved headers of a request change nothing.
    if policy.inheritance.is_some() {
        return outcome.decisions.to_vec();
    }
    let owned = |name: &[u8]| output::stripped(policy).any(|own| own.name.as_bytes() == name);
    let honest = headers.iter().copied().filter(|(name, _)| !owned(name));
    let honest = Request::from_headers(&policy.names, honest).with_environment(&properties);
    assert_eq!(outcome, decide::decide(policy, &honest), "forged headers");
    outcome.decisions.to_vec()
}

/// Decides, with the assertions on the decisions and on the header changes.
pub fn check<'a>(policy: &'a Policy, request: &'a Request<'_>) -> Outcome<'a> {
    let outcome = decide::decide(policy, request);
    assert_eq!(outcome, decide::decide(policy, request), "decided again");
    check_scopes(policy, request, &outcome.decisions);
    for decision in &outcome.decisions {
        check_decision(policy, decision);
    }
    let own = outcome.own_identities.iter().map(|(_, identity)| identity);
    for identity in outcome.identity.iter().chain(own) {
        check_identity(policy, identity);
    }
    for (rollout, identity) in &outcome.own_identities {
        assert_ne!(identity.origin, Origin::Minted);
        assert!(
            policy
                .rollout(*rollout)
                .is_some_and(|own| own.identity.is_some())
        );
    }
    check_route(policy, &outcome.decisions);
    check_assignment(policy, &outcome.decisions);
    check_request_changes(policy, request, &outcome);
    check_response_changes(policy, &outcome.decisions);
    check_unreadable(policy);
    outcome
}

/// The shares of the versions of each rollout add up to all users.
pub fn check_shares(policy: &Policy) {
    let all = policy.shares(&divvy::request::Empty);
    assert_eq!(all.len(), policy.rollouts.len());
    for (rollout, shares) in policy.rollouts.iter().zip(all) {
        let sum: u32 = shares.iter().map(|(_, share)| share.ppm()).sum();
        assert_eq!(sum, POSITIONS, "the shares of {}", rollout.name);
    }
}

/// The index finds the rollouts that a search through all of them finds, in their order.
fn check_scopes(policy: &Policy, request: &Request<'_>, decisions: &[Decision]) {
    let found: Vec<RolloutId> = decisions.iter().map(|decision| decision.rollout).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "each once, in order");
    if request.host().is_some_and(|host| host.len() > LONGEST_HOST) {
        return;
    }
    let matches = |id: RolloutId| {
        let mut scopes = policy.scopes.of(id).peekable();
        scopes.peek().is_none() || scopes.any(|scope| scope.contains(request))
    };
    let all = policy.numbered().map(|(id, _)| id);
    let expected: Vec<_> = all.filter(|id| matches(*id)).collect();
    assert_eq!(found, expected);
}

/// Rollout and version are declared, and the answer is one of the possible ones.
fn check_decision(policy: &Policy, decision: &Decision) {
    let rollout = policy
        .rollout(decision.rollout)
        .expect("a declared rollout");
    assert!(
        rollout.version(decision.version).is_some(),
        "a declared version"
    );
    let answer = (decision.version, decision.reason);
    let possible = decide::possible(policy, rollout);
    assert!(
        possible.contains(&answer),
        "{answer:?} is not in {possible:?}"
    );
}

/// The identity is trimmed, at most [`MAX_BYTES`] long and not an ignored one.
fn check_identity(policy: &Policy, identity: &Identity<'_>) {
    let bytes = &*identity.bytes;
    assert!(bytes.len() <= MAX_BYTES);
    if identity.origin == Origin::Given {
        assert_eq!(bytes.trim_ascii(), bytes);
        let mut ignored = policy.ignored_identities.iter();
        assert!(!ignored.any(|ignored| ignored.eq_ignore_ascii_case(bytes)));
    }
    if identity.origin == Origin::Random {
        assert!(bytes.len() == 32 && bytes.iter().all(u8::is_ascii_hexdigit));
    }
}

/// The route is a target of the first rollout with targets that matches the request.
fn check_route(policy: &Policy, decisions: &[Decision]) {
    let mut rollouts = decisions
        .iter()
        .filter_map(|decision| policy.rollout(decision.rollout));
    let owner = rollouts.find(|rollout| rollout.routes);
    let route = output::route(policy, decisions);
    assert_eq!(route.is_some(), owner.is_some());
    if let (Some(route), Some(owner)) = (route, owner) {
        let mut targets = owner
            .versions
            .iter()
            .filter_map(|version| version.target.as_deref());
        assert!(
            targets.any(|target| target == route),
            "{route} is not a target"
        );
    }
}

/// The assignment has a member for each decision.
fn check_assignment(policy: &Policy, decisions: &[Decision]) {
    let assignment = output::assignment(policy, decisions);
    assert_eq!(assignment.is_none(), decisions.is_empty());
    let assignment = assignment.unwrap_or_default();
    let members: Vec<_> = assignment.split(", ").collect();
    for decision in decisions {
        let rollout = policy.rollout(decision.rollout).expect("declared");
        let version = rollout.version(decision.version).expect("declared");
        let member = format!("{}{}", version.member, decision.reason.name());
        let upstream = decision.upstream.map(|reason| reason.name());
        let whole = match upstream {
            Some(reason) => format!("{member};upstream={reason}"),
            None => member,
        };
        assert!(members.contains(&&*whole), "{whole} is not in {assignment}");
    }
}

/// Each reserved header is set or removed at most once; no other header is changed.
fn check_request_changes(policy: &Policy, request: &Request<'_>, outcome: &Outcome<'_>) {
    let identity = policy
        .written_headers
        .iter()
        .find(|(role, _)| *role == HeaderRole::Identity);
    let identity = identity.and_then(|(_, id)| policy.reserved_header(*id));
    let mut changed = Vec::new();
    let mut shared_changes = Vec::new();
    output::change_request(policy, request, outcome, &mut Vec::new(), |change| {
        let (HeaderChange::Set(name, _) | HeaderChange::Remove(name)) = change;
        if name == "cookie" {
            check_cookies(policy, outcome, &change);
            return;
        }
        if let Some(overrides) = &policy.overrides {
            // An override does not reach the application.
            let of_header = overrides.header.as_ref();
            if of_header.is_some_and(|(_, of)| &**of == name) {
                assert!(matches!(change, HeaderChange::Remove(_)), "{name} is set");
                return;
            }
            if name == ":path" {
                assert!(overrides.query.is_some(), "the path changes");
                return;
            }
        }
        if policy
            .own_entries
            .iter()
            .any(|entry| entry.header_name() == name)
        {
            shared_changes.push(change_of(change));
            return;
        }
        if let HeaderChange::Set(name, value) = &change {
            let is_identity = identity.is_some_and(|header| &*header.name == *name);
            assert_sendable(value, is_identity);
        }
        changed.push(name);
    });
    for header in &policy.reserved_headers {
        let times = changed
            .iter()
            .filter(|name| **name == &*header.name)
            .count();
        assert!(times <= 1, "{} is changed twice", header.name);
        let present = request.lines(header.id).next().is_some();
        let kept = header.is_input && outcome.kept.contains(&header.id);
        assert!(times == 1 || !present || kept, "{} is left", header.name);
    }
    for entries in policy
        .own_entries
        .chunk_by(|one, next| one.header == next.header)
    {
        let name = entries[0].header_name();
        let changes = shared_changes.iter().filter(|(header, _)| *header == name);
        let changes: Vec<_> = changes.map(|(_, value)| value.as_deref()).collect();
        check_shared(entries, request, &changes);
    }
    changed.retain(|name| {
        policy
            .reserved_headers
            .iter()
            .all(|header| &*header.name != *name)
    });
    assert!(changed.is_empty(), "{changed:?} are not reserved headers");
}

/// A minted identity goes upstream in front of the cookies that arrived; the cookie of overrides does not.
fn check_cookies(policy: &Policy, outcome: &Outcome<'_>, change: &HeaderChange<'_, '_>) {
    let overrides = policy.overrides.as_ref();
    let of_cookie = overrides.and_then(|overrides| overrides.cookie.as_ref());
    match (output::minted_cookie(policy, outcome), change) {
        (Some(minted), HeaderChange::Set(_, value)) => {
            let pair = minted.split(';').next().unwrap_or_default();
            assert!(value.starts_with(pair.as_bytes()), "{minted}");
        }
        (Some(minted), HeaderChange::Remove(_)) => panic!("{minted} is removed"),
        (None, _) => assert!(of_cookie.is_some(), "the cookies change"),
    }
}

fn change_of<'p>(change: HeaderChange<'p, '_>) -> (&'p str, Option<Vec<u8>>) {
    match change {
        HeaderChange::Set(name, value) => (name, Some(value.to_vec())),
        HeaderChange::Remove(name) => (name, None),
    }
}

/// A shared header keeps the entries of others in their order, and has at most one of each key of
/// divvy's own.
fn check_shared(entries: &[OwnEntry], request: &Request<'_>, changes: &[Option<&[u8]>]) {
    let (header, name, form) = (entries[0].header, entries[0].header_name(), entries[0].form);
    assert!(changes.len() <= 1, "{name} is changed twice");
    let separator = match form {
        EntryForm::Labels => b';',
        EntryForm::Baggage => b',',
    };
    let own = |part: &&[u8]| {
        entries.iter().any(|entry| match form {
            EntryForm::Labels => {
                let mut sides = part.splitn(2, |byte| *byte == b'=');
                let key = sides.next().unwrap_or_default().trim_ascii();
                sides.next().is_some() && key == entry.key().as_bytes()
            }
            EntryForm::Baggage => baggage::is_named(part, entry.key()),
        })
    };
    let parts = |line: &[u8]| -> Vec<Vec<u8>> {
        let parts = line.split(|byte| *byte == separator);
        parts
            .filter(|part| !own(part))
            .map(|part| part.trim_ascii().to_vec())
            .collect()
    };
    let filled = |parts: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    };
    let before: Vec<_> = request.lines(header).flat_map(parts).collect();
    let Some(change) = changes.first() else {
        let mut lines = request.lines(header);
        let forged = lines.any(|line| line.split(|byte| *byte == separator).any(|part| own(&part)));
        assert!(!forged, "{name} has an entry of a client");
        return;
    };
    let line = change.unwrap_or_default();
    assert_eq!(filled(parts(line)), filled(before), "{name}");
    let written = line.split(|byte| *byte == separator).filter(own);
    let count = written.count();
    assert!(count <= entries.len(), "{count} entries");
    assert_eq!(line.trim_ascii(), line, "white space at either end");
    if form == EntryForm::Baggage && count > 0 {
        assert!(line.len() <= divvy::assignment::MAX_BYTES);
    }
}

/// Each response header that the configuration names is set or removed, and no other.
fn check_response_changes(policy: &Policy, decisions: &[Decision]) {
    let mut changed = Vec::new();
    let alone = |_: &str| None;
    output::change_response(policy, decisions, true, &mut Vec::new(), alone, |change| {
        changed.push(match change {
            HeaderChange::Set(name, value) => {
                assert_sendable(value, false);
                name
            }
            HeaderChange::Remove(name) => name,
        });
    });
    let names = policy.response_headers.iter().map(|name| &**name);
    assert_eq!(changed, names.collect::<Vec<_>>());
}

/// An unreadable request gets stable of each rollout and loses all reserved headers.
fn check_unreadable(policy: &Policy) {
    let outcome = decide::decide_unread(policy);
    for decision in &outcome.decisions {
        check_decision(policy, decision);
        let rollout = policy.rollout(decision.rollout).expect("declared");
        assert_eq!(decision.version, rollout.stable);
        assert_eq!(decision.reason, Reason::Error);
    }
    let mut changes = 0;
    output::change_blindly(policy, &outcome, |_| changes += 1);
    let overrides = policy.overrides.as_ref();
    let of_header = overrides.is_some_and(|overrides| overrides.header.is_some());
    let own = policy.own_entries.len() + usize::from(of_header);
    assert_eq!(changes, output::stripped(policy).count() + own);
}

/// A header value that every proxy passes on unchanged. An identity comes from the client and
/// may contain bytes from 0x80.
fn assert_sendable(value: &[u8], identity: bool) {
    let allowed = |byte: &u8| matches!(byte, b' '..=b'~') || (identity && *byte >= 0x80);
    assert!(value.iter().all(allowed), "{value:?} is not a header value");
    assert_eq!(value.trim_ascii(), value, "white space at either end");
}
