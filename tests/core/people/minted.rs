//! Minted identities.

use super::*;
use serde_json::json;

fn config(mint: &Value, fields: &Value) -> Value {
    let config = json!({
        "identity": [{"header": "x-user-id"}, {"cookie": "divvy_id", "mint": mint}],
        "headers": {"route": "x-divvy-route", "assignment": "x-divvy-assignment", "identity": "x-user"},
        "rollouts": [rollout(&canary(50.0), &json!({}))],
    });
    build::with(config, fields)
}

#[test]
fn the_first_request_has_the_same_decision_as_later_ones_with_the_cookie() {
    let policy = policy(&config(&json!({}), &json!({})));
    let mut versions = [0, 0];
    for draw in 0..1_000_u128 {
        let world = World {
            draw: draw.wrapping_mul(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            ..World::default()
        };
        let first = ask_in(&world, &policy, &[(":path", "/")]);
        let given = first.cookie("divvy_id").unwrap().to_owned();
        let parts: Vec<_> = given.split('-').collect();
        let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{given}");
        assert!(parts[2].starts_with('4'), "{given}: version 4");
        let variant = parts[3].starts_with(['8', '9', 'a', 'b']);
        assert!(variant, "{given}: the RFC's variant");
        assert_eq!(first.identity.as_deref(), Some(&*given));

        let cookie = format!("a=b; divvy_id={given}");
        let next = ask_in(&world, &policy, &[("cookie", &cookie)]);
        assert_eq!(next.cookies, [""; 0], "the client has a cookie");
        assert_eq!(
            (&next.assignment, &next.identity),
            (&first.assignment, &first.identity)
        );
        versions[usize::from(first.route.as_deref() == Some("v2"))] += 1;
    }
    assert!(versions.iter().all(|count| *count > 440), "{versions:?}");
}

#[test]
fn the_next_proxy_that_mints_has_the_identity_of_the_first() {
    let edge = policy(&config(&json!({}), &json!({})));
    // Another rollout, and so another hash.
    let inner = json!({"rollouts": [rollout(&canary(50.0), &json!({"salt": "inner"}))]});
    let inner = policy(&config(&json!({"domain": "example.com"}), &inner));
    for (arrived, sent) in [
        (&[][..], ""),
        (&["a=b"], "; a=b"),
        (&["a=b; c=d", "e=\"f\""], "; a=b; c=d; e=\"f\""),
        (&["divvy_id=; a=b"], "; divvy_id=; a=b"),
        (&["divvy_id=null"], "; divvy_id=null"),
    ] {
        let lines: Vec<_> = arrived.iter().map(|line| ("cookie", *line)).collect();
        let first = ask(&edge, &lines);
        let id = first.cookie("divvy_id").unwrap();
        let upstream = first.sent.as_deref().unwrap();
        assert_eq!(upstream, format!("divvy_id={id}{sent}"));
        let then = ask(&inner, &[("cookie", upstream)]);
        assert_eq!(then.cookies, [""; 0], "it has an identity");
        assert_eq!(then.identity.as_deref(), Some(id));
        let again = ask(&inner, &[("cookie", &format!("divvy_id={id}"))]);
        assert_eq!(again.route, then.route);
    }
    let known = ask(&edge, &[("x-user-id", "42"), ("cookie", "a=b")]);
    assert_eq!(known.sent, None, "nothing was minted");
}

#[test]
fn a_cookie_has_the_configured_attributes_and_safe_defaults() {
    for (mint, attributes) in [
        (json!({}), "; Path=/; SameSite=Lax; Secure; HttpOnly"),
        (
            json!({"maxAge": "30d", "path": "/shop", "domain": "example.com", "sameSite": "Strict",
                   "secure": true, "httpOnly": false}),
            "; Path=/shop; Max-Age=2592000; Domain=example.com; SameSite=Strict; Secure",
        ),
        (
            json!({"sameSite": "None", "partitioned": true}),
            "; Path=/; SameSite=None; Secure; HttpOnly; Partitioned",
        ),
        (
            json!({"sameSite": "Lax", "secure": false}),
            "; Path=/; SameSite=Lax; HttpOnly",
        ),
    ] {
        let answer = ask(&policy(&config(&mint, &json!({}))), &[]);
        assert!(answer.cookies[0].ends_with(attributes), "{answer:?}");
        assert!(answer.cookies[0].starts_with("divvy_id="), "{answer:?}");
    }
}

#[test]
fn an_identity_is_minted_only_if_a_decision_needs_it() {
    let always = json!({});
    let html = json!({"when": {"header": "accept", "contains": "text/html"}});
    let without = json!({"when": {"identity": true, "present": false}});
    let only = |strategy: &Value, fields: Value| json!({"rollouts": [rollout(strategy, &fields)]});
    let other_path = only(
        &canary(50.0),
        json!({"match": [{"path": {"prefix": "/other"}}]}),
    );
    let [none, all] = [0.0, 100.0].map(|weight| only(&canary(weight), json!({})));
    let green = only(&build::blue_green("v2"), json!({}));
    let by_name = json!({"rules": [{"name": "staff", "when": {"identity": true, "in": ["alice"]}, "use": "v2"}]});
    let by_name = only(&build::blue_green("v2"), by_name);
    let usual = json!({});
    for (why, mint, fields, header, given) in [
        (
            "an identity in a header",
            &always,
            &usual,
            Some(("x-user-id", "1")),
            false,
        ),
        (
            "an ignored identity",
            &always,
            &usual,
            Some(("x-user-id", "0")),
            true,
        ),
        (
            "an empty cookie",
            &always,
            &usual,
            Some(("cookie", "divvy_id=")),
            true,
        ),
        (
            "the condition holds",
            &html,
            &usual,
            Some(("accept", "text/html,*/*")),
            true,
        ),
        (
            "the condition does not hold",
            &html,
            &usual,
            Some(("accept", "image/png")),
            false,
        ),
        ("no rollout matches", &always, &other_path, None, false),
        ("a weight of 100", &always, &all, None, false),
        ("a weight of 0", &always, &none, None, false),
        ("blueGreen", &always, &green, None, false),
        ("a rule by identity", &always, &by_name, None, false),
        (
            "the condition needs a request without an identity",
            &without,
            &usual,
            None,
            true,
        ),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let answer = ask(&policy(&config(mint, fields)), &headers);
        assert_eq!(
            answer.cookie("divvy_id").is_some(),
            given,
            "{why}: {answer:?}"
        );
    }
}

#[test]
fn a_visitor_who_gets_no_cookie_has_no_identity() {
    let mint = json!({"when": {"header": "accept", "contains": "text/html"}});
    let policy = policy(&config(&mint, &json!({})));
    assert_eq!(
        ask(&policy, &[]).assignment(),
        "checkout=v1;reason=no_identity"
    );
}
