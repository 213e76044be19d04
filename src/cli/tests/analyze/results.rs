//! Results of logs with a known truth, in text, JSON, a plot and exposures.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::traffic::{Draw, START, assignment, configuration, line, policy, unit, visits};
use crate::common::{divvy, divvy_with, file, json, text};

pub const GOAL: &str = "POST /order 2xx";

pub fn config(arms: &[&str]) -> tempfile::TempPath {
    file(".json", &configuration(arms, "results").to_string())
}

pub fn analyze(config: &tempfile::TempPath, lines: &[String], more: &[&str]) -> Value {
    let log = file(".log", &lines.join("\n"));
    let words = [
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        GOAL,
    ];
    json(&[&words, more, &[log.to_str().unwrap()]].concat())
}

fn effect(report: &Value, goal: usize, metric: usize, arm: usize) -> &Value {
    &report["goals"][goal]["metrics"][metric]["comparisons"][arm]["difference"]
}

fn holds(interval: &Value, truth: f64) -> bool {
    interval[0].as_f64().unwrap() < truth && truth < interval[1].as_f64().unwrap()
}

#[test]
fn a_planted_effect_is_found_in_lines_of_any_order_and_from_any_input() {
    let (config, policy) = (
        config(&["A", "B"]),
        policy(&configuration(&["A", "B"], "results")),
    );
    let mut lines = visits(
        &policy,
        8_000,
        1,
        |version| if version == "B" { 0.14 } else { 0.10 },
    );
    let report = analyze(&config, &lines, &[]);
    assert_eq!(report["sampleRatio"]["mismatch"], false, "{report:#}");
    for interval in ["fixed", "alwaysValid"] {
        let found = &effect(&report, 0, 0, 0)[interval];
        assert!(
            holds(found, 0.04) && !holds(found, 0.0),
            "{interval}: {found}"
        );
    }
    let orders = lines.iter().filter(|line| line.contains("POST")).count();
    let converted = report["goals"][0]["metrics"][0]["arms"]
        .as_array()
        .unwrap()
        .iter();
    let converted: f64 = converted.map(|arm| arm["total"].as_f64().unwrap()).sum();
    assert_eq!(converted, orders as f64);
    assert_eq!(report["goals"][0]["looks"].as_array().unwrap().len(), 48);

    // Any order, two files, one of them compressed, or standard input.
    let mut draw = Draw::new(2);
    for place in (1..lines.len()).rev() {
        lines.swap(place, draw.below(place as u64 + 1) as usize);
    }
    let (one, two) = lines.split_at(lines.len() / 3);
    let one = file(".log", &one.join("\n"));
    let mut zip = GzEncoder::new(tempfile::NamedTempFile::new().unwrap(), Compression::fast());
    // Two members, as `cat a.gz b.gz` makes them.
    zip.write_all(two[..100].join("\n").as_bytes()).unwrap();
    zip.write_all(b"\n").unwrap();
    let mut rest = GzEncoder::new(zip.finish().unwrap(), Compression::fast());
    rest.write_all(two[100..].join("\n").as_bytes()).unwrap();
    let two = rest.finish().unwrap();
    let words = [
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        GOAL,
    ];
    let files = [one.to_str().unwrap(), two.path().to_str().unwrap()];
    assert_eq!(json(&[&words[..], &files].concat()), report);
    let output = divvy_with(
        &lines.join("\n"),
        &[&words[..], &["-", "--output", "json"]].concat(),
    );
    let from_input: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(from_input, report);
}

