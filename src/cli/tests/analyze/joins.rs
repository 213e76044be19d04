//! Events, logs with other keys, and units of single rollouts.

use std::fs;

use super::results::{GOAL, analyze, config};
use super::traffic::{START, configuration, line};
use crate::common::{complaint, divvy_with, file};

#[test]
fn events_join_by_unit_and_have_amounts() {
    let config = config(&["A", "B"]);
    let exposures = [("A", 1), ("B", 2), ("A", 3), ("B", 4)].map(|(arm, unit)| {
        line(
            START,
            ("GET", "/", 200),
            &format!("page={arm};reason=split"),
            &format!("{unit:016x}"),
        )
    });
    let event = |unit: u64, second: u64, goal: &str, value: &str| {
        let time = humantime::format_rfc3339_seconds(
            std::time::UNIX_EPOCH + std::time::Duration::from_millis(START + 1_000 * second),
        );
        [
            format!(
                "{{\"unit\":\"{unit:016x}\",\"time\":\"{time}\",\"goal\":\"{goal}\",\"value\":{value}}}"
            ),
            format!("{unit:016x},{goal},{value},{time}"),
        ]
    };
    let events = [
        event(1, 5, "purchase", "10.5"),
        event(1, 6, "purchase", "2"),
        event(2, 7, "purchase", "-1"),
        event(3, 8, "refund", "3"),
        event(9, 9, "purchase", "3"),
    ];
    let json_lines = events.each_ref().map(|[json, _]| json.clone()).join("\n");
    let csv = "unit,goal,value,time\n".to_owned()
        + &events.each_ref().map(|[_, csv]| csv.clone()).join("\n");
    for events in [file(".jsonl", &json_lines), file(".csv", &csv)] {
        let more = [
            "--goal",
            "purchase",
            "--events",
            events.to_str().unwrap(),
            "--value",
            "value",
        ];
        let report = analyze(&config, &exposures, &more);
        let total = |metric: usize| {
            let arms = &report["goals"][1]["metrics"][metric]["arms"];
            [0, 1].map(|arm| arms[arm]["total"].as_f64().unwrap())
        };
        assert_eq!(
            (total(0), total(1), total(2)),
            ([1.0, 1.0], [2.0, 1.0], [12.5, -1.0])
        );
        assert_eq!(report["events"]["read"], 5);
    }
}

#[test]
fn other_logs_are_read_by_their_keys() {
    let config = config(&["A", "B"]);
    let line = |user: &str, second: u64, order: bool| {
        let (verb, path) = if order {
            ("POST", "/order?id=1")
        } else {
            ("GET", "/")
        };
        let second = START / 1_000 + second;
        format!(
            r#"{{"user":{{"id":"{user}"}},"ts":{second}.5,"req.verb":"{verb}","p":"{path}","status":"200","divvy":"page=A;reason=split"}}"#
        )
    };
    let lines = [
        line("ann, \\\"a\\\"", 1, false),
        line("ann, \\\"a\\\"", 2, true),
        line("bob", 3, false),
    ];
    let fields = "unit=user.id,time=ts,method=req.verb,path=p,code=status,assignment=divvy";
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("out.csv");
    let report = analyze(
        &config,
        &lines,
        &["--fields", fields, "--exposures", csv.to_str().unwrap()],
    );
    assert_eq!(
        report["goals"][0]["metrics"][0]["arms"][0]["total"], 1.0,
        "{report:#}"
    );
    let csv = fs::read_to_string(csv).unwrap();
    assert!(
        csv.contains("2026-11-30T09:00:01.5Z,\"ann, \"\"a\"\"\",page,A\n"),
        "{csv}"
    );
}

#[test]
fn a_rollout_with_an_identity_of_its_own_has_a_unit_of_its_own() {
    let mut own = configuration(&["A", "B"], "results");
    own["rollouts"][0]["identity"] = serde_json::json!([{"header": "x-account"}]);
    let config = file(".json", &own.to_string());
    let units = [
        "00000000000000aa;page=00000000000000bb",
        "none;page=00000000000000bb",
        "00000000000000aa",
        "00000000000000aa;page=none",
    ];
    let lines = units.map(|unit| line(START, ("GET", "/", 200), "page=A;reason=split", unit));
    let report = analyze(&config, &lines, &[]);
    assert_eq!(report["arms"][0]["units"], 1);
    assert_eq!(report["lines"]["withoutUnit"], 2);
    let output = divvy_with(
        &lines[2],
        &[
            "analyze",
            "-c",
            config.to_str().unwrap(),
            "--rollout",
            "page",
            "--goal",
            GOAL,
            "-",
        ],
    );
    assert!(
        complaint(&output).contains("an identity of its own"),
        "{}",
        complaint(&output)
    );
}
