//! The strategy `weighted` and rules with `split`: shares, movement, sticky cookies and rollbacks.
//! All names are fixed: the numbers are the same in every run.
use std::collections::BTreeMap;
use std::rc::Rc;

use divvy::decide::decide;
use divvy::decision::{Decision, Reason, RolloutId};
use divvy::guardrail::evidence::Tally;
use divvy::guardrail::{Arm, Local, Plan, State};
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use serde_json::{Value, json};

use crate::compile::policy;

const USERS: usize = 100_000;

/// Weights of v1, v2 and v3.
type Weights = [u32; 3];

fn arms(weights: Weights) -> Value {
    let arms = ["v1", "v2", "v3"].into_iter().zip(weights);
    arms.map(|(version, weight)| json!({"version": version, "weight": weight}))
        .collect()
}

fn config(fields: &Value) -> Value {
    let mut rollout = json!({
        "name": "checkout",
        "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}],
        "stable": "v1",
        "strategy": {"blueGreen": {"active": "v1"}},
    });
    let object = rollout.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]})
}

fn weighted(weights: Weights) -> Policy {
    policy(&config(&json!({"strategy": {"weighted": arms(weights)}})))
}

/// A rule that splits every request that has a header.
fn rule(name: &str, weights: Weights) -> Policy {
    let when = json!({"header": "x-user-id", "present": true});
    let rule = json!({"name": name, "when": when, "split": arms(weights)});
    policy(&config(&json!({"rules": [rule]})))
}

fn decision(policy: &Policy, headers: &[(&str, &str)]) -> Decision {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let request = Request::from_headers(&policy.names, headers);
    decide(policy, &request).decisions[0]
}

/// The version of each user.
fn versions(policy: &Policy, reason: Reason) -> Vec<u8> {
    let version = |user: usize| {
        let decision = decision(policy, &[("x-user-id", &format!("user-{user}"))]);
        assert_eq!(decision.reason, reason, "user-{user}");
        decision.version.0 as u8
    };
    (0..USERS).map(version).collect()
}

fn assert_shares(versions: &[u8], weights: Weights, what: &str) {
    let sum: u32 = weights.iter().sum();
    for (number, weight) in (0..).zip(weights) {
        let share = f64::from(weight) / f64::from(sum);
        let expected = share * versions.len() as f64;
        let error = (expected * (1.0 - share)).sqrt();
        let found = versions.iter().filter(|version| **version == number);
        let off = (found.count() as f64 - expected) / error.max(1.0);
        assert!(
            off.abs() < 4.0,
            "{what}: v{} is {off} errors off",
            number + 1
        );
    }
}

/// The smallest number of users that can move: those whom the growing versions gain.
fn fewest(was: &[u8], is: &[u8]) -> usize {
    let count = |versions: &[u8], number| versions.iter().filter(|one| **one == number).count();
    let gain = |number| count(is, number).saturating_sub(count(was, number));
    (0..3).map(gain).sum()
}

#[test]
fn the_shares_of_a_hundred_thousand_users_are_the_weights() {
    for weights in [[80, 15, 5], [1, 1, 1], [0, 999, 1]] {
        let split = versions(&weighted(weights), Reason::Split);
        assert_shares(&split, weights, "weighted");
        let forced = versions(&rule("r", weights), Reason::Rule);
        assert_shares(&forced, weights, "a rule");
    }
}

/// The ratio of the users who move to the smallest number that can.
fn movement(before: Weights, after: Weights) -> [f64; 2] {
    let weighted = [before, after].map(|weights| versions(&weighted(weights), Reason::Split));
    let rule = [before, after].map(|weights| versions(&rule("r", weights), Reason::Rule));
    [weighted, rule].map(|[was, is]| {
        let moved = was.iter().zip(&is).filter(|(was, is)| was != is).count();
        moved as f64 / fewest(&was, &is) as f64
    })
}

