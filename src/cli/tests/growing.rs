//! The schedule of a canary that grows over time, in `divvy explain` and `divvy check --rps`.

use crate::common::{file, json, text};
use serde_json::{Value, json};

/// A rollout whose canary has these fields beside `version`.
fn config(canary: &Value) -> tempfile::TempPath {
    let mut whole = json!({"version": "v2"});
    let fields = canary.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    let config = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "shop", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"canary": whole},
        }],
    });
    file(".json", &config.to_string())
}

/// The lines of the schedule that `divvy explain` prints.
fn schedule(canary: &Value, at: &str) -> Vec<String> {
    let config = config(canary);
    let config = config.to_str().unwrap();
    let output = crate::common::divvy(&["explain", config, "-r", "/", "--at", at]);
    let output = text(&output);
    let lines = output
        .lines()
        .skip_while(|line| !line.starts_with("  schedule "));
    let lines =
        lines.take_while(|line| line.starts_with("  schedule ") || line.starts_with("      "));
    lines
        .map(|line| line.trim_start_matches("  schedule").trim().to_owned())
        .collect()
}

#[test]
fn explain_prints_the_steps_with_their_begins() {
    let steps = json!({"start": "2026-12-04T16:30:00Z", "steps": [
        {"weight": 1, "hold": "1h"}, {"weight": 2.5, "hold": "1d"}, {"weight": 50, "gate": "qa"}, {"weight": 100},
    ]});
    let with = |fields: Value| {
        let mut canary = steps.clone();
        canary
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        canary
    };
    let paused = json!({"pauses": [{"days": ["Sat", "Sun"]}, {"from": "17:00", "to": "08:00"}]});
    let passed = json!({"passed": [{"gate": "qa", "at": "2026-12-07T12:00:00Z"}]});
    for (canary, at, expected) in [
        (
            with(json!({})),
            "2026-12-04T16:00:00Z",
            &[
                "1 % from 2026-12-04T16:30:00Z, for 1h",
                "2.5 % from 2026-12-04T17:30:00Z, for 1day",
                "50 % from 2026-12-05T17:30:00Z, until gate qa, which is not passed",
                "100 % after a gate that is not passed",
            ][..],
        ),
        (
            with(passed.clone()),
            "2026-12-05T17:30:00Z",
            &[
                "1 % from 2026-12-04T16:30:00Z, for 1h",
                "2.5 % from 2026-12-04T17:30:00Z, for 1day",
                "50 % from 2026-12-05T17:30:00Z, until gate qa, passed at 2026-12-07T12:00:00Z (now)",
                "100 % from 2026-12-07T12:00:00Z",
            ],
        ),
        (
            with(paused),
            "2026-12-04T18:00:00Z",
            &[
                "1 % from 2026-12-04T16:30:00Z, for 1h (now)",
                "2.5 % from 2026-12-07T08:00:00Z, after a pause, for 1day",
                "50 % from 2026-12-08T08:00:00Z, until gate qa, which is not passed",
                "100 % after a gate that is not passed",
            ],
        ),
        (
            json!({"start": "2026-12-04T16:30:00Z", "ramp": {"from": 5, "by": 5, "to": 15, "every": "90s", "then": 100}}),
            "2030-01-01T00:00:00Z",
            &[
                "5 % from 2026-12-04T16:30:00Z, for 1m 30s",
                "10 % from 2026-12-04T16:31:30Z, for 1m 30s",
                "15 % from 2026-12-04T16:33:00Z, for 1m 30s",
                "100 % from 2026-12-04T16:34:30Z (now)",
            ],
        ),
        (json!({"weight": 5}), "2026-12-04T16:00:00Z", &[]),
    ] {
        assert_eq!(schedule(&canary, at), expected, "{canary} at {at}");
    }
}

