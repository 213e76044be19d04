//! Tests side by side: layers, the holdout, and what following means, over 100,000 users. All
//! names are fixed: the numbers are the same in every run.
use divvy::decide::decide;
use divvy::decision::{Decision, Reason};
use divvy::request::Request;
use serde_json::{Value, json};

use crate::compile::policy;

const USERS: usize = 100_000;

/// A test of A against B in this range of a layer.
fn test(name: &str, layer: &Value, extra: Value) -> Value {
    let mut test = json!({
        "split": [{"version": "A", "weight": 1}, {"version": "B", "weight": 1}],
        "layer": layer,
    });
    test.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    json!({
        "name": name,
        "versions": [{"name": "A"}, {"name": "B"}],
        "stable": "A",
        "strategy": {"abTest": test},
    })
}

fn range(name: &str, from: f64, to: f64) -> Value {
    json!({"name": name, "from": from, "to": to})
}

/// The decisions for each user.
fn decided(rollouts: &[Value]) -> Vec<Vec<Decision>> {
    let config = json!({
        "identity": [{"header": "x-user-id"}],
        "holdout": {"name": "2026q4", "percent": 2},
        "rollouts": rollouts,
    });
    let policy = policy(&config);
    let decide = |user: usize| {
        let user = format!("user-{user}");
        let headers = [(&b"x-user-id"[..], user.as_bytes())];
        decide(&policy, &Request::from_headers(&policy.names, headers))
            .decisions
            .to_vec()
    };
    (0..USERS).map(decide).collect()
}

fn takes_part(decision: &Decision) -> bool {
    decision.reason == Reason::Split
}

const fn is_on_b(decision: &Decision) -> bool {
    decision.version.0 == 1
}

/// Numbers of users for whom neither, the first, the second or both decisions are true.
fn table(users: &[Vec<Decision>], holds: impl Fn(&Decision) -> bool) -> [f64; 4] {
    let mut table = [0.0; 4];
    for user in users {
        let place = usize::from(holds(&user[0])) + 2 * usize::from(holds(&user[1]));
        table[place] += 1.0;
    }
    table
}

/// The chi-square of a table of two by two. Above 15.14 independence is believed at less than
/// one in ten thousand.
fn chi_square([neither, one, other, both]: [f64; 4]) -> f64 {
    let all = neither + one + other + both;
    let (row, column) = (one + both, other + both);
    let determinant = both * neither - one * other;
    all * determinant * determinant / (row * (all - row) * column * (all - column))
}

const ONE_IN_TEN_THOUSAND: f64 = 15.14;

#[test]
fn tests_in_disjoint_ranges_of_a_layer_share_no_user() {
    let users = decided(&[
        test("one", &range("page", 0.0, 30.0), json!({})),
        test("two", &range("page", 30.0, 60.5), json!({})),
        test("three", &range("page", 60.5, 100.0), json!({})),
    ]);
    let mut counts = [0; 3];
    for user in &users {
        let parts: Vec<_> = (0..3).filter(|nth| takes_part(&user[*nth])).collect();
        let held = user[0].reason == Reason::Holdout;
        // The ranges cover the layer: a user outside of the holdout is in exactly one.
        assert_eq!(parts.len(), usize::from(!held), "{user:?}");
        for nth in parts {
            counts[nth] += 1;
        }
    }
    // 98 % of 30, 30.5 and 39.5 %.
    for (count, share) in counts.iter().zip([29_400.0_f64, 29_890.0, 38_710.0]) {
        let deviation = (f64::from(*count) - share) / (share * (1.0 - share / 1e5)).sqrt();
        assert!(deviation.abs() < 4.0, "{counts:?}: {deviation} σ");
    }
}

#[test]
fn tests_in_different_layers_are_independent() {
    let users = decided(&[
        test(
            "colour",
            &range("page", 0.0, 50.0),
            json!({"holdout": false}),
        ),
        test(
            "ranking",
            &range("search", 20.0, 70.0),
            json!({"holdout": false}),
        ),
    ]);
    let takes = table(&users, takes_part);
    let chi = chi_square(takes);
    assert!(
        chi < ONE_IN_TEN_THOUSAND,
        "taking part: {takes:?}: χ² = {chi}"
    );
    // For users in both tests, the arms are independent.
    let both: Vec<_> = users
        .into_iter()
        .filter(|user| user.iter().all(takes_part))
        .collect();
    assert!(both.len() > 20_000, "{}", both.len());
    let arms = table(&both, is_on_b);
    let chi = chi_square(arms);
    assert!(chi < ONE_IN_TEN_THOUSAND, "arms: {arms:?}: χ² = {chi}");
}

/// Proof that the test above can fail: one salt and one layer for two tests.
#[test]
fn tests_with_the_same_salt_are_dependent() {
    let twin = |name: &str, layer: &str| {
        let mut twin = test(name, &range(layer, 0.0, 100.0), json!({"holdout": false}));
        twin["salt"] = json!("same");
        twin
    };
    let users = decided(&[twin("one", "a"), twin("two", "b")]);
    assert!(chi_square(table(&users, is_on_b)) > 10_000.0);
}

#[test]
fn the_holdout_takes_the_same_users_out_of_every_test_that_has_it() {
    let users = decided(&[
        test("colour", &range("page", 0.0, 50.0), json!({})),
        test(
            "ranking",
            &range("search", 0.0, 100.0),
            json!({"traffic": 10}),
        ),
        test(
            "checkout",
            &range("page", 50.0, 100.0),
            json!({"holdout": false}),
        ),
    ]);
    let held = |nth: usize| {
        users
            .iter()
            .filter(move |user| user[nth].reason == Reason::Holdout)
    };
    let count = held(0).count();
    // 2 % of 100,000, give or take four standard deviations.
    assert!((1_823..=2_177).contains(&count), "{count}");
    assert!(held(0).all(|user| user[1].reason == Reason::Holdout));
    assert_eq!(held(1).count(), count);
    // The holdout has stable.
    assert!(held(0).all(|user| user[0].version.0 == 0 && user[1].version.0 == 0));
    // A test with `holdout: false` has the users of the holdout in its range.
    assert_eq!(held(2).count(), 0);
    let there = held(0).filter(|user| takes_part(&user[2])).count();
    assert!(
        (911..=1_089).contains(&(there * 2_000 / count)),
        "{there} of {count}"
    );
    // The layer excludes users with a separate reason.
    let excluded = users
        .iter()
        .filter(|user| user[0].reason == Reason::Excluded);
    assert!(excluded.count() > 45_000);
}

#[test]
fn a_follower_has_the_version_of_its_leader_if_it_has_one_of_that_name() {
    let follower = json!({
        "name": "basket", "versions": [{"name": "old"}, {"name": "B"}], "stable": "old",
        "strategy": {"follow": {"rollout": "one"}},
    });
    let leader = test("one", &range("page", 0.0, 100.0), json!({"holdout": false}));
    let users = decided(&[leader, follower]);
    for user in &users {
        assert_eq!(
            user[1].version, user[0].version,
            "B is the second of both, A is none here"
        );
        assert_eq!(user[1].reason, Reason::Follow);
    }
}
