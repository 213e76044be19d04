//! `divvy explain`: what it prints. That it is what the filter does, `tests/host` shows.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{complaint, divvy, divvy_with, file, json, text};
use serde_json::{Value, json};

#[test]
fn the_way_to_a_decision_is_told_step_by_step() {
    let output = divvy(&[
        "explain",
        "-c",
        "envoy/divvy.yaml",
        "-r",
        "GET /checkout",
        "-H",
        "X-User-Id: 42",
        "-H",
        "cookie: shop_role=staff",
        "-H",
        "x-preview: off",
    ]);
    let expected = "\
checkout → v1, split
  match      entry 0 fits
  enabled    yes
  upstream   nothing was decided upstream by anybody trusted
  rule       testers does not match
    false header x-canary exact \"true\"  (is missing)
  rule       staff-preview does not match
    false all of
      true  cookie shop_role in [\"staff\",\"admin\"]  (is \"staff\")
      false not
        true  header x-preview exact \"off\"  (is \"off\")
  identity   \"42\"
  strategy   canary v2 has 20 %; position 216268 ≥ 200000
identity \"42\", given
request headers
  x-divvy-route: v1
  x-divvy-assignment: checkout=v1;reason=split
response headers
  x-divvy-version: checkout=v1;reason=split
counted, if the answer is 200
  divvy_rollout=.=checkout;.;divvy_version=.=v1;.;divvy_reason=.=split;.;divvy_requests_total
  divvy_rollout=.=checkout;.;divvy_version=.=v1;.;divvy_class=.=2xx;.;divvy_responses_total
";
    assert_eq!(text(&output), expected);
}

fn decision(args: &[&str]) -> (String, String) {
    let told = json(&[&["explain"][..], args].concat());
    let part = |key: &str| {
        told["decisions"][0][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (part("version"), part("reason"))
}

fn config(more: &Value) -> tempfile::TempPath {
    let mut config = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "shop", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"blueGreen": {"active": "v1"}},
        }],
    });
    let rollout = config["rollouts"][0].as_object_mut().unwrap();
    rollout.extend(more.as_object().unwrap().clone());
    file(".json", &config.to_string())
}

#[test]
fn what_is_not_in_the_headers_can_be_told() {
    let rule = |when: Value| config(&json!({"rules": [{"name": "r", "when": when, "use": "v2"}]}));
    let claims = file(".json", r#"{"realm": {"roles": ["dev", "ops"]}, "age": 7}"#);
    let claims = claims.to_str().unwrap();
    for (when, args, holds) in [
        (
            json!({"jwtClaim": ["realm", "roles"], "type": "list", "exact": "ops"}),
            &["--claims", claims][..],
            true,
        ),
        (
            json!({"jwtClaim": "age", "type": "number", "range": {"min": 7}}),
            &["--claims", claims],
            true,
        ),
        (
            json!({"jwtClaim": "age", "type": "number", "range": {"min": 8}}),
            &["--claims", claims],
            false,
        ),
        (
            json!({"jwtClaim": "age", "type": "number", "present": true}),
            &[],
            false,
        ),
        (
            json!({"sourceIp": true, "cidr": "10.0.0.0/8"}),
            &["--source-ip", "10.1.2.3"],
            true,
        ),
        (
            json!({"sourceIp": true, "cidr": "10.0.0.0/8"}),
            &["--source-ip", "2001:db8::1"],
            false,
        ),
    ] {
        let config = rule(when.clone());
        let args = [&["-c", config.to_str().unwrap(), "-r", "/"], args].concat();
        let expected = if holds {
            ("v2", "rule")
        } else {
            ("v1", "active")
        };
        let found = decision(&args);
        assert_eq!((&*found.0, &*found.1), expected, "{when}");
    }
}

#[test]
fn a_canary_that_grows_has_the_share_of_the_time_that_is_named() {
    let ramp = json!({"strategy": {"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z",
        "steps": [{"weight": 0, "hold": "1h"}, {"weight": 100}]}}});
    let config = config(&ramp);
    let ask = |at: &str| {
        decision(&[
            "-c",
            config.to_str().unwrap(),
            "-r",
            "/",
            "-H",
            "x-user-id: 1",
            "--at",
            at,
        ])
        .0
    };
    assert_eq!(ask("2030-01-01T00:59:59Z"), "v1");
    assert_eq!(ask("2030-01-01T01:00:00Z"), "v2");
}

#[test]
fn a_batch_answers_each_line_as_if_it_had_been_asked_alone() {
    let lines = [
        json!({"request": "GET /checkout", "headers": {"X-User-Id": "239701014"}}),
        json!({"request": "POST https://shop.example/checkout?uid=7", "headers": [["x-canary", "true"]]}),
        json!({"request": "/elsewhere"}),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
    let output = divvy_with(
        &input,
        &["explain", "-c", "envoy/divvy.yaml", "--batch", "-"],
    );
    let answers = text(&output);
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines.len());
    for (line, answer) in lines.iter().zip(answers) {
        let mut args = vec![
            "explain",
            "-c",
            "envoy/divvy.yaml",
            "-r",
            line["request"].as_str().unwrap(),
        ];
        for header in [
            ("X-User-Id", "x-user-id: 239701014"),
            ("x-canary", "x-canary: true"),
        ] {
            if line["headers"].to_string().contains(header.0) {
                args.extend(["-H", header.1]);
            }
        }
        let mut alone = json(&args);
        alone.as_object_mut().unwrap().remove("rollouts");
        assert_eq!(answer, alone, "{line}");
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let fine = config(&json!({}));
    let fine = fine.to_str().unwrap();
    let broken = file(".yaml", "rollouts: 5\n");
    for (args, said) in [
        (&["-c", "no-such-file", "-r", "/"][..], "no-such-file"),
        (
            &["-c", broken.to_str().unwrap(), "-r", "/"],
            "see divvy check",
        ),
        (&["-c", fine], "--request"),
        (&["-c", fine, "-r", "GET / HTTP/1.1"], "is no request"),
        (&["-c", fine, "-r", "/", "-H", "x"], "is no header"),
        (&["-c", fine, "-r", "/", "--at", "noon"], "is no instant"),
        (
            &["-c", fine, "-r", "/", "--random", "7"],
            "32 hexadecimal digits",
        ),
    ] {
        let output = divvy(&[&["explain"][..], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            complaint(&output).contains(said),
            "{args:?}: {}",
            complaint(&output)
        );
    }
    let output = divvy_with("{}\n", &["explain", "-c", fine, "--batch", "-"]);
    assert!(
        complaint(&output).contains("-:1: missing field `request`"),
        "{}",
        complaint(&output)
    );
}
