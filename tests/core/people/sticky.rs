//! Sticky cookies.

use super::*;
use serde_json::json;

const STICKY: &str = "divvy_checkout";

pub fn config(strategy: &Value) -> Value {
    config_with(strategy, &json!({}))
}

/// A sticky rollout with further fields.
fn config_with(strategy: &Value, fields: &Value) -> Value {
    let sticky = json!({"sticky": {"cookie": STICKY, "maxAge": "1h"}});
    json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": {}}],
        "rollouts": [build::with(rollout(strategy, &sticky), fields)],
    })
}

fn test(weights: [u32; 2], fields: &Value) -> Value {
    let [v1, v2] = weights;
    let split = json!([{"version": "v1", "weight": v1}, {"version": "v2", "weight": v2}]);
    json!({ "abTest": build::with(json!({ "split": split }), fields) })
}

/// A request with a user ID and the cookie of an earlier response.
fn come_back(policy: &Policy, user: &str, cookie: &str) -> Answer {
    let cookie = format!("{STICKY}={cookie}");
    ask(policy, &[("x-user-id", user), ("cookie", &cookie)])
}

/// The cookie in the response to a user's first request.
fn first(policy: &Policy, user: &str) -> (String, Answer) {
    let answer = ask(policy, &[("x-user-id", user)]);
    let cookie = answer
        .cookie(STICKY)
        .unwrap_or_else(|| panic!("{answer:?}"));
    (cookie.to_owned(), answer)
}

/// A user whose first decision is this version, and the cookie.
fn user_with(policy: &Policy, version: &str) -> (String, String) {
    let users = (1..).map(|user: u32| user.to_string());
    let mut found = users.map(|user| (first(policy, &user), user));
    let ((cookie, _), user) = found
        .find(|((_, answer), _)| answer.route.as_deref() == Some(version))
        .unwrap();
    (user, cookie)
}

#[test]
fn the_sticky_cookie_is_written_once_and_not_renewed() {
    let policy = policy(&config(&canary(50.0)));
    for version in ["v1", "v2"] {
        let (user, cookie) = user_with(&policy, version);
        let parts: Vec<_> = cookie.split(':').collect();
        assert_eq!(
            (parts.len(), parts[0], parts[1].len(), parts[2]),
            (4, "1", 8, version)
        );
        let again = come_back(&policy, &user, &cookie);
        assert_eq!(
            again.assignment(),
            format!("checkout={version};reason=sticky")
        );
        assert_eq!(again.cookies, [""; 0]);
    }
    let line = &ask(&policy, &[("x-user-id", "1")]).cookies[0];
    assert!(
        line.ends_with("; Path=/; Max-Age=3600; SameSite=Lax; Secure; HttpOnly"),
        "{line}"
    );
}

#[test]
fn signing_in_keeps_the_version() {
    for strategy in [
        canary(50.0),
        test([1, 1], &json!({})),
        test([1, 1], &json!({"traffic": 50})),
    ] {
        let policy = policy(&config(&strategy));
        for visitor in 0..300 {
            let (cookie, before) = first(&policy, &format!("visitor-{visitor}"));
            let after = come_back(&policy, &format!("user-{visitor}"), &cookie);
            // A user outside of the canary keeps the position and stays outside.
            assert_eq!(
                after.route, before.route,
                "{strategy}: {before:?} {after:?}"
            );
            assert_eq!(after.cookies, [""; 0], "{strategy}: {cookie}");
        }
    }
}

#[test]
fn a_lower_weight_keeps_the_users_of_the_canary_and_adds_none() {
    let before = policy(&config(&canary(50.0)));
    let after = policy(&config(&canary(1.0)));
    for user in (1..300).map(|user: u32| user.to_string()) {
        let (cookie, answer) = first(&before, &user);
        let now = come_back(&after, &user, &cookie);
        assert_eq!(now.route, answer.route, "{user}");
    }
    let all_users = policy(&config(&canary(100.0)));
    let (user, cookie) = user_with(&all_users, "v2");
    assert_eq!(
        come_back(&after, &user, &cookie).assignment(),
        "checkout=v2;reason=sticky"
    );
}

