//! divvy configurations, from an empty one to a thousand rollouts.

use serde_json::{Value, json};

/// The full path: an identity header, two header rules, a canary of 25 %, route and assignment
/// headers, all metrics. The same as in the tables of instructions and host calls.
#[must_use]
pub fn full() -> Value {
    json!({
        "version": "1",
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "checkout",
            "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1",
            "target": "{version}",
            "rules": [
                {"name": "testers", "when": {"header": "x-canary", "exact": "true"}, "use": "v2"},
                {"name": "staff", "when": {"header": "x-role", "exact": "staff"}, "use": "v2"},
            ],
            "strategy": {"canary": {"version": "v2", "weight": 25}},
        }],
    })
}

/// The full path with this field of the configuration.
#[must_use]
pub fn full_and(field: &str, value: Value) -> Value {
    let mut configuration = full();
    configuration[field] = value;
    configuration
}

/// The full path with this field of its rollout.
#[must_use]
pub fn rollout_and(field: &str, value: Value) -> Value {
    let mut configuration = full();
    configuration["rollouts"][0][field] = value;
    configuration
}

/// Rollouts that do not match the host.
#[must_use]
pub fn none_matches() -> Value {
    rollout_and("match", json!([{"hosts": ["other.example.com"]}]))
}

/// The minimum that splits: counters and route, no assignment header.
#[must_use]
pub fn one_canary() -> Value {
    let mut configuration = full_and("headers", json!({"route": "x-divvy-route"}));
    configuration["rollouts"][0]["metrics"] = json!("requests");
    configuration["rollouts"][0]["rules"] = json!([]);
    configuration
}

/// Limits on errors and latency, absolute and against stable.
#[must_use]
pub fn guarded() -> Value {
    rollout_and(
        "guardrail",
        json!({
            "errors": {"max": 1, "overStable": 1},
            "latency": {"quantile": 0.95, "max": "320ms", "timesStable": 1.1},
            // High limits: a slow machine must not change the measured path.
            "onBreach": "observe",
        }),
    )
}

/// A ramp that stays at 25 %: a step without `hold` lasts forever.
#[must_use]
pub fn ramp() -> Value {
    rollout_and(
        "strategy",
        json!({"canary": {
            "version": "v2", "start": "2025-01-01T00:00:00Z",
            "steps": [{"weight": 25}, {"weight": 100}],
        }}),
    )
}

/// Ten matching rollouts: the canary, which routes, and nine A/B tests in three layers.
#[must_use]
pub fn ten() -> Value {
    let mut configuration = full();
    let tests = (0..9).map(|nth| {
        let (layer, third) = (nth / 3, nth % 3 * 33);
        json!({
            "name": format!("test-{nth}"),
            "versions": [{"name": "A"}, {"name": "B"}],
            "stable": "A",
            "strategy": {"abTest": {
                "split": [{"version": "A", "weight": 1}, {"version": "B", "weight": 1}],
                "layer": {"name": format!("layer-{layer}"), "from": third, "to": third + 33},
            }},
        })
    });
    let mut rollouts = vec![configuration["rollouts"][0].take()];
    rollouts.extend(tests);
    configuration["rollouts"] = rollouts.into();
    configuration
}

/// `count` rollouts, one of which matches host and path.
#[must_use]
pub fn many(count: usize) -> Value {
    let mut configuration = full();
    let rollout = configuration["rollouts"][0].take();
    let named = |nth: usize| {
        let mut rollout = rollout.clone();
        // The matching rollout is in the middle, where no search begins.
        let (name, host, path) = match nth == count / 2 {
            true => (
                "checkout".to_owned(),
                "shop".to_owned(),
                "checkout".to_owned(),
            ),
            false => (
                format!("service-{nth}"),
                format!("shop-{nth}"),
                format!("service-{nth}"),
            ),
        };
        rollout["name"] = json!(name);
        rollout["match"] = json!([{
            "hosts": [format!("{host}.example.com")],
            "path": {"prefix": format!("/{path}")},
        }]);
        rollout
    };
    configuration["rollouts"] = (0..count).map(named).collect();
    configuration
}