#[test]
fn a_changed_weight_moves_at_most_a_twentieth_more_users_than_the_minimum() {
    for (before, after) in [
        ([80, 15, 5], [80, 15, 15]),
        ([80, 15, 15], [80, 15, 5]),
        ([80, 15, 5], [80, 15, 0]),
        ([80, 15, 5], [40, 15, 5]),
        ([1, 0, 0], [80, 15, 5]),
        ([80, 15, 5], [0, 15, 5]),
    ] {
        for ratio in movement(before, after) {
            assert!(ratio <= 1.05, "{before:?} → {after:?}: {ratio}");
        }
    }
}

/// A version whose weight falls loses users to all others, also to those that do not grow.
#[test]
fn two_weights_that_change_at_once_move_a_few_users_more() {
    for (before, after) in [([80, 15, 5], [70, 15, 15]), ([70, 15, 15], [80, 15, 5])] {
        for ratio in movement(before, after) {
            assert!(
                (1.05..1.2).contains(&ratio),
                "{before:?} → {after:?}: {ratio}"
            );
        }
    }
}

#[test]
fn the_order_of_the_list_and_a_common_factor_have_no_effect() {
    let one = versions(&weighted([80, 15, 5]), Reason::Split);
    let factor = versions(&weighted([160, 30, 10]), Reason::Split);
    assert!(one == factor, "a factor moves users");
    let mut list = arms([80, 15, 5]);
    list.as_array_mut().unwrap().reverse();
    let reversed = policy(&config(&json!({"strategy": {"weighted": list}})));
    assert!(
        one == versions(&reversed, Reason::Split),
        "the order moves users"
    );
}

#[test]
fn it_assigns_users_as_an_ab_test_of_the_same_weights_does() {
    let test = json!({"strategy": {"abTest": {"split": arms([80, 15, 5])}}});
    let test = versions(&policy(&config(&test)), Reason::Split);
    assert!(versions(&weighted([80, 15, 5]), Reason::Split) == test);
}

#[test]
fn a_rule_splits_independently_of_the_strategy_and_of_other_rules() {
    let splits = [
        versions(&weighted([1, 1, 0]), Reason::Split),
        versions(&rule("a", [1, 1, 0]), Reason::Rule),
        versions(&rule("b", [1, 1, 0]), Reason::Rule),
    ];
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let pairs = splits[one].iter().zip(&splits[other]);
        let same = pairs.filter(|(one, other)| one == other).count() as f64;
        // Half of them by chance, with a standard error of 158.
        let half = USERS as f64 / 2.0;
        assert!((same - half).abs() < 4.0 * 158.2, "{same}");
    }
}

/// Random bits that depend on the request.
#[derive(Debug)]
struct Drawing(u64);

