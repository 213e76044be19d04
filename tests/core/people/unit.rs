//! Units: of minted identities, of trusted and earlier proxies, and their number.

use super::*;
use divvy::config::limits::MAX_UNITS;
use serde_json::json;

fn config(fields: &Value) -> Value {
    let config = json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "unit": "x-divvy-unit", "identity": "x-user"},
        "rollouts": [rollout(&canary(50.0), &json!({}))],
    });
    build::with(config, fields)
}

#[test]
fn the_first_request_of_a_minted_identity_has_the_unit_of_later_ones() {
    let policy = policy(&config(&json!({})));
    let world = World {
        draw: 7,
        ..World::default()
    };
    let first = ask_in(&world, &policy, &[(":path", "/")]);
    let cookie = format!("divvy_id={}", first.cookie("divvy_id").unwrap());
    let next = ask_in(&world, &policy, &[("cookie", &cookie)]);
    let unit = first.unit.unwrap();
    assert_eq!(unit.len(), 16);
    assert_eq!(next.unit, Some(unit.clone()));
    let other = ask_in(&world, &policy, &[("x-user-id", "42")]);
    assert_ne!(other.unit, Some(unit), "signing in");
}

/// A cookie for every crawler would be the price of a unit that no decision needs.
#[test]
fn no_identity_is_minted_for_a_unit_alone() {
    let green = json!({"blueGreen": {"active": "v2"}});
    for rollouts in [
        json!([rollout(&green, &json!({}))]),
        json!([rollout(
            &canary(50.0),
            &json!({"match": [{"path": {"exact": "/a"}}]})
        )]),
        json!([]),
    ] {
        let policy = policy(&config(&json!({"rollouts": rollouts})));
        let without = ask(&policy, &[(":path", "/")]);
        assert_eq!((without.unit, without.cookies), (None, vec![]));
        let user = ask(&policy, &[(":path", "/"), ("x-user-id", "42")]);
        let unit = user.unit.unwrap();
        assert_eq!(
            (&*unit, user.identity.as_deref()),
            ("4062ccb68a58f0ae", Some("42"))
        );
    }
}

/// Only this proxy's own identity counts: the sender's certificate says nothing about the user.
#[test]
fn the_unit_of_a_trusted_proxy_is_replaced_too() {
    let trust = json!({"trust": {"principals": ["spiffe://td/*"]}});
    let policy = policy(&config(&trust));
    let world = World {
        peer: Some("spiffe://td/edge"),
        ..World::default()
    };
    let sent = [
        ("x-divvy-assignment", "checkout=v2;reason=split"),
        ("x-divvy-unit", "0123456789abcdef"),
    ];
    let user = [("x-user-id", "42")];
    let answer = ask_in(&world, &policy, &[&sent[..], &user].concat());
    assert_eq!(
        (answer.assignment(), answer.unit.as_deref()),
        (
            "checkout=v2;reason=inherited;upstream=split",
            Some("4062ccb68a58f0ae")
        )
    );
    assert_eq!(ask_in(&world, &policy, &sent).unit, None);
}

#[test]
fn a_random_identity_has_no_unit() {
    let random = json!({"identity": [{"random": true}]});
    let answer = ask(&policy(&config(&random)), &[]);
    assert!(answer.assignment().ends_with("split"), "{answer:?}");
    assert_eq!(answer.unit, None);
}

#[test]
fn the_number_of_rollouts_with_an_identity_of_their_own_is_limited() {
    let with = |number: usize, unit: bool| {
        let own = json!({"identity": [{"cookie": "c"}]});
        let rollouts = (0..number).map(|nth| {
            let mut one = rollout(&canary(50.0), &own);
            one["name"] = json!(format!("r{nth}"));
            one
        });
        let mut config = config(&json!({"rollouts": rollouts.collect::<Vec<_>>()}));
        if !unit {
            config["headers"].as_object_mut().unwrap().remove("unit");
        }
        config
    };
    let largest = policy(&with(MAX_UNITS, true));
    let answer = ask(&largest, &[("cookie", "c=1")]);
    assert_eq!(answer.unit.unwrap().split(';').count(), MAX_UNITS + 1);
    assert_eq!(errors_of(&with(MAX_UNITS + 1, false)), [""; 0]);
    assert_eq!(
        errors_of(&with(MAX_UNITS + 1, true)),
        [
            "headers.unit: has a part for each rollout with an identity of its own, and 33 have one: the maximum is 32"
        ]
    );
}
