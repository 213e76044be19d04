//! Pairs of an old and a new rollout, and what their configurations are made of.

use serde_json::{Value, json};

pub(super) fn config_of(rollout: Value) -> Value {
    json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]})
}

pub(super) fn rollout(strategy: &Value, more: &Value) -> Value {
    let mut rollout = json!({
        "name": "shop",
        "versions": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
        "stable": "a",
        "strategy": strategy,
    });
    rollout
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rollout
}

pub(super) fn canary(version: &str, weight: f64) -> Value {
    json!({"canary": {"version": version, "weight": weight}})
}

pub(super) fn test(weights: [u32; 3], traffic: u32) -> Value {
    let arms = ["a", "b", "c"].iter().zip(weights);
    let split: Value = arms
        .map(|(version, weight)| json!({"version": version, "weight": weight}))
        .collect();
    json!({"abTest": {"split": split, "traffic": traffic}})
}

pub(super) fn weighted(weights: [u32; 3]) -> Value {
    let arms = test(weights, 100)["abTest"]["split"].clone();
    json!({"weighted": arms})
}

/// Old and new rollout, and the minimum percentage of users who must change version, computed by
/// hand.
pub(super) fn pairs() -> Vec<(Value, Value, f64)> {
    let none = json!({});
    let of = |strategy: Value| rollout(&strategy, &none);
    let with = |strategy: Value, more: Value| rollout(&strategy, &more);
    let flagd = |strategy, salt| {
        let hash = json!({"flagd": {"flag": "shop"}});
        with(strategy, json!({"hash": hash, "salt": salt}))
    };
    let green = |active: &str| json!({"blueGreen": {"active": active}});
    vec![
        (of(canary("b", 5.0)), of(canary("b", 5.0)), 0.0),
        (of(canary("b", 5.0)), of(canary("b", 20.0)), 15.0),
        (of(canary("b", 20.0)), of(canary("b", 5.0)), 15.0),
        (of(canary("b", 33.3333)), of(canary("b", 33.3334)), 0.0001),
        (of(canary("b", 0.0)), of(canary("b", 100.0)), 100.0),
        (of(canary("b", 10.0)), of(canary("c", 10.0)), 10.0),
        (
            of(canary("b", 50.0)),
            with(canary("b", 50.0), json!({"salt": "new"})),
            0.0,
        ),
        (
            of(canary("b", 20.0)),
            with(canary("b", 20.0), json!({"stable": "c"})),
            80.0,
        ),
        (
            of(canary("b", 20.0)),
            with(canary("b", 20.0), json!({"enabled": false})),
            20.0,
        ),
        (of(test([1, 1, 0], 100)), of(test([1, 1, 1], 100)), 33.3333),
        (of(test([1, 1, 1], 100)), of(test([1, 1, 0], 100)), 33.3333),
        (of(test([1, 1, 0], 100)), of(test([300, 300, 0], 100)), 0.0),
        (of(test([1, 1, 0], 20)), of(test([1, 1, 0], 40)), 10.0),
        (of(test([1, 1, 0], 40)), of(test([1, 1, 0], 20)), 10.0),
        (of(test([1, 1, 0], 100)), of(test([1, 3, 0], 100)), 25.0),
        (
            of(test([1, 1, 2], 100)),
            with(test([1, 1, 2], 100), json!({"salt": "new"})),
            0.0,
        ),
        (of(weighted([2, 1, 1])), of(weighted([2, 1, 5])), 37.5),
        (of(weighted([1, 1, 2])), of(weighted([1, 1, 0])), 50.0),
        (of(weighted([1, 1, 2])), of(weighted([10, 10, 20])), 0.0),
        (of(test([1, 1, 2], 100)), of(weighted([1, 1, 2])), 0.0),
        (
            of(weighted([1, 1, 2])),
            with(
                weighted([1, 1, 2]),
                json!({"identity": [{"cookie": "session"}]}),
            ),
            0.0,
        ),
        (
            of(weighted([2, 1, 1])),
            flagd(weighted([2, 1, 1]), "s"),
            0.0,
        ),
        (
            flagd(canary("b", 20.0), "s"),
            flagd(canary("b", 35.0), "s"),
            15.0,
        ),
        (
            flagd(canary("b", 35.0), "s"),
            flagd(canary("b", 35.0), "t"),
            0.0,
        ),
        (of(canary("b", 50.0)), of(test([1, 1, 0], 100)), 0.0),
        (of(green("a")), of(green("b")), 100.0),
        (of(green("b")), of(canary("b", 25.0)), 75.0),
        (
            of(canary("b", 25.0)),
            with(canary("b", 30.0), json!({"name": "store", "salt": "shop"})),
            5.0,
        ),
        (
            of(canary("b", 25.0)),
            with(
                canary("b", 25.0),
                json!({"rules": [{"name": "r", "use": "b", "when": {"header": "x", "present": true}}]}),
            ),
            0.0,
        ),
    ]
}
