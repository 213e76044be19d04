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
            "{user} fell out"
        );
    }
}

#[test]
fn a_request_is_mirrored_to_another_version_and_only_for_the_configured_methods() {
    let all = json!({"version": "v2", "percent": 100});
    let reads = json!({"version": "v2", "percent": 100, "methods": ["GET", "HEAD"]});
    let rule =
        json!({"rules": [{"name": "r", "when": {"header": "x-t", "exact": "1"}, "use": "v2"}]});
    let off = json!({"enabled": false});
    let green = json!({"blueGreen": {"active": "v2"}});
    for (why, strategy, mirror, further, headers, copied) in [
        (
            "all of them",
            canary(0.0),
            &all,
            json!({}),
            vec![(":method", "POST")],
            true,
        ),
        (
            "a read",
            canary(0.0),
            &reads,
            json!({}),
            vec![(":method", "HEAD")],
            true,
        ),
        (
            "a write",
            canary(0.0),
            &reads,
            json!({}),
            vec![(":method", "POST")],
            false,
        ),
        (
            "no method at all",
            canary(0.0),
            &reads,
            json!({}),
            vec![],
            false,
        ),
        (
            "it serves",
            green,
            &all,
            json!({}),
            vec![(":method", "GET")],
            false,
        ),
        (
            "it serves by a rule",
            canary(0.0),
            &all,
            rule.clone(),
            vec![("x-t", "1")],
            false,
        ),
        (
            "it does not by the rule",
            canary(0.0),
            &all,
            rule,
            vec![("x-t", "2")],
            true,
        ),
        (
            "switched off",
            canary(0.0),
            &all,
            off,
            vec![(":method", "GET")],
            false,
        ),
        (
            "no identity",
            canary(0.0),
            &json!({"version": "v2", "percent": 0}),
            json!({}),
            vec![],
            false,
        ),
    ] {
        let answer = ask(&policy(&config(&strategy, mirror, &further)), &headers);
        assert_eq!(answer.mirror.as_deref(), copied.then_some("v2"), "{why}");
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
    let good = json!({"version": "v2", "percent": 10});
    let mut untargeted = config(&canary(0.0), &good, &json!({}));
    untargeted["rollouts"][0]
        .as_object_mut()
        .unwrap()
        .remove("target");
    let mut headless = config(&canary(0.0), &good, &json!({}));
    headless["headers"] = json!({"route": "x-divvy-route"});
    let mut no_identity = config(&canary(0.0), &good, &json!({}));
    no_identity["identity"] = json!([]);
    for (config, error) in [
        (
            untargeted,
            "rollouts[0].mirror: needs a target, but no version has one",
        ),
        (
            headless,
            "rollouts[0].mirror: needs a header: name it in headers.mirror",
        ),
        (
            no_identity,
            "rollouts[0].mirror.percent: needs an identity: add a source to identity",
        ),
        (
            config(
                &canary(0.0),
                &json!({"version": "v3", "percent": 10}),
                &json!({}),
            ),
            "rollouts[0].mirror.version: \"v3\" is not one of v1, v2",
        ),
        (
            config(
                &canary(0.0),
                &json!({"version": "v2", "percent": 10, "methods": ["get"]}),
                &json!({}),
            ),
            "rollouts[0].mirror.methods[0]: \"get\" is not a method: write \"GET\"",
        ),
        (
            config(
                &canary(0.0),
                &json!({"version": "v2", "percent": 10, "methods": []}),
                &json!({}),
            ),
            "rollouts[0].mirror.methods: is empty and would match no request",
        ),
    ] {
        assert_eq!(errors_of(&config), [error]);
    }
}
