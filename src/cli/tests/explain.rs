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
identity \"42\", given by header x-user-id, in logs 4062ccb68a58f0ae
route: decided by checkout
request headers
  x-divvy-route: v1
  x-divvy-assignment: checkout=v1;reason=split
  x-divvy-unit: 4062ccb68a58f0ae
response headers
  x-divvy-version: checkout=v1;reason=split
counters for a response with status 200
  divvy_requests_total{divvy_rollout=\"checkout\",divvy_version=\"v1\",divvy_reason=\"split\"}
  divvy_responses_total{divvy_rollout=\"checkout\",divvy_version=\"v1\",divvy_class=\"2xx\"}
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

#[test]
fn the_owner_of_the_route_is_named() {
    let routed = |name: &str, more: Value| {
        let mut rollout = json!({
            "name": name, "target": "{version}", "versions": [{"name": "v1"}, {"name": "v2"}],
            "stable": "v1", "strategy": {"blueGreen": {"active": "v2"}},
        });
        let fields = more.as_object().unwrap().clone();
        rollout.as_object_mut().unwrap().extend(fields);
        rollout
    };
    let reviews = json!({"match": [{"path": {"prefix": "/reviews"}}]});
    let config = json!({"rollouts": [routed("shop", json!({})), routed("reviews", reviews)]});
    let config = file(".json", &config.to_string());
    let config = config.to_str().unwrap();
    let explained = json(&["explain", config, "-r", "GET /reviews"]);
    assert_eq!(explained["routeOwner"], "shop");
    assert_eq!(explained["withoutRoute"], json!(["reviews"]));
    let shown = text(&divvy(&["explain", config, "-r", "GET /reviews"]));
    let line = "route: decided by shop, the first matching rollout with targets; reviews only tags";
    assert!(shown.contains(line), "{shown}");
    let shown = text(&divvy(&["explain", config, "-r", "GET /"]));
    assert!(shown.contains("route: decided by shop\n"), "{shown}");
}

#[test]
fn the_source_of_the_identity_and_a_missing_one_are_named() {
    let percent = |percent: u32| json!({"name": "r", "use": "v2", "percent": percent, "when": {"header": "x-insider", "present": true}});
    let two = config(&json!({"rules": [percent(50)]}));
    let two = two.to_str().unwrap();
    let ask = |more: &[&str]| {
        let args = [&["explain", two, "-r", "/", "-H", "x-insider: 1"], more].concat();
        text(&divvy(&args))
    };
    let given = ask(&["-H", "x-user-id: 7"]);
    assert!(
        given.contains("identity \"7\", given by header x-user-id\n"),
        "{given}"
    );
    let none = ask(&[]);
    assert!(
        none.contains("r matches, but its percent needs an identity, and the request has none"),
        "{none}"
    );
    assert!(
        none.contains("identity: none: header x-user-id has no usable value\n"),
        "{none}"
    );
    let ignored = ask(&["-H", "x-user-id: anonymous"]);
    assert!(
        ignored
            .contains("identity: none: header x-user-id is \"anonymous\", one of ignoreIdentities"),
        "{ignored}"
    );
    // 100 % is everybody.
    let all = config(&json!({"rules": [percent(100)]}));
    let args = [
        "explain",
        all.to_str().unwrap(),
        "-r",
        "/",
        "-H",
        "x-insider: 1",
    ];
    let all = text(&divvy(&args));
    assert!(all.starts_with("shop → v2, rule\n"), "{all}");
    assert!(
        all.contains("identity: no decision depended on it"),
        "{all}"
    );
}

#[test]
fn a_host_header_is_the_host_of_the_request() {
    let config = config(&json!({"match": [{"hosts": ["shop.example.com"]}]}));
    let config = config.to_str().unwrap();
    for (request, header, matches) in [
        ("/", "host: shop.example.com", true),
        ("/", "Host: shop.example.com:8443", true),
        ("/", ":authority: shop.example.com", true),
        ("https://other.example/", "host: shop.example.com", true),
        ("https://shop.example.com/", "host: other.example", false),
    ] {
        let explained = json(&["explain", config, "-r", request, "-H", header]);
        assert_eq!(
            explained["rollouts"][0]["matches"], matches,
            "{request} {header}"
        );
        let line = json!({"request": request, "headers": [header.rsplit_once(": ").map(|(name, value)| [name, value])]});
        let batch = divvy_with(&line.to_string(), &["explain", config, "--batch", "-"]);
        let batch: Value = serde_json::from_str(&text(&batch)).unwrap();
        assert_eq!(
            batch["decisions"].as_array().unwrap().len() == 1,
            matches,
            "{line}"
        );
    }
}

#[test]
fn a_name_chooses_among_several_configurations() {
    let of = |name: &str, active: &str| {
        format!(
            "apiVersion: x/v1\nkind: WasmPlugin\nmetadata: {{name: {name}}}\nspec: {{url: u, pluginName: p-{name}, \
             pluginConfig: {{rollouts: [{{name: a, versions: [{{name: v1}}, {{name: v2}}], stable: v1, strategy: \
             {{blueGreen: {{active: {active}}}}}}}]}}}}\n"
        )
    };
    let both = file(
        ".yaml",
        &format!("{}---\n{}", of("divvy-one", "v1"), of("divvy-two", "v2")),
    );
    let both = both.to_str().unwrap();
    for (plugin, version) in [
        ("divvy-one", "v1"),
        ("divvy-two", "v2"),
        ("p-divvy-two", "v2"),
    ] {
        assert_eq!(
            decision(&[both, "--plugin", plugin, "-r", "/"]).0,
            version,
            "{plugin}"
        );
    }
    for (args, message) in [
        (
            &["explain", both, "-r", "/"][..],
            "choose one with --plugin: divvy-one, divvy-two",
        ),
        (
            &["simulate", both, "--plugin", "divvy-three"],
            "no configuration of the plugin \"divvy-three\"; it has: divvy-one, divvy-two",
        ),
        (&["diff", both, both], "choose one with --plugin"),
    ] {
        let output = divvy(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            complaint(&output).contains(message),
            "{}",
            complaint(&output)
        );
    }
    // Every verb reads the file as an argument and from standard input.
    let yaml = "rollouts: []\n";
    for args in [
        &["explain", "-", "-r", "/"][..],
        &["simulate", "-", "--users", "10"],
        &["check", "-"],
    ] {
        assert_eq!(divvy_with(yaml, args).status.code(), Some(0), "{args:?}");
    }
}
