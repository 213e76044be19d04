//! Errors of sticky cookies in a configuration.

use super::sticky::config;
use super::*;
use serde_json::json;

#[test]
fn errors_of_sticky_cookies() {
    let leader = rollout(&canary(1.0), &json!({"name": "leader"}));
    let sticky = |strategy: &Value| config(strategy)["rollouts"][0].clone();
    let canary = config(&canary(50.0));
    let with = |fields: Value| build::with(canary.clone(), &fields);
    let other = build::with(canary["rollouts"][0].clone(), &json!({"name": "other"}));
    let mut same = canary.clone();
    same["rollouts"][0]["sticky"]["cookie"] = json!("divvy_id");
    for (config, error) in [
        (
            config(&json!({"blueGreen": {"active": "v2"}})),
            "rollouts[0].sticky: has no effect with blueGreen: all users get the same version",
        ),
        (
            with(json!({"rollouts": [leader, sticky(&json!({"follow": {"rollout": "leader"}}))]})),
            "rollouts[1].sticky: has no effect with follow: make the followed rollout sticky",
        ),
        (
            with(json!({"identity": [{"header": "x"}, {"random": true}]})),
            "rollouts[0].sticky: is not possible with a random identity, which changes with every request",
        ),
        (
            with(json!({"rollouts": [canary["rollouts"][0], other]})),
            "rollouts[1].sticky.cookie: \"divvy_checkout\" is a cookie that divvy already sets",
        ),
        (
            same,
            "rollouts[0].sticky.cookie: \"divvy_id\" is a cookie that divvy already sets",
        ),
    ] {
        assert_eq!(errors_of(&config), [error]);
    }
}
