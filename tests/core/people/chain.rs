//! Inherited decisions of upstream proxies.

use super::*;
use serde_json::json;

const GATEWAY: &str = "spiffe://cluster.local/ns/istio-system/sa/gateway";

fn config(rollouts: &[Value]) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "trust": {"principals": ["spiffe://cluster.local/ns/istio-system/sa/*"]},
        "rollouts": rollouts,
    })
}

fn from(peer: &'static str) -> World {
    World {
        peer: Some(peer),
        ..World::default()
    }
}

fn answer(policy: &Policy, lines: &[&str]) -> Answer {
    let headers: Vec<_> = lines
        .iter()
        .map(|line| ("x-divvy-assignment", *line))
        .collect();
    ask_in(&from(GATEWAY), policy, &headers)
}

#[test]
fn the_decision_of_a_trusted_proxy_precedes_rules_and_strategy() {
    let rule =
        json!({"rules": [{"name": "all", "when": {"header": "x", "present": false}, "use": "v1"}]});
    let policy = policy(&config(&[rollout(&canary(0.0), &rule)]));
    for (sent, assignment) in [
        (
            "checkout=v2;reason=split",
            "checkout=v2;reason=inherited;upstream=split",
        ),
        (
            "checkout=v2;reason=rule",
            "checkout=v2;reason=inherited;upstream=rule",
        ),
        ("checkout=\"v2\"", "checkout=v2;reason=inherited"),
        (
            "checkout=v2;reason=inherited;upstream=sticky",
            "checkout=v2;reason=inherited;upstream=sticky",
        ),
        (
            "checkout=v2;reason=inherited",
            "checkout=v2;reason=inherited",
        ),
        (
            "checkout=v2;reason=nonsense",
            "checkout=v2;reason=inherited",
        ),
        (
            "checkout=v1, checkout=v2;reason=active",
            "checkout=v2;reason=inherited;upstream=active",
        ),
        ("", "checkout=v1;reason=rule"),
    ] {
        assert_eq!(answer(&policy, &[sent]).assignment(), assignment, "{sent}");
    }
}

#[test]
fn decisions_of_other_peers_are_ignored() {
    let policy = policy(&config(&[rollout(&canary(0.0), &json!({}))]));
    let forged = [("x-divvy-assignment", "checkout=v2;reason=split, other=x")];
    for (who, world) in [
        ("a client without certificate", World::default()),
        (
            "another peer",
            from("spiffe://cluster.local/ns/default/sa/gateway"),
        ),
        (
            "another domain",
            from("spiffe://cluster.local.evil/ns/istio-system/sa/gateway"),
        ),
        (
            "only the prefix",
            from("spiffe://cluster.local/ns/istio-system/sa/"),
        ),
        (
            "an outbound listener",
            World {
                direction: Some(2),
                ..World::default()
            },
        ),
    ] {
        let answer = ask_in(&world, &policy, &forged);
        assert_eq!(answer.assignment(), "checkout=v1;reason=split", "{who}");
    }
    let mut trustless = config(&[rollout(&canary(0.0), &json!({}))]);
    trustless.as_object_mut().unwrap().remove("trust");
    let answer = ask_in(&from(GATEWAY), &super::policy(&trustless), &forged);
    assert_eq!(
        answer.assignment(),
        "checkout=v1;reason=split",
        "without `trust` no peer is trusted"
    );
}

#[test]
fn the_workload_is_trusted_on_outbound_listeners() {
    let mut config = config(&[rollout(&canary(0.0), &json!({}))]);
    config["trust"] = json!({"workload": true});
    let policy = policy(&config);
    for (direction, trusted) in [
        (None, false),
        (Some(0), false),
        (Some(1), false),
        (Some(2), true),
    ] {
        let world = World {
            direction,
            ..World::default()
        };
        let answer = ask_in(
            &world,
            &policy,
            &[("x-divvy-assignment", "checkout=v2;reason=split")],
        );
        assert_eq!(
            answer.route.as_deref(),
            Some(if trusted { "v2" } else { "v1" })
        );
    }
}

#[test]
fn members_of_other_rollouts_are_forwarded_unchanged() {
    let local = rollout(
        &canary(0.0),
        &json!({"match": [{"path": {"prefix": "/shop"}}]}),
    );
    let policy = policy(&config(&[local]));
    let sent = "search=B;reason=rule;x=\"a, b\", checkout=v9;reason=split,\tflags=(a \"b,c\");q=?1, on, checkout2=v2";
    let shop = |path: &str| {
        let headers = [(":path", path), ("x-divvy-assignment", sent)];
        ask_in(&from(GATEWAY), &policy, &headers)
    };
    let all = "search=B;reason=rule;x=\"a, b\", checkout=v9;reason=split, flags=(a \"b,c\");q=?1, on, checkout2=v2";
    let here = shop("/shop");
    assert_eq!(
        here.assignment(),
        all,
        "a member with an unknown version is unchanged"
    );
    assert_eq!(here.route.as_deref(), Some("v1"), "stable serves");
    let elsewhere = shop("/other");
    assert_eq!((elsewhere.assignment(), &elsewhere.route), (all, &None));
}

