//! Rollouts with identity sources of their own.

use super::*;
use serde_json::json;

/// `checkout` knows users by the session, `cart` by the user. Both route; the first one that
/// matches owns the route.
fn config(checkout: &Value, cart: &Value) -> Value {
    let rollout = |name: &str, fields: &Value| {
        let rollout = build::rollout(name, &["v1", "v2"], &canary(50.0));
        build::with(rollout, fields)
    };
    let session = json!({"identity": [{"cookie": "session"}]});
    json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "headers": {
            "route": "x-divvy-route", "assignment": "x-divvy-assignment",
            "mirror": "x-divvy-mirror", "identity": "x-user",
        },
        "rollouts": [
            rollout("checkout", &build::with(session, checkout)),
            rollout("cart", cart),
        ],
    })
}

#[test]
fn the_identity_header_carries_the_identity_of_the_rollout_that_owns_the_route() {
    let cart_first = json!({"match": [{"path": {"exact": "/checkout"}}]});
    let policy = policy(&config(&cart_first, &json!({})));
    for (path, headers, identity) in [
        (
            "/checkout",
            &[("x-user-id", "alice"), ("cookie", "session=s1")][..],
            Some("s1"),
        ),
        ("/checkout", &[("x-user-id", "alice")], None),
        (
            "/cart",
            &[("x-user-id", "alice"), ("cookie", "session=s1")],
            Some("alice"),
        ),
    ] {
        let answer = ask(&policy, &[&[(":path", path)], headers].concat());
        assert_eq!(answer.identity.as_deref(), identity, "{path} {headers:?}");
    }
}

#[test]
fn no_identity_is_minted_for_a_rollout_with_its_own_unless_another_one_needs_it() {
    let alone = json!({"match": [{"path": {"exact": "/cart"}}]});
    let policy = policy(&config(&json!({}), &alone));
    for (path, minted) in [("/checkout", false), ("/cart", true)] {
        for headers in [&[][..], &[("cookie", "session=s1")]] {
            let answer = ask(&policy, &[&[(":path", path)], headers].concat());
            assert_eq!(
                answer.cookie("divvy_id").is_some(),
                minted,
                "{path} {headers:?}"
            );
            assert_eq!(answer.sent.is_some(), minted, "{path} {headers:?}");
            let expected = match headers {
                [] => "checkout=v1;reason=no_identity",
                _ => "checkout=v",
            };
            assert!(answer.assignment().starts_with(expected), "{answer:?}");
        }
    }
}

#[test]
fn sticky_mirror_and_rules_use_the_identity_of_the_rollout() {
    let named = json!({"name": "named", "when": {"identity": true, "exact": "s0"}, "use": "v2"});
    let half = json!({"name": "half", "when": {"header": "x-half", "present": true}, "use": "v2", "percent": 50});
    let checkout = json!({
        "rules": [named, half],
        "sticky": {"cookie": "kept"},
        "mirror": {"version": "v2", "percent": 50},
        "strategy": {"canary": {"version": "v2", "weight": 10}},
    });
    let by_session = policy(&config(
        &checkout,
        &json!({"match": [{"path": {"exact": "/cart"}}]}),
    ));
    // The same rollout, with the same values as the identity at the top.
    let mut top = config(&checkout, &json!({"match": [{"path": {"exact": "/cart"}}]}));
    top["rollouts"][0]
        .as_object_mut()
        .unwrap()
        .remove("identity");
    let by_user = policy(&top);
    let mut mirrored = 0;
    for nth in 0..200 {
        let id = format!("s{nth}");
        for half in [&[][..], &[("x-half", "1")]] {
            let session = format!("session={id}");
            let own = [&[("x-user-id", "other"), ("cookie", &*session)], half].concat();
            let own = ask(&by_session, &own);
            let user = ask(&by_user, &[&[("x-user-id", &*id)], half].concat());
            assert_eq!(own.assignment, user.assignment, "{id}");
            assert_eq!(own.mirror, user.mirror, "{id}");
            assert_eq!(own.cookie("kept"), user.cookie("kept"), "{id}");
            mirrored += usize::from(own.mirror.is_some());
        }
    }
    assert!((60..400).contains(&mirrored), "{mirrored}");
}

#[test]
fn an_ab_test_with_its_own_identity_obeys_the_holdout_by_it() {
    let split = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
    let test = json!({"strategy": {"abTest": {"split": split}}});
    let mut config = config(&test, &test);
    config["holdout"] = json!({"name": "h", "percent": 30});
    config["rollouts"][1]["name"] = json!("cart");
    let policy = policy(&config);
    let mut differ = 0;
    for nth in 0..300 {
        let (own, other) = (format!("s{nth}"), format!("u{nth}"));
        let session = format!("session={own}");
        let both = ask(&policy, &[("x-user-id", &other), ("cookie", &session)]);
        let same = ask(&policy, &[("x-user-id", &own), ("cookie", &session)]);
        let held = |answer: &Answer| {
            let parts: Vec<_> = answer.assignment().split(", ").collect();
            [parts[0].ends_with("holdout"), parts[1].ends_with("holdout")]
        };
        let [by_session, by_user] = held(&both);
        assert_eq!(held(&same), [by_session; 2], "{own}");
        differ += usize::from(by_session != by_user);
    }
    assert!(differ > 60, "{differ}");
}

#[test]
fn a_preflight_has_no_identity_by_a_rollouts_own_sources_either() {
    let policy = policy(&config(&json!({}), &json!({})));
    let answer = ask(
        &policy,
        &[
            (":method", "OPTIONS"),
            ("origin", "https://shop.example"),
            ("access-control-request-method", "GET"),
            ("cookie", "session=s1"),
        ],
    );
    let none = "checkout=v1;reason=no_identity, cart=v1;reason=no_identity";
    assert_eq!(answer.assignment(), none);
    assert_eq!(answer.identity, None);
}

#[test]
fn a_rollout_with_a_lasting_identity_of_its_own_is_valid_beside_a_random_one() {
    let split = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
    let test = json!({
        "strategy": {"abTest": {"split": split}},
        "sticky": {"cookie": "kept"},
        "rules": [{"name": "a", "when": {"identity": true, "exact": "x"}, "use": "v2"}],
    });
    let mut config = config(&test, &json!({}));
    config["identity"] = json!([{"random": true}]);
    assert_eq!(errors_of(&config), [""; 0]);
    // The rollout behind it has the identity at the top again.
    config["rollouts"][1]["sticky"] = json!({"cookie": "other"});
    let error = "rollouts[1].sticky: is not possible with a random identity, which changes with every request";
    assert_eq!(errors_of(&config), [error]);
}
