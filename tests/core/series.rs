//! The metric series that are defined in advance are exactly those that requests count in.
use divvy::decide::{decide, possible};
use divvy::decision::Reason;
use divvy::output::{request_series, series};
use divvy::request::{Empty, Request};
use divvy::{output, policy::VersionId};
use serde_json::{Value, json};

use crate::compile::policy;

/// A rollout with this strategy after one that it can follow.
fn rollout(strategy: &Value) -> Value {
    let leader = json!({
        "name": "leader",
        "versions": [{"name": "v0"}, {"name": "v2"}],
        "stable": "v0",
        "strategy": {"canary": {"version": "v2", "weight": 40}},
    });
    json!({
        "identity": [{"header": "x-user-id"}],
        "holdout": {"name": "2026q4", "percent": 5},
        "rollouts": [leader, {
            "name": "checkout",
            "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}],
            "stable": "v1",
            "rules": [
                {"name": "testers", "when": {"header": "x-test", "present": true}, "use": "v3"},
                {"name": "ring", "when": {"header": "x-user-id", "prefix": "1"}, "split": [
                    {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}, {"version": "v3", "weight": 0},
                ]},
            ],
            "strategy": strategy,
        }],
    })
}

#[test]
fn the_possible_answers_of_a_rollout_are_exactly_those_that_occur() {
    let arms = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
    for strategy in [
        json!({"canary": {"version": "v2", "weight": 0}}),
        json!({"canary": {"version": "v2", "weight": 30}}),
        json!({"canary": {"version": "v2", "weight": 100}}),
        json!({"abTest": {"split": arms}}),
        json!({"abTest": {"split": arms, "traffic": 30}}),
        json!({"abTest": {"split": arms, "traffic": 0}}),
        json!({"abTest": {"split": [{"version": "v2", "weight": 3}]}}),
        json!({"abTest": {"split": [{"version": "v2", "weight": 3}], "traffic": 30}}),
        json!({"abTest": {"split": [{"version": "v2", "weight": 3}], "traffic": 0}}),
        json!({"abTest": {"split": arms, "layer": {"name": "page", "from": 10, "to": 60}}}),
        json!({"abTest": {"split": arms, "layer": {"name": "page", "from": 0, "to": 100}}}),
        json!({"abTest": {"split": [{"version": "v2", "weight": 3}], "holdout": false}}),
        json!({"abTest": {"split": arms, "layer": {"name": "page", "from": 10, "to": 60},
            "traffic": 50, "holdout": false}}),
        json!({"blueGreen": {"active": "v2"}}),
        json!({"weighted": arms}),
        json!({"weighted": [{"version": "v3", "weight": 1}, {"version": "v2", "weight": 0}]}),
        json!({"weighted": [{"version": "v3", "weight": 1}, {"version": "v2", "weight": 2}]}),
        json!({"follow": {"rollout": "leader"}}),
    ] {
        for enabled in [true, false] {
            let mut config = rollout(&strategy);
            config["rollouts"][1]["enabled"] = enabled.into();
            let policy = policy(&config);
            let mut foreseen = possible(&policy, &policy.rollouts[1]);
            // `error` is added once for stable.
            let error = (policy.rollouts[1].stable, Reason::Error);
            assert!(foreseen.contains(&error));
            foreseen.retain(|answer| *answer != error);
            foreseen.sort_unstable();
            foreseen.dedup();

            let mut given = Vec::new();
            let ids: Vec<String> = (0..300).map(|id| id.to_string()).collect();
            let mut requests: Vec<Vec<(&[u8], &[u8])>> = ids
                .iter()
                .map(|id| vec![(&b"x-user-id"[..], id.as_bytes())])
                .collect();
            requests.push(vec![]);
            requests.push(vec![(b"x-test", b"")]);
            requests.push(vec![
                (b":method", b"OPTIONS"),
                (b"origin", b"https://a.example"),
                (b"access-control-request-method", b"GET"),
            ]);
            for headers in requests {
                let request = Request::from_headers(&policy.names, headers);
                let decision = decide(&policy, &request).decisions[1];
                given.push((decision.version, decision.reason));
            }
            given.sort_unstable();
            given.dedup();
            assert_eq!(given, foreseen, "{strategy}, enabled: {enabled}");
        }
    }
}

