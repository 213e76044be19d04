//! The output of `divvy explain`. `tests/host` compares its decisions with those of the filter.

use crate::common::{complaint, divvy, divvy_with, file, json, text};
use serde_json::{Value, json};

#[test]
fn the_output_lists_the_steps_of_a_decision() {
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
  match      entry 0 matches
  enabled    yes
  upstream   no trusted proxy decided
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
counters for a response with status 200
  divvy_rollout=.=checkout;.;divvy_version=.=v1;.;divvy_reason=.=split;.;divvy_requests_total
  divvy_rollout=.=checkout;.;divvy_version=.=v1;.;divvy_class=.=2xx;.;divvy_responses_total
";
    assert_eq!(text(&output), expected);
}

fn decision(args: &[&str]) -> (String, String) {
    let explanation = json(&[&["explain"][..], args].concat());
    let part = |key: &str| {
        explanation["decisions"][0][key]
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
fn claims_and_source_address_are_arguments() {
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
fn a_growing_canary_has_its_share_at_the_given_time() {
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
fn a_batch_gives_each_line_the_explanation_of_a_single_request() {
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
fn invalid_arguments_fail_with_a_message() {
    let fine = config(&json!({}));
    let fine = fine.to_str().unwrap();
    let broken = file(".yaml", "rollouts: 5\n");
    for (args, message) in [
        (&["-c", "no-such-file", "-r", "/"][..], "no-such-file"),
        (
            &["-c", broken.to_str().unwrap(), "-r", "/"],
            "see divvy check",
        ),
        (&["-c", fine], "--request"),
        (&["-c", fine, "-r", "GET / HTTP/1.1"], "is not a request"),
        (&["-c", fine, "-r", "/", "-H", "x"], "is not a header"),
        (
            &["-c", fine, "-r", "/", "--at", "noon"],
            "is not an instant",
        ),
        (
            &["-c", fine, "-r", "/", "--random", "7"],
            "32 hexadecimal digits",
        ),
    ] {
        let output = divvy(&[&["explain"][..], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            complaint(&output).contains(message),
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
