//! What holds of every decision, whatever the policy and the request.

use divvy::bucket::POSITIONS;
use divvy::decide::{self, Outcome};
use divvy::decision::{Decision, Reason};
use divvy::identity::{Identity, MAX_BYTES, Origin};
use divvy::output::{self, HeaderChange};
use divvy::policy::{HeaderRole, Policy, RolloutId};
use divvy::request::{Request, serialize_pairs};

use crate::Pair;
use crate::text::Told;

/// No host name is longer, in bytes, and a longer one belongs to nobody.
pub const LONGEST_HOST: usize = 255;

/// Decides a request that reaches the filter in either form, and asserts all that holds.
/// Lines that begin with `@` tell what is not in its headers.
pub fn hold_for(policy: &Policy, lines: &[Pair<'_>]) -> Vec<Decision> {
    let (told, headers) = Told::apart(lines);
    let block = serialize_pairs(&headers);
    let read = Request::from_block(&policy.names, &block).expect("the block is well formed");
    let read = read.with_environment(&told);
    let outcome = hold(policy, &read);

    let listed = Request::from_headers(&policy.names, headers.iter().copied());
    let listed = listed.with_environment(&told);
    assert_eq!(outcome, decide::decide(policy, &listed), "block and list");

    // What a client sends in headers of divvy's has no say in anything; what a proxy upstream
    // sends may have.
    if policy.inheritance.is_some() {
        return outcome.decisions.to_vec();
    }
    let owned = |name: &[u8]| {
        policy
            .reserved_headers
            .iter()
            .any(|own| own.name.as_bytes() == name)
    };
    let honest = headers.iter().copied().filter(|(name, _)| !owned(name));
    let honest = Request::from_headers(&policy.names, honest).with_environment(&told);
    assert_eq!(outcome, decide::decide(policy, &honest), "forged headers");
    outcome.decisions.to_vec()
}

/// Decides, and asserts what holds of every decision and of what goes out.
pub fn hold<'a>(policy: &'a Policy, request: &'a Request<'_>) -> Outcome<'a> {
    let outcome = decide::decide(policy, request);
    assert_eq!(outcome, decide::decide(policy, request), "asked again");
    of_scopes(policy, request, &outcome.decisions);
    for decision in &outcome.decisions {
        of_decision(policy, decision);
    }
    if let Some(identity) = &outcome.identity {
        of_identity(policy, identity);
    }
    of_route(policy, &outcome.decisions);
    of_assignment(policy, &outcome.decisions);
    of_changes(policy, request, &outcome);
    of_response(policy, &outcome.decisions);
    of_unread(policy);
    outcome
}

/// The shares of each rollout's versions are all of its users.
pub fn of_shares(policy: &Policy) {
    let all = policy.shares(&divvy::request::Empty);
    assert_eq!(all.len(), policy.rollouts.len());
    for (rollout, shares) in policy.rollouts.iter().zip(all) {
        let sum: u32 = shares.iter().map(|(_, share)| share.ppm()).sum();
        assert_eq!(sum, POSITIONS, "the shares of {}", rollout.name);
    }
}

/// The index finds what going through all rollouts would, in their order.
fn of_scopes(policy: &Policy, request: &Request<'_>, decisions: &[Decision]) {
    let asked: Vec<RolloutId> = decisions.iter().map(|decision| decision.rollout).collect();
    assert!(asked.is_sorted_by(|a, b| a < b), "each once, in order");
    if request.host().is_some_and(|host| host.len() > LONGEST_HOST) {
        return;
    }
    let looks = |id: RolloutId| {
        let mut scopes = policy.scopes.of(id).peekable();
        scopes.peek().is_none() || scopes.any(|scope| scope.contains(request))
    };
    let all = policy.numbered().map(|(id, _)| id);
    let meant: Vec<_> = all.filter(|id| looks(*id)).collect();
    assert_eq!(asked, meant);
}

