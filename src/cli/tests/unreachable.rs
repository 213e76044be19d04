//! `--unreachable` of `divvy explain` and `divvy simulate`: what happens while a version has no host.

use crate::common::{complaint, divvy, file, json, text};
use serde_json::{Value, json};

/// Two rollouts with targets, of which the first one owns the route, and one that only tags.
fn config() -> tempfile::TempPath {
    let rollout = |name: &str, strategy: Value| {
        json!({
            "name": name, "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}], "stable": "v1",
            "target": "{version}", "strategy": strategy,
            "rules": [
                {"name": "testers", "when": {"header": "x-test", "present": true}, "use": "v2"},
                {"name": "ring", "when": {"header": "x-ring", "present": true}, "use": "v2", "percent": 100},
                {"name": "arms", "when": {"header": "x-arms", "present": true},
                    "split": [{"version": "v3", "weight": 1}]},
            ],
        })
    };
    let mut tag = rollout("tag", json!({"blueGreen": {"active": "v2"}}));
    tag.as_object_mut().unwrap().remove("target");
    let off = json!({"blueGreen": {"active": "v2"}});
    let mut always = rollout("always", off);
    always["unreachable"] = json!(false);
    let config = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [rollout("shop", json!({"blueGreen": {"active": "v2"}})), tag, always],
    });
    file(".json", &config.to_string())
}

#[test]
fn explain_serves_stable_for_a_version_that_is_unreachable() {
    let config = config();
    let config = config.to_str().unwrap();
    for (unreachable, header, expected) in [
        (&[][..], "a: b", "v2 active, v2 active, v2 active"),
        (&["v2"], "a: b", "v1 unreachable, v2 active, v2 active"),
        (&["v3"], "a: b", "v2 active, v2 active, v2 active"),
        (&["v1"], "a: b", "v2 active, v2 active, v2 active"),
        (
            &["tag=v2", "always=v2"],
            "a: b",
            "v2 active, v2 active, v2 active",
        ),
        (&["shop=v2"], "a: b", "v1 unreachable, v2 active, v2 active"),
        // A rule without percent and split asks for the version on purpose.
        (&["v2"], "x-test: 1", "v2 rule, v2 rule, v2 rule"),
        (&["v2"], "x-ring: 1", "v1 unreachable, v2 rule, v2 rule"),
        (&["v2"], "x-arms: 1", "v3 rule, v3 rule, v3 rule"),
        (
            &["v2", "v3"],
            "x-arms: 1",
            "v1 unreachable, v3 rule, v3 rule",
        ),
    ] {
        let mut args = vec!["explain", config, "-r", "/", "-H", header];
        for version in unreachable {
            args.extend(["--unreachable", version]);
        }
        let report = json(&args);
        let decisions = report["decisions"].as_array().unwrap().iter();
        let decisions: Vec<_> = decisions
            .map(|one| {
                let part = |key: &str| one[key].as_str().unwrap();
                format!("{} {}", part("version"), part("reason"))
            })
            .collect();
        assert_eq!(decisions.join(", "), expected, "{unreachable:?} {header}");
    }
}

#[test]
fn explain_says_why_the_decision_changes_or_stays() {
    let config = config();
    let config = config.to_str().unwrap();
    for (header, line) in [
        ("a: b", "  unreachable v2 is unreachable: stable"),
        (
            "x-test: 1",
            "  unreachable v2 is unreachable: the decision stays, because it asks for this version",
        ),
    ] {
        let output = divvy(&[
            "explain",
            config,
            "-r",
            "/",
            "-H",
            header,
            "--unreachable",
            "v2",
        ]);
        let output = text(&output);
        assert!(output.lines().any(|found| found == line), "{output}");
    }
}

#[test]
fn a_line_of_a_batch_has_its_own_unreachable_versions() {
    let config = config();
    let requests = file(
        ".jsonl",
        "{\"request\": \"/\"}\n{\"request\": \"/\", \"unreachable\": [\"shop=v2\"]}\n",
    );
    let output = divvy(&[
        "explain",
        config.to_str().unwrap(),
        "--batch",
        requests.to_str().unwrap(),
    ]);
    let output = text(&output);
    let reasons = output.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["decisions"][0]["reason"].as_str().unwrap().to_owned()
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["active", "unreachable"]);
}

#[test]
fn simulate_gives_the_users_of_an_unreachable_version_to_stable() {
    let arms = json!([
        {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}, {"version": "v3", "weight": 2},
    ]);
    for (strategy, unreachable, expected) in [
        (
            json!({"canary": {"version": "v2", "weight": 20}}),
            None,
            [80, 20, 0],
        ),
        (
            json!({"canary": {"version": "v2", "weight": 20}}),
            Some("v2"),
            [100, 0, 0],
        ),
        (json!({"weighted": arms}), Some("v2"), [50, 0, 50]),
        (json!({"weighted": arms}), Some("v3"), [75, 25, 0]),
        (
            json!({"abTest": {"split": arms}}),
            Some("shop=v3"),
            [75, 25, 0],
        ),
    ] {
        let config = json!({
            "identity": [{"header": "x-user-id"}],
            "rollouts": [{
                "name": "shop", "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}], "stable": "v1",
                "target": "{version}", "strategy": strategy,
            }],
        });
        let path = file(".json", &config.to_string());
        let mut args = vec!["simulate", path.to_str().unwrap(), "--users", "20000"];
        args.extend(
            unreachable
                .iter()
                .flat_map(|version| ["--unreachable", version]),
        );
        let report = json(&args);
        let one = &report["rollouts"][0];
        assert_eq!(one["mismatch"], false, "{config}");
        let mut moved = 0;
        for (version, expected) in one["versions"].as_array().unwrap().iter().zip(expected) {
            assert_eq!(version["configured"], f64::from(expected), "{config}");
            let users = version["percent"].as_f64().unwrap();
            // Four standard errors of 20,000 users.
            let error = (f64::from(expected * (100 - expected)) / 20_000.0).sqrt();
            assert!(
                (users - f64::from(expected)).abs() <= 4.0 * error,
                "{version}"
            );
            moved += version["reasons"]["unreachable"].as_u64().unwrap_or(0);
        }
        assert_eq!(moved > 0, unreachable.is_some(), "{config}");
    }
}

#[test]
fn a_name_that_is_not_a_version_is_an_error() {
    let config = config();
    let config = config.to_str().unwrap();
    for verb in [&["explain", config, "-r", "/"][..], &["simulate", config]] {
        for name in ["v9", "shop=v9", "other=v2", "="] {
            let output = divvy(&[verb, &["--unreachable", name]].concat());
            assert_eq!(output.status.code(), Some(2), "{verb:?} {name}");
            let expected = format!("{name:?} is not a version: write VERSION, or ROLLOUT=VERSION");
            assert!(
                complaint(&output).contains(&expected),
                "{}",
                complaint(&output)
            );
        }
    }
}