#[test]
fn lost_units_of_an_arm_are_a_finding_before_any_result() {
    let policy = policy(&configuration(&["A", "B"], "results"));
    let config = config(&["A", "B"]);
    let mut draw = Draw::new(3);
    let lines = (0..40_000).map(|user| {
        let user = format!("user-{user}");
        line(
            START + user.len() as u64,
            ("GET", "/", 200),
            &assignment(&policy, &user),
            &unit(&user),
        )
    });
    let lines: Vec<_> = lines.collect();
    let all = analyze(&config, &lines, &[]);
    assert_eq!(all["sampleRatio"]["mismatch"], false, "{all:#}");
    let kept = lines
        .iter()
        .filter(|line| !line.contains("page=B") || draw.share() >= 0.05);
    let kept = file(".log", &kept.cloned().collect::<Vec<_>>().join("\n"));
    let words = [
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        GOAL,
    ];
    let output = divvy(&[&words[..], &[kept.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output);
    let finding = shown.find("sample-ratio mismatch, p = ").unwrap();
    assert!(
        finding < shown.find(GOAL).unwrap() && shown.contains("The results below mean nothing"),
        "{shown}"
    );
}

#[test]
fn lost_lines_of_many_requests_per_unit_show_in_the_requests_per_unit() {
    let (config, policy) = (
        config(&["A", "B"]),
        policy(&configuration(&["A", "B"], "results")),
    );
    let mut lines = visits(&policy, 20_000, 4, |_| 0.1);
    let mut draw = Draw::new(5);
    lines.retain(|line| !line.contains("page=B") || draw.share() >= 0.05);
    let report = analyze(&config, &lines, &[]);
    let requests = &report["guardrails"][0];
    assert_eq!(requests["metric"], "requests");
    let found = &requests["comparisons"][0]["difference"]["alwaysValid"];
    assert!(!holds(found, 0.0), "{found}");
}

#[test]
fn an_outcome_counts_after_the_exposure_and_a_unit_in_two_arms_does_not_count() {
    let config = config(&["A", "B"]);
    let page = ("GET", "/", 200);
    let order = ("POST", "/order", 201);
    let at = |second: u64, request, assignment: &str, unit: u64| {
        line(
            START + 1_000 * second,
            request,
            assignment,
            &format!("{unit:016x}"),
        )
    };
    let (a, b) = ("page=A;reason=split", "page=B;reason=sticky");
    let mut lines = vec![
        // Orders before, at and after the exposure; the exposure is in an upstream proxy.
        at(9, order, "-", 1),
        at(10, page, "page=B;reason=inherited;upstream=split", 1),
        at(10, order, "-", 1),
        at(11, order, "-", 1),
        // An earlier exposure, which comes later in the log, makes the order count.
        at(20, page, a, 2),
        at(15, order, "-", 2),
        at(14, page, a, 2),
        // A forced decision is not an exposure.
        at(1, page, "page=B;reason=rule", 3),
        at(2, order, "page=B;reason=rule", 3),
        at(1, page, "page=B;reason=inherited;upstream=rule", 4),
        at(1, page, "page=A;reason=not_enrolled", 5),
        // Two arms.
        at(1, page, a, 6),
        at(2, page, b, 6),
        at(3, order, b, 6),
        // Other rollouts, other versions, failed orders, nothing at all.
        at(1, page, "cart=B;reason=split", 7),
        at(1, page, "page=C;reason=split", 8),
        at(1, page, a, 9),
        at(2, ("POST", "/order", 500), a, 9),
        at(1, page, b, 10),
        "{}".to_owned(),
    ];
    // A conversion is exact if many orders wait for an exposure.
    lines.extend((0..40).map(|second| at(100 + second, order, "-", 11)));
    lines.push(at(120, page, b, 11));
    let report = analyze(&config, &lines, &[]);
    let arms = |metric: usize| {
        let arms = report["goals"][0]["metrics"][metric]["arms"]
            .as_array()
            .unwrap()
            .iter();
        arms.map(|arm| arm["total"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    let units: Vec<_> = (report["arms"].as_array().unwrap().iter())
        .map(|arm| arm["units"].as_u64().unwrap())
        .collect();
    // A: 2 and 9; B: 1, 10 and 11.
    assert_eq!(units, [2, 3], "{report:#}");
    assert_eq!(arms(0), [1.0, 2.0]);
    // Of the last unit 16 of 20 orders.
    assert_eq!(arms(1), [1.0, 18.0]);
    assert_eq!(
        (&report["crossed"], &report["short"]),
        (&1.into(), &1.into())
    );
    let lines = &report["lines"];
    assert_eq!(
        (&lines["withoutUnit"], &lines["unparsed"]),
        (&0.into(), &1.into()),
        "{lines}"
    );
    assert_eq!(report["guardrails"][1]["arms"][0]["total"], 1.0);
}

#[test]
fn several_arms_have_wider_intervals_and_the_control_can_be_chosen() {
    let arms = ["A", "B", "C"];
    let (config, policy) = (config(&arms), policy(&configuration(&arms, "results")));
    let lines = visits(
        &policy,
        6_000,
        6,
        |version| if version == "C" { 0.2 } else { 0.1 },
    );
    let report = analyze(&config, &lines, &["--control", "C"]);
    assert_eq!(
        (&report["control"], &report["alpha"]),
        (&"C".into(), &0.025.into())
    );
    for arm in [0, 1] {
        assert!(
            holds(&effect(&report, 0, 0, arm)["fixed"], -0.1),
            "{report:#}"
        );
    }
    let log = file(".log", &lines.join("\n"));
    let words = [
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        GOAL,
    ];
    let shown = text(&divvy(&[&words[..], &[log.to_str().unwrap()]].concat()));
    assert!(
        shown.contains("2 comparisons with the control: each interval has 97.50 % (Bonferroni)"),
        "{shown}"
    );
    assert_eq!(
        shown.matches("always-valid interval of ").count(),
        2,
        "{shown}"
    );
}

#[test]
fn the_plot_and_the_exposures_show_the_units_of_the_log() {
    let (config, policy) = (
        config(&["A", "B"]),
        policy(&configuration(&["A", "B"], "results")),
    );
    let lines = visits(&policy, 500, 7, |_| 0.3);
    let folder = tempfile::tempdir().unwrap();
    let [plot, csv] = ["plot.svg", "out.csv"].map(|name| folder.path().join(name));
    let more = [
        "--plot",
        plot.to_str().unwrap(),
        "--exposures",
        csv.to_str().unwrap(),
    ];
    analyze(&config, &lines, &more);
    let plot = fs::read_to_string(plot).unwrap();
    // The second version has the second colour of all plots.
    assert!(
        plot.starts_with("<svg") && plot.contains("#E69F00") && plot.contains(GOAL),
        "{plot}"
    );
    let csv = fs::read_to_string(csv).unwrap();
    let rows: Vec<_> = csv.lines().collect();
    assert_eq!(
        (rows[0], rows.len()),
        ("timestamp,unit_id,experiment_id,variation_id", 501)
    );
    let user = unit("user-17");
    let row = rows.iter().find(|row| row.contains(&user)).unwrap();
    let version = assignment(&policy, "user-17")
        .replace("page=", "")
        .replace(";reason=split", "");
    let first = lines.iter().find(|line| line.contains(&user)).unwrap();
    let first: Value = serde_json::from_str(first).unwrap();
    let time = first["time"]
        .as_str()
        .unwrap()
        .trim_end_matches("000Z")
        .trim_end_matches('.');
    assert!(row.starts_with(time.trim_end_matches('0')), "{row} {first}");
    assert!(row.ends_with(&format!(",{user},page,{version}")), "{row}");
}
