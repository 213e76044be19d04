//! `divvy simulate`: shares, sample-ratio mismatches, overlaps, guardrails and plots.

use crate::common::{divvy, file, json, text};
use serde_json::{Value, json};

fn rollout(name: &str, salt: &str, strategy: &Value) -> Value {
    json!({
        "name": name, "salt": salt, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "strategy": strategy,
    })
}

fn config(identity: &Value, rollouts: &[Value]) -> tempfile::TempPath {
    let config = json!({"identity": [identity], "rollouts": rollouts});
    file(".json", &config.to_string())
}

fn canary(weight: u32) -> Value {
    json!({"canary": {"version": "v2", "weight": weight}})
}

fn header() -> Value {
    json!({"header": "x-user-id"})
}

/// The arguments of `divvy simulate` with these options.
fn arguments<'a>(config: &'a tempfile::TempPath, options: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["simulate", "-c", config.to_str().unwrap()];
    arguments.extend(options.split(' '));
    arguments
}

#[test]
fn users_get_the_configured_shares_with_every_identity_source() {
    for identity in [
        header(),
        json!({"cookie": "uid"}),
        json!({"query": "uid"}),
        json!({"jwtClaim": ["realm", "sub"]}),
        json!({"sourceIp": true}),
        json!({"random": true}),
        json!({"concat": [{"header": "a"}, {"cookie": "b"}]}),
    ] {
        let config = config(&identity, &[rollout("a", "s", &canary(20))]);
        for population in ["seq", "uuid"] {
            let options = format!("--users 20000 --population {population}");
            let report = json(&arguments(&config, &options));
            let one = &report["rollouts"][0];
            assert_eq!(one["users"], 20_000);
            let v2 = &one["versions"][1];
            let [low, high] = [0, 1].map(|end| v2["interval"][end].as_f64().unwrap());
            assert_eq!(v2["configured"], 20.0);
            assert!(
                (19.0..21.0).contains(&v2["percent"].as_f64().unwrap()),
                "{identity}: {one}"
            );
            assert!(high - low < 1.2 && low < high, "{one}");
            assert_eq!(one["mismatch"], false, "{identity}, {population}: {one}");
        }
    }
}

#[test]
fn users_who_are_not_a_random_sample_are_a_mismatch_with_exit_code_1() {
    let fair = config(&header(), &[rollout("a", "s", &canary(50))]);
    let path = fair.to_str().unwrap();
    // Users of the canary are 40 times as frequent as others.
    let mut users = String::new();
    for nth in 0..1_000 {
        let user = format!("x-user-id: u{nth}");
        if nth % 100 == 0 {
            let explanation = json(&["explain", "-c", path, "-r", "/", "-H", &user]);
            let version = explanation["decisions"][0]["version"]
                .as_str()
                .unwrap()
                .to_owned();
            users.push_str(&format!("u{nth}\n").repeat(if version == "v2" { 40 } else { 1 }));
        }
    }
    let list = file(".txt", &users);
    let options = format!("--population {}", list.display());
    let args = arguments(&fair, &options);
    let output = divvy(&args);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("sample-ratio mismatch, p = "),
        "{}",
        text(&output)
    );
    assert_eq!(json(&args)["rollouts"][0]["mismatch"], true);
}

#[test]
fn users_of_a_rule_are_counted_and_do_not_cause_a_mismatch() {
    let mut ruled = rollout("a", "s", &canary(50));
    ruled["rules"] = json!([{"name": "r", "use": "v2", "when": {"identity": true, "suffix": "7"}}]);
    let config = config(&header(), &[ruled]);
    let report = json(&arguments(&config, "--users 10000"));
    let one = &report["rollouts"][0];
    assert_eq!(
        (&one["users"], &one["byRule"]),
        (&json!(10_000), &json!(1_000))
    );
    assert_eq!(one["mismatch"], false, "{one}");
    assert_eq!(one["versions"][1]["reasons"]["rule"], 1_000);
    let v2 = one["versions"][1]["percent"].as_f64().unwrap();
    assert!(
        (v2 - 55.0).abs() < 1.5,
        "10 % by the rule and half of the others: {one}"
    );
}

#[test]
fn shares_are_those_of_all_users_also_by_rules_with_percent() {
    let config = config(
        &json!({"random": true}),
        &[json!({
            "name": "reviews", "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}], "stable": "v1",
            "rules": [{"name": "to-v3", "when": {"method": true, "present": true}, "use": "v3", "percent": 20}],
            "strategy": {"canary": {"version": "v2", "weight": 37.5}},
        })],
    );
    let report = json(&arguments(&config, "--users 20000"));
    let versions = report["rollouts"][0]["versions"].as_array().unwrap().iter();
    for (version, share) in versions.zip([50.0, 30.0, 20.0]) {
        let percent = version["percent"].as_f64().unwrap();
        assert!((percent - share).abs() < 1.5, "{report:#}");
    }
    assert_eq!(report["rollouts"][0]["mismatch"], false);
    let shown = text(&divvy(&arguments(&config, "--users 20000")));
    assert!(shown.contains(" of them by a rule\n"), "{shown}");
    assert!(
        shown.contains("configured 37.5000 % of the others"),
        "{shown}"
    );
}