#[test]
fn the_weights_are_the_shares_of_the_strategy_and_stable_has_the_rest() {
    let arms = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 3}]);
    let (v1, v2) = (VersionId(0), VersionId(1));
    for (strategy, expected) in [
        (
            json!({"canary": {"version": "v2", "weight": 5}}),
            vec![(v1, 950_000), (v2, 50_000)],
        ),
        // The holdout takes 5 % from each test without `holdout: false`.
        (
            json!({"abTest": {"split": arms, "holdout": false}}),
            vec![(v1, 250_000), (v2, 750_000)],
        ),
        (
            json!({"abTest": {"split": arms}}),
            vec![(v1, 287_500), (v2, 712_500)],
        ),
        (
            json!({"abTest": {"split": arms, "traffic": 20, "holdout": false}}),
            vec![(v1, 850_000), (v2, 150_000)],
        ),
        (
            json!({"abTest": {"split": arms, "traffic": 20,
                "layer": {"name": "page", "from": 10, "to": 60}}}),
            vec![(v1, 928_750), (v2, 71_250)],
        ),
        (
            json!({"follow": {"rollout": "leader"}}),
            vec![(v1, 600_000), (v2, 400_000)],
        ),
        (
            json!({"abTest": {"split": [{"version": "v2", "weight": 1}], "traffic": 20,
                "holdout": false}}),
            vec![(v1, 800_000), (v2, 200_000)],
        ),
        (
            json!({"abTest": {"split": [
                {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}, {"version": "v3", "weight": 1},
            ], "holdout": false}}),
            vec![(v1, 333_334), (v2, 333_333), (VersionId(2), 333_333)],
        ),
        (
            json!({"weighted": [
                {"version": "v1", "weight": 80}, {"version": "v2", "weight": 15}, {"version": "v3", "weight": 5},
            ]}),
            vec![(v1, 800_000), (v2, 150_000), (VersionId(2), 50_000)],
        ),
        (
            json!({"weighted": [{"version": "v2", "weight": 1}]}),
            vec![(v1, 0), (v2, 1_000_000)],
        ),
        (
            json!({"blueGreen": {"active": "v1"}}),
            vec![(v1, 1_000_000)],
        ),
        (
            json!({"blueGreen": {"active": "v2"}}),
            vec![(v1, 0), (v2, 1_000_000)],
        ),
    ] {
        let policy = policy(&rollout(&strategy));
        let shares = policy.shares(&Empty)[1].clone().into_iter();
        let mut shares: Vec<_> = shares
            .map(|(version, share)| (version, share.ppm()))
            .collect();
        shares.sort_unstable();
        assert_eq!(shares, expected, "{strategy}");
    }
}

#[test]
fn a_disabled_rollout_gives_stable_all_of_the_weight() {
    let mut config = rollout(&json!({"canary": {"version": "v2", "weight": 5}}));
    config["rollouts"][1]["enabled"] = false.into();
    let policy = policy(&config);
    let shares = policy.shares(&Empty)[1].clone();
    assert_eq!(shares.len(), 1);
    assert_eq!((shares[0].0, shares[0].1.ppm()), (VersionId(0), 1_000_000));
}

#[test]
fn a_stat_name_has_its_labels_before_the_metric() {
    assert_eq!(
        request_series("checkout", "v2", Reason::Split),
        "divvy_rollout=.=checkout;.;divvy_version=.=v2;.;divvy_reason=.=split;.;divvy_requests_total"
    );
    assert_eq!(
        output::response_series("checkout", "v2", divvy::response::ResponseClass::GrpcError),
        "divvy_rollout=.=checkout;.;divvy_version=.=v2;.;divvy_class=.=grpc_error;.;divvy_responses_total"
    );
    assert_eq!(
        output::duration_series("checkout", "v2"),
        "divvy_rollout=.=checkout;.;divvy_version=.=v2;.;divvy_request_duration_ms"
    );
    assert_eq!(
        output::weight_series("checkout", "v2"),
        "divvy_rollout=.=checkout;.;divvy_version=.=v2;.;divvy_weight_ppm"
    );
    assert_eq!(series(&[], "divvy_config_inert"), "divvy_config_inert");
}
