//! Mirrored requests.

use super::*;
use serde_json::json;

fn config(strategy: &Value, mirror: &Value, further: &Value) -> Value {
    let mut rollout = rollout(strategy, further);
    rollout["mirror"] = mirror.clone();
    json!({"identity": [{"header": "x-user-id"}, {"random": true}], "rollouts": [rollout]})
}

fn get(id: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), ("x-user-id", id)]
}

#[test]
fn the_configured_share_of_users_is_mirrored_and_always_the_same_users() {
    let mirror = json!({"version": "v2", "percent": 10});
    let policy = policy(&config(&canary(0.0), &mirror, &json!({})));
    let copied: Vec<_> = (0..10_000)
        .filter(|user: &u32| ask(&policy, &get(&user.to_string())).mirror.is_some())
        .collect();
    assert!((900..1_100).contains(&copied.len()), "{}", copied.len());
    for user in &copied {
        assert_eq!(
            ask(&policy, &get(&user.to_string())).mirror.as_deref(),
            Some("v2")
        );
    }
    let half = json!({"version": "v2", "percent": 50});
    let policy = super::policy(&config(&canary(0.0), &half, &json!({})));
    for user in copied {
        assert!(
            ask(&policy, &get(&user.to_string())).mirror.is_some(),
            "{user} is not mirrored"
        );
    }
}

#[test]
fn a_request_is_mirrored_to_another_version_and_only_for_the_configured_methods() {
    let all = json!({"version": "v2", "percent": 100});
    let reads = json!({"version": "v2", "percent": 100, "methods": ["GET", "HEAD"]});
    let rule =
        json!({"rules": [{"name": "r", "when": {"header": "x-t", "exact": "1"}, "use": "v2"}]});
    let none = json!({});
    let off = json!({"enabled": false});
    let stable = canary(0.0);
    let green = build::blue_green("v2");
    let no_share = json!({"version": "v2", "percent": 0});
    for (why, strategy, mirror, fields, header, copied) in [
        (
            "any method",
            &stable,
            &all,
            &none,
            Some((":method", "POST")),
            true,
        ),
        (
            "a read",
            &stable,
            &reads,
            &none,
            Some((":method", "HEAD")),
            true,
        ),
        (
            "a write",
            &stable,
            &reads,
            &none,
            Some((":method", "POST")),
            false,
        ),
        ("no method", &stable, &reads, &none, None, false),
        (
            "v2 serves",
            &green,
            &all,
            &none,
            Some((":method", "GET")),
            false,
        ),
        (
            "v2 serves by a rule",
            &stable,
            &all,
            &rule,
            Some(("x-t", "1")),
            false,
        ),
        (
            "the rule does not match",
            &stable,
            &all,
            &rule,
            Some(("x-t", "2")),
            true,
        ),
        (
            "disabled",
            &stable,
            &all,
            &off,
            Some((":method", "GET")),
            false,
        ),
        ("0 %", &stable, &no_share, &none, None, false),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let answer = ask(&policy(&config(strategy, mirror, fields)), &headers);
        assert_eq!(answer.mirror.as_deref(), copied.then_some("v2"), "{why}");
    }
}

/// Its method may say GET, but what the client sends on it are writes.
#[test]
fn an_upgrade_is_never_mirrored() {
    let every = json!({"version": "v2", "percent": 100});
    let reads = json!({"version": "v2", "percent": 100, "methods": ["GET", "CONNECT"]});
    for mirror in [every, reads] {
        let policy = policy(&config(&canary(0.0), &mirror, &json!({})));
        for (method, header, copied) in [
            ("GET", None, true),
            ("GET", Some(("connection", "keep-alive")), true),
            ("GET", Some(("upgrade", "websocket")), false),
            ("GET", Some(("upgrade", "connect-udp")), false),
            ("GET", Some(("upgrade", "")), false),
            ("CONNECT", None, false),
        ] {
            let headers = [(":method", method)].into_iter().chain(header);
            let answer = ask(&policy, &headers.collect::<Vec<_>>());
            let expected = copied.then_some("v2");
            assert_eq!(answer.mirror.as_deref(), expected, "{method} {header:?}");
        }
    }
}

#[test]
fn only_the_rollout_that_owns_the_route_mirrors() {
    let mirror = json!({"version": "v2", "percent": 100});
    let mut config = config(&canary(0.0), &mirror, &json!({}));
    let first = rollout(&canary(0.0), &json!({"name": "first"}));
    config["rollouts"] = json!([first, config["rollouts"][0]]);
    assert_eq!(ask(&policy(&config), &[]).mirror, None);
    config["rollouts"].as_array_mut().unwrap().reverse();
    assert!(ask(&policy(&config), &[]).mirror.is_some());
}

#[test]
fn without_an_identity_mirroring_uses_the_random_one() {
    let mirror = json!({"version": "v2", "percent": 30});
    let policy = policy(&config(&canary(0.0), &mirror, &json!({})));
    let copied = (0..2_000_u128).filter(|draw| {
        let draw = draw.wrapping_mul(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let world = World {
            draw,
            ..World::default()
        };
        ask_in(&world, &policy, &[]).mirror.is_some()
    });
    let copied = copied.count();
    assert!((540..660).contains(&copied), "{copied}");
}

#[test]
fn errors_of_mirrors() {
    let with = |fields: Value| {
        let mirror = build::with(json!({"version": "v2", "percent": 10}), &fields);
        config(&canary(0.0), &mirror, &json!({}))
    };
    let good = with(json!({}));
    let mut untargeted = good.clone();
    let rollout = untargeted["rollouts"][0].as_object_mut().unwrap();
    rollout.remove("target");
    for (config, error) in [
        (
            untargeted,
            "rollouts[0].mirror: needs a target, but no version has one",
        ),
        (
            build::with(
                good.clone(),
                &json!({"headers": {"route": "x-divvy-route"}}),
            ),
            "rollouts[0].mirror: needs a header: name it in headers.mirror",
        ),
        (
            build::with(good, &json!({"identity": []})),
            "rollouts[0].mirror.percent: needs an identity: add a source to identity",
        ),
        (
            with(json!({"version": "v3"})),
            "rollouts[0].mirror.version: \"v3\" is not one of v1, v2",
        ),
        (
            with(json!({"methods": ["get"]})),
            "rollouts[0].mirror.methods[0]: \"get\" is not a method: write \"GET\"",
        ),
        (
            with(json!({"methods": []})),
            "rollouts[0].mirror.methods: is empty and would match no request",
        ),
    ] {
        assert_eq!(errors_of(&config), [error]);
    }
}