#[test]
fn explain_prints_the_steps_around_the_current_one_and_counts_the_others() {
    let ramp = json!({"start": "2026-12-01T00:00:00Z", "ramp": {"from": 1, "by": 1, "to": 100, "every": "1m"}});
    let lines = schedule(&ramp, "2026-12-01T00:50:00Z");
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert_eq!(lines[0], "47 earlier steps");
    assert_eq!(lines[4], "51 % from 2026-12-01T00:50:00Z, for 1m (now)");
    assert_eq!(
        lines[12],
        "42 later steps; the last: 100 % from 2026-12-01T01:39:00Z"
    );
}

#[test]
fn the_json_has_all_steps() {
    let canary = json!({"start": "2026-12-04T16:30:00Z", "steps": [
        {"weight": 2.5, "gate": "qa"}, {"weight": 10, "hold": "1h"}, {"weight": 50, "gate": "end"}, {"weight": 100},
    ], "passed": [{"gate": "qa", "at": "2026-12-04T18:00:00Z"}]});
    let config = config(&canary);
    let config = config.to_str().unwrap();
    let report = json(&["explain", config, "-r", "/", "--at", "2026-12-04T18:30:00Z"]);
    assert_eq!(
        report["rollouts"][0]["schedule"],
        json!([
            {"begins": "2026-12-04T16:30:00Z", "weight": 2.5, "gate": "qa", "passed": "2026-12-04T18:00:00Z"},
            {"begins": "2026-12-04T18:00:00Z", "weight": 10.0, "hold": "1h", "current": true},
            {"begins": "2026-12-04T19:00:00Z", "weight": 50.0, "gate": "end"},
            {"begins": null, "weight": 100.0},
        ])
    );
}

#[test]
fn check_says_which_step_lasts_longer_than_its_hold() {
    let steps = |hold: &str| {
        json!({"start": "2026-12-04T16:30:00Z", "steps": [
            {"weight": 0, "hold": "1m"}, {"weight": 1, "hold": hold}, {"weight": 2, "hold": hold},
            {"weight": 5, "gate": "qa"}, {"weight": 100},
        ]})
    };
    let even = json!({"start": "2026-12-04T16:30:00Z", "ramp": {"from": 1, "by": 49, "to": 50, "every": "10m"}});
    for (canary, guardrail, rps, expected) in [
        (
            steps("10m"),
            json!({"errors": {"max": 1}}),
            "1",
            "rollouts[0].strategy.canary.steps[1].hold: the step of 1 % lasts longer than 10m: it needs 20 requests, \
             but at 1 requests per second the canary gets 6.0 in that time; so does a later step",
        ),
        (
            steps("20m"),
            json!({"errors": {"max": 1, "window": "10m"}}),
            "1",
            "rollouts[0].strategy.canary.steps[1].hold: the step of 1 % lasts longer than 20m: it needs 20 requests, \
             but at 1 requests per second the canary gets 12.0 in that time",
        ),
        (steps("40m"), json!({"errors": {"max": 1}}), "1", ""),
        (
            steps("10m"),
            json!({"errors": {"max": 1}, "evidence": false}),
            "1",
            "",
        ),
        (
            steps("10m"),
            json!({"errors": {"max": 1}, "onBreach": "observe"}),
            "1",
            "",
        ),
        (
            even,
            json!({"errors": {"max": 1}, "minRequests": 200}),
            "10",
            "rollouts[0].strategy.canary.ramp.every: the step of 1 % lasts longer than 10m: it needs 200 requests, \
             but at 10 requests per second the canary gets 60.0 in that time",
        ),
    ] {
        let path = config(&canary);
        let mut whole: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        whole["rollouts"][0]["guardrail"] = guardrail;
        let path = file(".json", &whole.to_string());
        let report = json(&["check", "--rps", rps, path.to_str().unwrap()]);
        let findings = report["findings"].as_array().unwrap().iter();
        let found: Vec<_> = findings
            .map(|one| {
                let part = |key: &str| one[key].as_str().unwrap();
                format!("{}: {}", part("path"), part("message"))
            })
            .collect();
        let expected = if expected.is_empty() {
            vec![]
        } else {
            vec![expected.to_owned()]
        };
        assert_eq!(found, expected, "{whole}");
    }
}