#[test]
fn a_weighted_version_keeps_its_users_while_it_has_a_share() {
    let weighted = |v2: u32| {
        let arms = json!([{"version": "v1", "weight": 100}, {"version": "v2", "weight": v2}]);
        policy(&config(&json!({ "weighted": arms })))
    };
    let (before, less, none) = (weighted(100), weighted(1), weighted(0));
    let (user, cookie) = user_with(&before, "v2");
    let now = come_back(&less, &user, &cookie);
    assert_eq!(now.assignment(), "checkout=v2;reason=sticky");
    let now = come_back(&none, &user, &cookie);
    assert_eq!(now.assignment(), "checkout=v1;reason=split");
}

#[test]
fn lower_traffic_or_a_lower_weight_keeps_the_users_of_a_test() {
    let before = policy(&config(&test([1, 1], &json!({"traffic": 100}))));
    let after = policy(&config(&test([1000, 1], &json!({"traffic": 1}))));
    for user in (1..200).map(|user: u32| user.to_string()) {
        let (cookie, answer) = first(&before, &user);
        let now = come_back(&after, &user, &cookie);
        assert_eq!(now.route, answer.route, "{user}");
        assert!(now.assignment().ends_with("reason=sticky"), "{now:?}");
    }
}

#[test]
fn users_outside_of_a_test_enter_it_when_traffic_grows_even_if_stable_is_an_arm() {
    let before = policy(&config(&test([1, 1], &json!({"traffic": 10}))));
    let after = policy(&config(&test([1, 1], &json!({"traffic": 100}))));
    let users = (1..).map(|user: u32| user.to_string());
    let outside = users.filter(|user| first(&before, user).1.assignment().contains("not_enrolled"));
    for user in outside.take(50) {
        let (cookie, _) = first(&before, &user);
        assert!(cookie.contains("::"), "{cookie} has a version");
        let now = come_back(&after, &user, &cookie);
        assert!(now.assignment().ends_with("reason=split"), "{now:?}");
        assert!(now.cookie(STICKY).is_some(), "a new cookie is written");
    }
}

#[test]
fn a_growing_canary_includes_users_with_the_cookie_of_stable() {
    let before = policy(&config(&canary(1.0)));
    let after = policy(&config(&canary(100.0)));
    let (user, cookie) = user_with(&before, "v1");
    let now = come_back(&after, "another-user", &cookie);
    assert_eq!(now.assignment(), "checkout=v2;reason=split");
    let written = now.cookie(STICKY).unwrap();
    assert_eq!(
        written,
        cookie.replace(":v1:", ":v2:"),
        "the position is kept"
    );
    let back = come_back(&before, &user, written);
    assert_eq!(back.assignment(), "checkout=v2;reason=sticky");
}

#[test]
fn an_invalid_or_outdated_cookie_is_ignored() {
    let before = policy(&config(&canary(50.0)));
    let (_, cookie) = user_with(&before, "v2");
    // Without the cookie this user has stable.
    let (user, _) = user_with(&before, "v1");
    let weightless = config(&canary(0.0));
    let revised = config_with(&canary(50.0), &json!({"revision": "2"}));
    let salted = config_with(&canary(50.0), &json!({"salt": "other"}));
    let half = config(&canary(50.0));
    let long = format!("{cookie}{}", "0".repeat(4_096));
    let garbage = |why, cookie: &str| (why, &half, cookie.to_owned(), true);
    for (why, config, cookie, released) in [
        ("nothing", &half, cookie.clone(), false),
        ("in quotes", &half, format!("\"{cookie}\""), false),
        ("weight 0", &weightless, cookie.clone(), true),
        ("a new revision", &revised, cookie.clone(), true),
        ("a new salt", &salted, cookie.clone(), true),
        garbage("an unknown version", &cookie.replace("v2", "v9")),
        garbage("garbage", "garbage"),
        garbage("empty", ""),
        garbage("colons", ":::"),
        garbage("a further part", &format!("{cookie}:1")),
        garbage("4 KB", &long),
        garbage("another layout", &cookie.replacen("1:", "2:", 1)),
        garbage("a position above the maximum", "1:00000000:v2:1000000"),
    ] {
        let answer = come_back(&policy(config), &user, &cookie);
        assert_eq!(
            answer.assignment().ends_with("sticky"),
            !released,
            "{why}: {answer:?}"
        );
        // An outdated cookie is overwritten, so that it cannot become valid again.
        assert_eq!(
            answer.cookie(STICKY).is_some(),
            released,
            "{why}: {answer:?}"
        );
    }
}