#[test]
fn the_control_of_a_test_is_separate_from_stable_outside_it() {
    let test = json!({"abTest": {"traffic": 20, "split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]}});
    let config = config(&header(), &[rollout("a", "s", &test)]);
    let report = json(&arguments(&config, "--users 10000"));
    let stable = &report["rollouts"][0]["versions"][0];
    assert_eq!(stable["control"], true);
    let number = |reason: &str| stable["reasons"][reason].as_u64().unwrap();
    assert!(number("split").abs_diff(1_000) < 150, "{stable}");
    assert!(number("not_enrolled").abs_diff(8_000) < 200, "{stable}");
    let shown = text(&divvy(&arguments(&config, "--users 10000")));
    assert!(shown.contains(" % split, the control"), "{shown}");
}

#[test]
fn headers_belong_to_every_request() {
    let mut ruled = rollout("a", "s", &canary(0));
    ruled["rules"] =
        json!([{"name": "r", "use": "v2", "when": {"header": "x-beta", "exact": "1"}}]);
    ruled["match"] = json!([{"hosts": ["shop.example"]}]);
    let config = config(&header(), &[ruled]);
    let path = config.to_str().unwrap();
    for (more, users, by_rule) in [
        (&[][..], 100, 0),
        (&["-H", "X-Beta: 1"], 100, 100),
        (&["-H", "x-beta: 2"], 100, 0),
        (&["-H", "host: other.example"], 0, 0),
    ] {
        let args = [&["simulate", path, "--users", "100"], more].concat();
        let one = &json(&args)["rollouts"][0];
        assert_eq!(
            (&one["users"], &one["byRule"]),
            (&json!(users), &json!(by_rule)),
            "{more:?}"
        );
    }
}

#[test]
fn a_simulation_that_would_not_end_is_refused() {
    let mut guarded = rollout("a", "s", &canary(50));
    guarded["guardrail"] = json!({"errors": {"max": 1}});
    let config = config(&header(), &[guarded]);
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let pipe = pipe.to_str().unwrap();
    for options in [
        "--users 99999999999",
        "--users 0",
        "--users -1",
        "--users nan",
        "--workers 99999999",
        "--workers 0",
        "--rps nan",
        "--rps inf",
        "--rps 0",
        "--rps=-1",
        "--rps 1e300",
        "--seconds 99999999999",
        "--canary-errors nan",
        "--canary-errors 101",
        "--canary-latency inf",
        "--stable-latency=-1",
        "--guardrail --rps 1000000",
        "--guardrail --workers 1024 --seconds 1000000 --rps 1",
        &format!("--population {pipe}"),
        &format!("--users 10 --plot {pipe}"),
        "--population /dev/zero",
    ] {
        let output = divvy(&arguments(&config, options));
        assert_eq!(output.status.code(), Some(2), "{options}");
        assert!(!crate::common::complaint(&output).is_empty(), "{options}");
    }
    // Two million users of 60 rollouts, in both configurations.
    let names = (0..60).map(|number| rollout(&format!("r{number}"), "s", &canary(50)));
    let many = self::config(&header(), &names.collect::<Vec<_>>());
    let many = many.to_str().unwrap();
    let output = divvy(&["diff", many, many, "--users", "2000000"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(crate::common::complaint(&output).contains("decisions, the limit"));
    for args in [
        &["check", pipe][..],
        &["promote", pipe],
        &["convert", "--random", pipe],
        &["render", "plugin", pipe],
        &["explain", "envoy/divvy.yaml", "--batch", pipe],
        &["explain", pipe, "-r", "/"],
        &["simulate", pipe],
        &["diff", pipe, pipe],
    ] {
        let output = divvy(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let complaint = crate::common::complaint(&output);
        assert!(complaint.contains("is not a regular file"), "{complaint}");
    }
    for rate in ["nan", "inf", "0", "-5"] {
        let option = format!("--rps={rate}");
        let output = divvy(&["check", &option, "envoy/divvy.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{rate}");
    }
}

#[test]
fn a_guardrail_that_can_never_judge_is_named() {
    let mut forced = rollout("a", "s", &canary(0));
    forced["guardrail"] = json!({"errors": {"max": 1}});
    forced["rules"] = json!([{"name": "r", "use": "v2", "when": {"header": "x", "present": true}}]);
    let never = config(&header(), &[forced.clone()]);
    let shown = text(&divvy(&arguments(&never, "--users 10")));
    assert!(
        shown
            .contains("guardrail: the guardrail never judges: only rules without percent or split"),
        "{shown}"
    );
    forced["rules"][0]["percent"] = json!(100);
    let judges = config(&header(), &[forced]);
    let report = json(&arguments(&judges, "--users 10"));
    assert_eq!(report["rollouts"][0].get("guardrail"), None);
}

#[test]
fn the_plot_shows_a_ramp_that_is_over() {
    let growing = rollout(
        "grows",
        "s",
        &json!({"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z",
        "steps": [{"weight": 10, "hold": "1h"}, {"weight": 50, "hold": "1h"}, {"weight": 100}]}}),
    );
    let config = config(&header(), &[growing]);
    let folder = tempfile::tempdir().unwrap();
    let drawn = |at: &str| {
        let plot = folder.path().join("out.svg");
        let options = format!("--users 10 --at {at} --plot {}", plot.display());
        assert_eq!(
            divvy(&arguments(&config, &options)).status.code(),
            Some(0),
            "{at}"
        );
        std::fs::read_to_string(plot).unwrap()
    };
    // The curve has a point for each side of each step, wherever the time stands.
    let corners = |svg: &str| {
        let lines = svg
            .split("<polyline")
            .filter(|line| line.contains("#E69F00"));
        let points = lines.filter_map(|line| line.split("points=\"").nth(1)?.split('"').next());
        points
            .map(|points| points.split_whitespace().count())
            .max()
            .unwrap_or_default()
    };
    for (at, past) in [
        ("2029-12-31T23:00:00Z", false),
        ("2030-01-01T01:30:00Z", true),
        ("2030-01-03T00:00:00Z", true),
    ] {
        let svg = drawn(at);
        assert!(corners(&svg) >= 6, "{at}: {}", corners(&svg));
        assert_eq!(svg.contains("\nnow\n"), past, "{at}");
    }
}
#[test]
fn salts_and_layers_determine_the_overlap_of_experiments() {
    let test = |from: u32| {
        json!({"abTest": {"split": [{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}],
        "layer": {"name": "page", "from": from, "to": from + 50}}})
    };
    let config = config(
        &header(),
        &[
            rollout("one", "s", &canary(50)),
            rollout("same", "s", &canary(50)),
            rollout("other", "o", &canary(50)),
            rollout("left", "l", &test(0)),
            rollout("right", "r", &test(50)),
        ],
    );
    let report = json(&arguments(&config, "--users 50000"));
    let pair = |one: &str, other: &str| {
        let mut all = report["overlaps"].as_array().unwrap().iter();
        all.find(|pair| pair["rollouts"] == json!([one, other]))
            .unwrap()
    };
    let p = |pair: &Value| pair["pValue"].as_f64().unwrap();
    assert!(p(pair("one", "same")) < 1e-9);
    assert!(p(pair("one", "other")) > 0.001);
    assert!((pair("one", "same")["percent"].as_f64().unwrap() - 50.0).abs() < 1.0);
    assert!((pair("one", "other")["percent"].as_f64().unwrap() - 25.0).abs() < 1.0);
    assert_eq!(pair("left", "right")["percent"], 0.0);
}

#[test]
fn a_guardrail_rolls_back_a_failing_version_and_keeps_a_healthy_one() {
    let mut guarded = rollout("a", "s", &canary(50));
    guarded["guardrail"] = json!({"errors": {"max": 1}});
    let config = config(&header(), &[guarded]);
    let run = |errors: &str| {
        let traffic = "--users 10 --guardrail --rps 40 --seconds 900 --canary-errors";
        let report = json(&arguments(&config, &format!("{traffic} {errors}")));
        report["guardrails"][0].clone()
    };
    let bad = run("10");
    let event = &bad["events"][0];
    assert!(
        event["text"]
            .as_str()
            .unwrap()
            .starts_with("v2 is rolled back to stable"),
        "{bad}"
    );
    assert!(event["second"].as_u64().unwrap() < 60, "{bad}");
    assert_eq!(bad["shares"].as_array().unwrap().last().unwrap()[1], 0.0);
    assert_eq!(run("0.2")["events"], json!([]));
}

#[test]
fn the_plot_shows_shares_ramps_and_guardrails() {
    let mut growing = rollout(
        "grows",
        "s",
        &json!({"canary": {"version": "v2", "start": "2030-01-01T00:00:00Z",
        "steps": [{"weight": 10, "hold": "1h"}, {"weight": 50}]}}),
    );
    growing["guardrail"] = json!({"errors": {"max": 1}});
    let config = config(&header(), &[growing]);
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("out.svg");
    let options = "--users 1000 --at 2030-01-01T00:30:00Z --guardrail --seconds 600 --plot";
    let options = format!("{options} {}", plot.display());
    let output = divvy(&arguments(&config, &options));
    assert_eq!(output.status.code(), Some(0));
    let drawn = std::fs::read_to_string(plot).unwrap();
    for panel in [
        "Shares of the versions",
        "Ramps: configured share over time",
        "Guardrail of grows",
    ] {
        assert!(drawn.contains(panel), "{panel}");
    }
}