/// It names what is declared, and its series was foreseen.
fn of_decision(policy: &Policy, decision: &Decision) {
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

/// It is trimmed, short enough, and somebody.
fn of_identity(policy: &Policy, identity: &Identity<'_>) {
    let bytes = &*identity.bytes;
    assert!(bytes.len() <= MAX_BYTES);
    if identity.origin == Origin::Given {
        assert_eq!(bytes.trim_ascii(), bytes);
        let mut ignored = policy.identification.ignored.iter();
        assert!(!ignored.any(|ignored| ignored.eq_ignore_ascii_case(bytes)));
    }
    if identity.origin == Origin::Random {
        assert!(bytes.len() == 32 && bytes.iter().all(u8::is_ascii_hexdigit));
    }
}

/// The route is a target of the first rollout with targets that looks at the request.
fn of_route(policy: &Policy, decisions: &[Decision]) {
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
            "{route} is no target"
        );
    }
}

/// It has a member for each decision.
fn of_assignment(policy: &Policy, decisions: &[Decision]) {
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

/// Divvy's headers are replaced or removed, each once, and no others are touched.
fn of_changes(policy: &Policy, request: &Request<'_>, outcome: &Outcome<'_>) {
    let identity = policy
        .written_headers
        .iter()
        .find(|(role, _)| *role == HeaderRole::Identity);
    let identity = identity.and_then(|(_, id)| policy.reserved_header(*id));
    let mut touched = Vec::new();
    output::change_request(policy, request, outcome, &mut Vec::new(), |change| {
        let (HeaderChange::Set(name, _) | HeaderChange::Remove(name)) = change;
        if let HeaderChange::Set(name, value) = &change {
            let theirs = identity.is_some_and(|header| &*header.name == *name);
            assert_sendable(value, theirs);
        }
        touched.push(name);
    });
    for header in &policy.reserved_headers {
        let times = touched
            .iter()
            .filter(|name| **name == &*header.name)
            .count();
        assert!(times <= 1, "{} is changed twice", header.name);
        let came = request.lines(header.id).next().is_some();
        assert!(times == 1 || !came, "{} is left", header.name);
    }
    touched.retain(|name| {
        policy
            .reserved_headers
            .iter()
            .all(|header| &*header.name != *name)
    });
    assert!(touched.is_empty(), "{touched:?} are not divvy's");
}

/// The client is told nothing but what the configuration says, in headers that it names.
fn of_response(policy: &Policy, decisions: &[Decision]) {
    output::change_response(policy, decisions, &mut Vec::new(), |change| match change {
        HeaderChange::Set(name, value) => {
            let shown = policy
                .reserved_headers
                .iter()
                .any(|header| &*header.name == name);
            assert!(
                shown || policy.response_header.as_deref() == Some(name),
                "{name}"
            );
            assert_sendable(value, false);
        }
        HeaderChange::Remove(name) => panic!("{name} is not divvy's to remove"),
    });
}

/// Where nothing can be read, all is stable, and none of divvy's headers is left.
fn of_unread(policy: &Policy) {
    let unread = decide::decide_unread(policy);
    for decision in &unread.decisions {
        of_decision(policy, decision);
        let rollout = policy.rollout(decision.rollout).expect("declared");
        assert_eq!(decision.version, rollout.stable);
        assert_eq!(decision.reason, Reason::Error);
    }
    let mut blind = 0;
    output::change_blindly(policy, &unread, |_| blind += 1);
    assert_eq!(blind, policy.reserved_headers.len());
}

/// A value that every proxy passes on as it is. An identity is the client's, whose bytes may
/// be those that no text has.
fn assert_sendable(value: &[u8], identity: bool) {
    let sound = |byte: &u8| matches!(byte, b' '..=b'~') || (identity && *byte >= 0x80);
    assert!(value.iter().all(sound), "{value:?} is no header value");
    assert_eq!(value.trim_ascii(), value, "white space at an end gets lost");
}