#[test]
fn of_several_cookies_the_first_valid_one_counts_and_none_is_written_again() {
    let config = config(&canary(50.0));
    let policy = policy(&config);
    let (_, v2) = user_with(&policy, "v2");
    let (user, v1) = user_with(&policy, "v1");
    let old = super::policy(&build::with(
        config.clone(),
        &json!({"rollouts": [config_with(&canary(50.0), &json!({"revision": "0"}))["rollouts"][0]]}),
    ));
    let (_, old) = user_with(&old, "v2");
    let [sticky_v1, sticky_v2] = ["v1", "v2"].map(|name| format!("checkout={name};reason=sticky"));
    for (cookies, assignment, writes) in [
        (&[&*v2, &v2][..], &*sticky_v2, false),
        (&[&v2, &v1], &sticky_v2, false),
        (&[&v1, &v2], &sticky_v1, false),
        (&["x", &v2], &sticky_v2, false),
        (&["", "1:::", &v2, "x"], &sticky_v2, false),
        (&[&old, &v2], &sticky_v2, false),
        (&[&v2, &old], &sticky_v2, false),
        (&["\"x\"", &format!("\"{v2}\"")], &sticky_v2, false),
        (&["x", &old], "checkout=v1;reason=split", true),
        (&[&v2.replace(":v2:", ":v9:"), &v1], &sticky_v1, false),
    ] {
        let pairs: Vec<_> = cookies
            .iter()
            .map(|value| format!("{STICKY}={value}"))
            .collect();
        let lines: Vec<_> = pairs.iter().map(|pair| ("cookie", &**pair)).collect();
        let joined = format!("a=b; {}; c=d", pairs.join("; "));
        for headers in [lines, vec![("cookie", &*joined)]] {
            let answer = ask(&policy, &[headers, vec![("x-user-id", &*user)]].concat());
            assert_eq!(answer.assignment(), assignment, "{cookies:?}");
            assert_eq!(answer.cookie(STICKY).is_some(), writes, "{cookies:?}");
        }
    }
}

#[test]
fn a_cookie_beside_the_written_one_does_not_cause_one_with_every_response() {
    let before = policy(&config(&canary(10.0)));
    let after = policy(&config(&canary(60.0)));
    // A user whom the larger weight includes. The old cookie has another domain and stays.
    let users = (1..).map(|user: u32| user.to_string());
    let mut joined = users.filter_map(|user| {
        let (cookie, first) = first(&before, &user);
        let then = come_back(&after, &user, &cookie);
        (first.route != then.route).then_some((user, cookie, then))
    });
    let (user, old, then) = joined.next().unwrap();
    let new = then.cookie(STICKY).unwrap().to_owned();
    assert_eq!(then.assignment(), "checkout=v2;reason=sticky");
    for both in [
        format!("{old}; {STICKY}={new}"),
        format!("{new}; {STICKY}={old}"),
    ] {
        for user in [&*user, "someone-else"] {
            let answer = come_back(&after, user, &both);
            assert_eq!(answer.assignment(), "checkout=v2;reason=sticky", "{both}");
            assert_eq!(answer.cookies, [""; 0], "{both}");
        }
    }
}

#[test]
fn a_position_from_the_cookie_is_never_reported_as_a_split() {
    let half = test([1, 1], &json!({"traffic": 50}));
    for strategy in [canary(50.0), half] {
        let policy = policy(&config(&strategy));
        let (_, cookie) = user_with(&policy, "v2");
        let epoch = cookie.split(':').nth(1).unwrap();
        // No version, stable, and a version that has no share.
        for (version, position) in [("", 0), ("", 999_999), ("v1", 0), ("v1", 999_999)] {
            for user in ["alice", "bob", "carol"] {
                let forged = format!("1:{epoch}:{version}:{position}");
                let answer = come_back(&policy, user, &forged);
                let is_split = answer.assignment().ends_with("split");
                assert!(!is_split, "{strategy} {forged}: {answer:?}");
            }
        }
    }
}