impl Environment for Drawing {
    fn random_bits(&self) -> Option<[u8; 16]> {
        let bits = u128::from(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Some((bits << 64 | u128::from(self.0)).to_be_bytes())
    }
}

#[test]
fn a_random_identity_gives_the_same_shares() {
    let when = json!({"path": true, "present": true});
    let rule = json!({"name": "r", "when": when, "split": arms([80, 15, 5])});
    for (what, fields, reason) in [
        (
            "weighted",
            json!({"strategy": {"weighted": arms([80, 15, 5])}}),
            Reason::Split,
        ),
        ("a rule", json!({"rules": [rule]}), Reason::Rule),
    ] {
        let mut config = config(&fields);
        config["identity"] = json!([{"random": true}]);
        let policy = policy(&config);
        let version = |draw: u64| {
            let path = [(&b":path"[..], &b"/"[..])];
            let drawing = Drawing(draw);
            let request = Request::from_headers(&policy.names, path).with_environment(&drawing);
            let decision = decide(&policy, &request).decisions[0];
            assert_eq!(decision.reason, reason, "{what}");
            decision.version.0 as u8
        };
        let versions: Vec<u8> = (0..USERS as u64).map(version).collect();
        assert_shares(&versions, [80, 15, 5], what);
    }
}

#[test]
fn without_an_identity_stable_serves_and_a_rule_does_not_match() {
    assert_eq!(
        decision(&weighted([0, 1, 1]), &[]).reason,
        Reason::NoIdentity
    );
    let only = decision(&weighted([0, 0, 7]), &[]);
    assert_eq!((only.version.0, only.reason), (2, Reason::Split));
    let when = json!({"path": true, "present": true});
    for (split, percent, reason) in [
        (arms([0, 1, 1]), None, Reason::Active),
        (arms([0, 0, 7]), None, Reason::Rule),
        (arms([0, 0, 7]), Some(100), Reason::Rule),
        (arms([0, 0, 7]), Some(50), Reason::Active),
        (arms([0, 0, 7]), Some(0), Reason::Active),
    ] {
        let mut rule = json!({"name": "r", "when": when, "split": split});
        if let Some(percent) = percent {
            rule["percent"] = json!(percent);
        }
        let policy = policy(&config(&json!({"rules": [rule]})));
        let decided = decision(&policy, &[(":path", "/")]);
        assert_eq!(decided.reason, reason, "{rule}");
    }
}

#[test]
fn a_percent_selects_the_users_whom_a_rule_splits() {
    let when = json!({"header": "x-user-id", "present": true});
    let rule = json!({"name": "r", "when": when, "percent": 20, "split": arms([0, 1, 3])});
    let policy = policy(&config(&json!({"rules": [rule]})));
    let mut counts = BTreeMap::new();
    for user in 0..USERS {
        let decision = decision(&policy, &[("x-user-id", &format!("user-{user}"))]);
        *counts
            .entry((decision.reason, decision.version.0))
            .or_insert(0) += 1;
    }
    let share = |reason, version| f64::from(counts[&(reason, version)]) / USERS as f64;
    for (found, expected) in [
        (share(Reason::Active, 0), 0.8),
        (share(Reason::Rule, 1), 0.05),
        (share(Reason::Rule, 2), 0.15),
    ] {
        assert!(
            (found - expected).abs() < 4.0 * 0.0013,
            "{found} of {expected}"
        );
    }
}

/// A guardrail that has rolled back v2.
#[derive(Debug)]
struct RolledBack(Rc<State>);

impl Environment for RolledBack {
    fn guardrail_state(&self, _: RolloutId) -> Option<Rc<State>> {
        Some(self.0.clone())
    }
}

/// The state after a thousand failures of this arm.
pub(crate) fn tripped(plan: &Plan, arm: Arm) -> State {
    let mut state = State::open(plan, None, true).unwrap();
    let mut local = Local::new(plan);
    let (bad, all) = (1_000, 1_000);
    local.count(arm, Tally { bad, all });
    state.tick(plan, &local, 1_796_644_800_000, None, true);
    state
}

#[test]
fn the_users_of_a_version_that_is_rolled_back_get_stable_and_the_others_stay() {
    let guardrail = json!({"errors": {"max": 1}});
    let when = json!({"header": "x-user-id", "present": true});
    let rule = json!({"name": "r", "when": when, "split": arms([80, 15, 5])});
    for (reason, fields) in [
        (
            Reason::Split,
            json!({"strategy": {"weighted": arms([80, 15, 5])}, "guardrail": guardrail}),
        ),
        (
            Reason::Rule,
            json!({"rules": [rule], "guardrail": guardrail}),
        ),
    ] {
        let policy = policy(&config(&fields));
        let rollout = &policy.rollouts[0];
        let (plan, arms) = (rollout.plan.as_ref().unwrap(), &rollout.arms);
        assert!(plan.is_guarded());
        // Each version but stable is watched on its own.
        let [_, v2, v3] = [0, 1, 2].map(|version: usize| arms[version].unwrap());
        assert_ne!(v2, v3);
        let world = RolledBack(Rc::new(tripped(plan, v2)));
        for user in 0..2_000 {
            let user = format!("user-{user}");
            let headers = [(&b"x-user-id"[..], user.as_bytes())];
            let request = Request::from_headers(&policy.names, headers);
            let healthy = decide(&policy, &request).decisions[0];
            let request = Request::from_headers(&policy.names, headers).with_environment(&world);
            let now = decide(&policy, &request).decisions[0];
            let expected = match healthy.version.0 {
                1 => (0, Reason::RolledBack),
                version => (version, reason),
            };
            assert_eq!((now.version.0, now.reason), expected, "{user}");
        }
    }
}
