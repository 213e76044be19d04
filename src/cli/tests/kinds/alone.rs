//! Examples of warnings about a configuration by itself.

use super::Example;
use super::build::*;
use divvy_cli::warnings::Kind;
use serde_json::{Value, json};

pub fn examples() -> Vec<Example> {
    let one_header = identity_header();
    let path = |value: &str| ruled(&[when(json!({"path": true, "prefix": value}))]);
    let scope = |value: Value| config(&json!({"match": [value]}));
    let guarded = |more: Value| {
        let mut fields = json!({"guardrail": {"errors": {"max": 1}}});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config(&fields)
    };
    let unreachable = |more: Value| {
        let mut fields = json!({"unreachable": true, "target": "{version}"});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config(&fields)
    };
    let stays = json!({"blueGreen": {"active": "v1"}});
    let zero = json!({"canary": {"version": "v2", "weight": 0}});
    let rule = |percent: Option<u32>| {
        let mut rule = json!({"name": "r", "use": "v2", "when": {"header": "x", "present": true}});
        if let Some(percent) = percent {
            rule["percent"] = json!(percent);
        }
        json!([rule])
    };
    let owners = |scope: Value| {
        let mut first = rollout(&json!({"target": "{version}"}));
        if !scope.is_null() {
            first["match"] = json!([scope]);
        }
        let mut second = rollout(
            &json!({"target": "x", "match": [{"path": {"prefix": "/reviews"}, "hosts": ["b.example"]}]}),
        );
        second["name"] = json!("b");
        json!({"identity": [{"header": "x-user-id"}], "rollouts": [first, second]})
    };
    let many = |number: usize, scoped: bool| {
        let rollouts = (0..number).map(|nth| {
            let mut one = rollout(&json!({}));
            one["name"] = json!(format!("a-rollout-with-a-long-name-{nth}"));
            if scoped {
                one["match"] = json!([{"hosts": [format!("h{nth}.example")]}]);
            }
            one
        });
        json!({"identity": [{"header": "x-user-id"}], "rollouts": rollouts.collect::<Vec<_>>()})
    };
    let stripped = [
        "x-divvy-route",
        "x-divvy-assignment",
        "x-divvy-mirror",
        "x-divvy-unit",
        "x-group",
    ];
    let cookie = |operator: &str, value: &str| when(json!({"cookie": "s", operator: value}));
    let arms = json!([{"version": "v1", "weight": 80}, {"version": "v2", "weight": 20}]);
    let layered = |identity: Value| {
        let test = |name: &str, from: u32| {
            let layer = json!({"name": "page", "from": from, "to": from + 50});
            let mut test =
                rollout(&json!({"strategy": {"abTest": {"split": arms, "layer": layer}}}));
            test["name"] = json!(name);
            test
        };
        let mut second = test("b", 50);
        if !identity.is_null() {
            second["identity"] = identity;
        }
        json!({"identity": [{"header": "x-user-id"}], "rollouts": [test("a", 0), second]})
    };
    vec![
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[cookie("prefix", "a"), cookie("exact", "ab")])],
            vec![ruled(&[cookie("exact", "ab"), cookie("prefix", "a")])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[cookie("regex", "a.*"), cookie("exact", "ab")])],
            vec![ruled(&[cookie("regex", "a.?"), cookie("exact", "abc")])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[
                when(json!({"path": true, "prefix": "/"})),
                cookie("exact", "x"),
            ])],
            vec![ruled(&[
                when(json!({"path": true, "prefix": "/a"})),
                cookie("exact", "x"),
            ])],
        ),
        (
            Kind::RuleNeverDecides,
            vec![ruled(&[when(
                json!({"identity": true, "in": ["Anonymous", "null"]}),
            )])],
            vec![ruled(&[when(
                json!({"identity": true, "in": ["anonymous", "alice"]}),
            )])],
        ),
        (
            Kind::NeverMatches,
            vec![path("/checkout/*")],
            vec![path("/checkout")],
        ),
        (
            Kind::NeverMatches,
            vec![path("/a/../b")],
            vec![path("/a/..b")],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"path": {"suffix": "/.."}}))],
            vec![scope(json!({"path": {"suffix": ".."}}))],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"path": {"contains": "/./"}}))],
            vec![scope(json!({"path": {"contains": "/."}}))],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"path": {"regex": "/café/.*"}}))],
            vec![scope(json!({"path": {"regex": "/caf(é|e)/.*"}}))],
        ),
        (
            Kind::NeverMatches,
            vec![path("/café")],
            vec![path("/caf%C3%A9")],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"path": {"exact": "/a b"}}))],
            vec![scope(json!({"path": {"exact": "/a%20b"}}))],
        ),
        (
            Kind::NeverMatches,
            vec![scope(json!({"methods": ["*"]}))],
            vec![scope(json!({"methods": ["GET"]}))],
        ),
        (
            Kind::NeverMatches,
            vec![ruled(&[when(json!({"host": true, "exact": "*.example"}))])],
            vec![ruled(&[when(json!({"host": true, "suffix": ".example"}))])],
        ),
        (
            Kind::NeverMatches,
            vec![
                ruled(&[when(json!({"header": "user_id", "present": true}))]),
                strip(&stripped),
            ],
            vec![ruled(&[when(
                json!({"header": "user_id", "present": true}),
            )])],
        ),
        (
            Kind::NeverMatches,
            vec![scope(
                json!({"when": {"all": [{"cookie": "s", "exact": "a"}, {"cookie": "s", "exact": "b"}]}}),
            )],
            vec![scope(
                json!({"when": {"any": [{"cookie": "s", "exact": "a"}, {"cookie": "s", "exact": "b"}]}}),
            )],
        ),
        (
            Kind::NoEffect,
            vec![scope(json!({"when": {"path": true, "present": true}}))],
            vec![scope(json!({"when": {"query": "a", "present": true}}))],
        ),
        (
            Kind::NoEffect,
            vec![changed(
                one_header.clone(),
                "/identity/0",
                json!({"concat": [{"cookie": "a"}, {"cookie": "b"}]}),
            )],
            vec![one_header],
        ),
        (
            Kind::NoEffect,
            vec![with_unit(json!([{"random": true}]), &["assignment"])],
            vec![with_unit(
                json!([{"cookie": "a"}, {"random": true}]),
                &["assignment"],
            )],
        ),
        (
            Kind::NoEffect,
            vec![with_unit(json!([{"cookie": "a"}]), &[])],
            vec![with_unit(json!([{"cookie": "a"}]), &["assignment"])],
        ),
        (
            Kind::NoEffect,
            vec![config(
                &json!({"identity": [{"cookie": "s"}], "strategy": {"blueGreen": {"active": "v2"}}}),
            )],
            vec![config(
                &json!({"identity": [{"cookie": "s"}], "strategy": {"weighted": arms}}),
            )],
        ),
        (
            Kind::LayerIdentities,
            vec![layered(json!([{"cookie": "s"}]))],
            vec![layered(Value::Null)],
        ),
        (
            Kind::DottedHeader,
            vec![ruled(&[when(json!({"header": "x.user", "present": true}))])],
            vec![ruled(&[when(json!({"header": "x-user", "present": true}))])],
        ),
        (
            Kind::SharedSalt,
            vec![{
                let mut all = many(2, false);
                all["rollouts"][0]["salt"] = json!("s");
                all["rollouts"][1]["salt"] = json!("s");
                all
            }],
            vec![many(2, false), {
                let mut all = many(2, false);
                for rollout in 0..2 {
                    let flag = format!("flag-{rollout}");
                    let hash = json!({"launchDarkly": {"flag": flag, "salt": "x"}});
                    let canary = json!({"canary": {"version": "v2", "weight": 5}});
                    let one = all["rollouts"][rollout].as_object_mut().unwrap();
                    one.insert("salt".to_owned(), json!("s"));
                    // Its epoch reads the salt.
                    let sticky = json!({"cookie": format!("s{rollout}"), "maxAge": "1h"});
                    one.insert("sticky".to_owned(), sticky);
                    one.insert("hash".to_owned(), hash);
                    one.insert("strategy".to_owned(), canary);
                }
                all
            }],
        ),
        (
            Kind::NoEffect,
            vec![guarded(
                json!({"guardrail": {"errors": {"max": 1}, "evidence": false}}),
            )],
            vec![guarded(json!({}))],
        ),
        (
            Kind::NoEffect,
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 5, "gate": "qa"}, {"weight": 9, "gate": "end"}]}}}),
            )],
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 5, "gate": "qa"}, {"weight": 9}]}}}),
            )],
        ),
        (
            Kind::TooFewRequests,
            vec![guarded(
                json!({"guardrail": {"minRequests": 100_000, "errors": {"max": 1}}}),
            )],
            vec![guarded(json!({}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(json!({"strategy": zero, "rules": rule(None)}))],
            vec![guarded(json!({"strategy": zero, "rules": rule(Some(100))}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(
                json!({"strategy": {"blueGreen": {"active": "v1"}}}),
            )],
            vec![guarded(
                json!({"strategy": {"blueGreen": {"active": "v2"}}}),
            )],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(json!({"strategy": zero}))],
            vec![guarded(json!({"enabled": false, "strategy": zero}))],
        ),
        (
            Kind::NeverJudges,
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 0}]}}}),
            )],
            vec![guarded(
                json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z", "steps": [{"weight": 0, "hold": "1h"}, {"weight": 9}]}}}),
            )],
        ),
        (
            Kind::NeverUnreachable,
            vec![config(&json!({"unreachable": true}))],
            vec![unreachable(json!({}))],
        ),
        (
            Kind::NeverUnreachable,
            vec![unreachable(json!({"enabled": false}))],
            vec![unreachable(json!({"enabled": true}))],
        ),
        (
            Kind::NeverUnreachable,
            vec![unreachable(json!({"strategy": stays}))],
            vec![unreachable(
                json!({"strategy": stays, "mirror": {"version": "v2", "percent": 100}}),
            )],
        ),
        (
            Kind::NeverUnreachable,
            vec![unreachable(json!({"strategy": stays, "rules": rule(None)}))],
            vec![unreachable(
                json!({"strategy": stays, "rules": rule(Some(50))}),
            )],
        ),
        (
            Kind::RouteNeverOwned,
            vec![owners(Value::Null)],
            vec![owners(json!({"path": {"prefix": "/shop"}}))],
        ),
        (
            Kind::RouteNeverOwned,
            vec![owners(
                json!({"hosts": ["*.example"], "path": {"prefix": "/"}}),
            )],
            vec![owners(json!({"hosts": ["c.example"]}))],
        ),
        (
            Kind::LongAssignment,
            vec![many(200, false)],
            vec![{
                let mut silent = many(200, false);
                silent["headers"] = json!({"route": "x-divvy-route"});
                silent
            }],
        ),
        (
            Kind::LongAssignment,
            vec![many(200, false)],
            vec![many(200, true)],
        ),
    ]
}