#[test]
fn only_the_canonical_form_of_a_position_is_valid() {
    let policy = policy(&config(&canary(50.0)));
    let (user, cookie) = user_with(&policy, "v2");
    let begin = cookie.rsplit_once(':').unwrap().0;
    let invalid = ["1000000", "00", "+1", "-1", "", "1x", "4294967297"];
    let valid = ["0", "999999", "1 "].map(|position| (position, true));
    for (position, read) in invalid
        .map(|position| (position, false))
        .into_iter()
        .chain(valid)
    {
        // The cookie is written unless a valid one was read.
        let cookie = format!("{begin}:{position};x=y");
        let answer = come_back(&policy, &user, &cookie);
        assert_eq!(answer.cookies.is_empty(), read, "{position}");
    }
}

#[test]
fn holdout_and_layer_depend_on_the_new_identity() {
    let strategy = test(
        [1, 1],
        &json!({"layer": {"name": "page", "from": 0, "to": 50}}),
    );
    let mut config = config(&strategy);
    config["holdout"] = json!({"name": "q4", "percent": 20});
    let policy = policy(&config);
    let users: Vec<_> = (1..400).map(|user: u32| user.to_string()).collect();
    let inside = |user: &&String| {
        let answer = ask(&policy, &[("x-user-id", user)]);
        answer.assignment().ends_with("split")
    };
    let cookie = first(&policy, users.iter().find(inside).unwrap()).0;
    let mut seen = [0; 3];
    for user in &users {
        let without = ask(&policy, &[("x-user-id", user)]);
        let with = come_back(&policy, user, &cookie);
        let reasons = ["holdout", "excluded", "split"];
        let place = reasons
            .iter()
            .position(|reason| without.assignment().ends_with(reason))
            .unwrap();
        seen[place] += 1;
        let expected = ["holdout", "excluded", "sticky"][place];
        assert!(
            with.assignment().ends_with(expected),
            "{without:?} {with:?}"
        );
        if place < 2 {
            assert_eq!(
                without.cookies.len() + with.cookies.len(),
                0,
                "no cookie is written"
            );
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn without_an_identity_the_cookie_counts_for_a_canary_but_not_for_a_test() {
    for (strategy, expected) in [
        (canary(50.0), "checkout=v2;reason=sticky"),
        (test([1, 1], &json!({})), "checkout=v1;reason=no_identity"),
    ] {
        let mut config = config(&strategy);
        config["identity"] = json!([{"header": "x-user-id"}]);
        let policy = policy(&config);
        let (_, cookie) = user_with(&policy, "v2");
        let answer = ask(&policy, &[("cookie", &format!("{STICKY}={cookie}"))]);
        assert_eq!(answer.assignment(), expected);
    }
}

#[test]
fn no_identity_is_minted_if_the_cookie_decides() {
    let policy = policy(&config(&canary(50.0)));
    let (_, cookie) = user_with(&policy, "v2");
    let answer = ask(&policy, &[("cookie", &format!("{STICKY}={cookie}"))]);
    assert_eq!(answer.cookie("divvy_id"), None);
    let anonymous = ask(&policy, &[]);
    assert_eq!(
        anonymous.cookies.len(),
        2,
        "an identity and a sticky cookie: {anonymous:?}"
    );
}

#[test]
fn rules_and_disabled_rollouts_write_no_cookie() {
    let rule =
        json!({"rules": [{"name": "r", "when": {"header": "x-t", "exact": "1"}, "use": "v2"}]});
    let ruled = policy(&config_with(&canary(50.0), &rule));
    assert_eq!(
        ask(&ruled, &[("x-t", "1"), ("x-user-id", "1")]).cookies,
        [""; 0]
    );
    let off = policy(&config_with(&canary(50.0), &json!({"enabled": false})));
    assert_eq!(ask(&off, &[("x-user-id", "1")]).cookies, [""; 0]);
}