#[test]
fn a_proxy_without_rollouts_forwards_all_members() {
    let policy = policy(&config(&[]));
    assert_eq!(
        answer(&policy, &["a=1", "b=2;reason=split"]).assignment(),
        "a=1, b=2;reason=split"
    );
}

#[test]
fn several_header_lines_are_one_list_and_one_syntax_error_invalidates_it() {
    let policy = policy(&config(&[rollout(&canary(0.0), &json!({}))]));
    for (lines, route) in [
        (vec!["a=b", "checkout=v2;reason=split"], "v2"),
        (vec!["checkout=v2;reason=split", "A=b"], "v1"),
        (vec!["checkout=v2;reason=split,"], "v1"),
        (vec!["checkout=v2 ;reason=split"], "v1"),
        (vec!["checkout=v2;reason=split", ""], "v1"),
        (vec!["checkout=v2;reason=\"sp"], "v1"),
    ] {
        assert_eq!(
            answer(&policy, &lines).route.as_deref(),
            Some(route),
            "{lines:?}"
        );
    }
    let long = format!("checkout=v2;reason=split, a=\"{}\"", "x".repeat(8_200));
    assert_eq!(
        answer(&policy, &[&long]).route.as_deref(),
        Some("v1"),
        "too long"
    );
}

#[test]
fn a_disabled_rollout_ignores_inherited_decisions() {
    let policy = policy(&config(&[rollout(
        &canary(0.0),
        &json!({"enabled": false}),
    )]));
    let answer = answer(&policy, &["checkout=v2;reason=split"]);
    assert_eq!(answer.assignment(), "checkout=v1;reason=disabled");
}

#[test]
fn follow_and_assigned_prefer_own_decisions_to_upstream_ones() {
    let follow = json!({"follow": {"rollout": "checkout"}});
    let rule = json!({"name": "payments", "rules": [
        {"name": "with-b", "when": {"assigned": {"rollout": "search", "version": "B"}}, "use": "v2"},
    ]});
    let upstream = policy(&config(&[rollout(&follow, &rule)]));
    for (sent, assignment) in [
        (
            "checkout=v2;reason=split",
            "payments=v2;reason=follow, checkout=v2;reason=split",
        ),
        (
            "checkout=v9;reason=split",
            "payments=v1;reason=follow, checkout=v9;reason=split",
        ),
        ("search=B", "payments=v2;reason=rule, search=B"),
        ("search=A", "payments=v1;reason=follow, search=A"),
        ("", "payments=v1;reason=follow"),
    ] {
        assert_eq!(
            answer(&upstream, &[sent]).assignment(),
            assignment,
            "{sent}"
        );
    }
    let only_post = json!({"match": [{"methods": ["POST"]}]});
    let here = policy(&config(&[
        rollout(&canary(0.0), &only_post),
        rollout(&follow, &rule),
    ]));
    for (method, version) in [("POST", "v1"), ("GET", "v2")] {
        // The leader of this proxy does not match GET.
        let headers = [
            (":method", method),
            ("x-divvy-assignment", "checkout=v2;reason=split"),
        ];
        let answer = ask_in(&from(GATEWAY), &here, &headers);
        let inherited = "checkout=v2;reason=inherited;upstream=split, payments=v2;reason=follow";
        let forwarded = "payments=v2;reason=follow, checkout=v2;reason=split";
        let expected = if version == "v1" {
            inherited
        } else {
            forwarded
        };
        assert_eq!(answer.assignment(), expected, "{method}");
    }
}

#[test]
fn the_guardrail_judges_and_rolls_back_inherited_decisions_of_a_strategy() {
    let guarded = json!({"guardrail": {"errors": {"max": 1}}});
    let policy = policy(&config(&[rollout(&canary(0.0), &guarded)]));
    for (reason, judged) in [
        ("split", true),
        ("sticky", true),
        ("active", true),
        ("follow", true),
        ("rule", false),
        ("error", false),
        ("disabled", false),
        ("no_identity", false),
    ] {
        let sent = format!("checkout=v2;reason={reason}");
        let headers = [(&b"x-divvy-assignment"[..], sent.as_bytes())];
        let world = from(GATEWAY);
        let request = Request::from_headers(&policy.names, headers).with_environment(&world);
        let decisions = decide::decide(&policy, &request).decisions;
        assert_eq!(decisions[0].judged, judged, "{reason}");
    }
}

#[test]
fn errors_of_trust() {
    let mut headless = config(&[]);
    headless["headers"] = json!({"route": "x-divvy-route"});
    assert_eq!(
        errors_of(&headless),
        ["trust: needs a header: name it in headers.assignment"]
    );
    let follow = json!({"follow": {"rollout": "Checkout"}});
    let errors = errors_of(&config(&[rollout(&follow, &json!({"name": "payments"}))]));
    assert_eq!(
        errors,
        [
            "rollouts[0].strategy.follow.rollout: \"Checkout\" is not a valid name: it must match [a-z][a-z0-9._-]{0,63}"
        ]
    );
}
