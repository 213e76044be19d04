//! What holds of every decision, whatever the policy and the request.

use divvy::decide::{self, Decision, Reason};
use divvy::output::{self, HeaderChange};
use divvy::policy::Policy;
use divvy::request::Request;

use crate::{Pair, text};

/// Decides a request that reaches the filter in either form, and asserts all that holds.
pub fn hold_for(policy: &Policy, headers: &[Pair<'_>]) -> Vec<Decision> {
    let block = text::block(headers);
    let read = Request::from_block(&policy.names, &block).expect("the block is well formed");
    let listed = Request::from_headers(&policy.names, headers.iter().copied());
    let decisions = hold(policy, &read);
    assert_eq!(decisions, decide::decide(policy, &listed), "block and list");

    // What a client sends in headers of divvy's has no say in anything.
    let owned = |name: &[u8]| policy.owned.iter().any(|own| own.name.as_bytes() == name);
    let honest = headers.iter().copied().filter(|(name, _)| !owned(name));
    let honest = Request::from_headers(&policy.names, honest);
    assert_eq!(decisions, decide::decide(policy, &honest), "forged headers");
    decisions
}

/// Decides, and asserts what holds of every decision and of what goes out.
pub fn hold(policy: &Policy, request: &Request<'_>) -> Vec<Decision> {
    let decisions = decide::decide(policy, request);
    assert_eq!(decisions, decide::decide(policy, request), "asked again");
    assert!(
        decisions.is_sorted_by(|a, b| a.rollout < b.rollout),
        "each rollout once, in order"
    );
    for decision in &decisions {
        of_decision(policy, decision);
    }
    let unread = decide::decide_unread(policy);
    for decision in &unread {
        of_decision(policy, decision);
        let rollout = policy.rollout(decision.rollout).expect("declared");
        assert_eq!(decision.version, rollout.stable);
        assert_eq!(decision.reason, Reason::Error);
    }
    of_route(policy, &decisions);
    of_assignment(policy, &decisions);
    of_changes(policy, request, &decisions);
    let blind: Vec<_> = output::blind_changes(policy, &unread).collect();
    assert_eq!(
        blind.len(),
        policy.owned.len(),
        "none of divvy's headers is left"
    );
    decisions
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
    let possible = decide::possible(rollout);
    assert!(
        possible.contains(&answer),
        "{answer:?} is not in {possible:?}"
    );
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
        assert_visible(route);
    }
}

/// It has a member for each decision, and could stand in any header.
fn of_assignment(policy: &Policy, decisions: &[Decision]) {
    let assignment = output::assignment(policy, decisions);
    assert_eq!(assignment.is_none(), decisions.is_empty());
    let assignment = assignment.unwrap_or_default();
    assert_visible(&assignment);
    let members: Vec<_> = assignment.split(", ").collect();
    for decision in decisions {
        let rollout = policy.rollout(decision.rollout).expect("declared");
        let version = rollout.version(decision.version).expect("declared");
        let member = format!("{};reason={}", version.member, decision.reason.name());
        assert!(
            members.contains(&&*member),
            "{member} is not in {assignment}"
        );
    }
}

/// Divvy's headers are replaced or removed, each once, and no others are touched.
fn of_changes(policy: &Policy, request: &Request<'_>, decisions: &[Decision]) {
    let mut touched = Vec::new();
    for change in output::request_changes(policy, request, decisions) {
        touched.push(match change {
            HeaderChange::Set(name, value) => {
                assert_visible(&value);
                name
            }
            HeaderChange::Remove(name) => name,
        });
    }
    for header in &policy.owned {
        let times = touched
            .iter()
            .filter(|name| **name == &*header.name)
            .count();
        assert!(times <= 1, "{} is changed twice", header.name);
        assert!(
            times == 1 || !request.has(header.id),
            "{} is left",
            header.name
        );
    }
    touched.retain(|name| policy.owned.iter().all(|header| &*header.name != *name));
    assert!(touched.is_empty(), "{touched:?} are not divvy's");
}

fn assert_visible(text: &str) {
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    assert!(visible, "{text:?} is no header value");
    assert_eq!(text.trim(), text, "proxies take white space off its ends");
}
