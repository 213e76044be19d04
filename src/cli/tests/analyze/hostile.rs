//! Inputs that are not logs, or try to exhaust memory or time; and what cannot be analyzed.

use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::traffic::{START, configuration, line};
use crate::common::{complaint, divvy, divvy_with, file, json_with, root};

fn words(config: &tempfile::TempPath) -> Vec<String> {
    let words = [
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        "POST /order",
    ];
    words.map(str::to_owned).into()
}

fn config() -> tempfile::TempPath {
    file(".json", &configuration(&["A", "B"], "s").to_string())
}

fn good(unit: u64) -> String {
    line(
        START,
        ("GET", "/", 200),
        "page=A;reason=split",
        &format!("{unit:016x}"),
    )
}

/// The error for a log.
fn error(input: &str, config: &tempfile::TempPath, more: &[&str]) -> String {
    let words = words(config);
    let words: Vec<_> = words
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    let output = divvy_with(input, &[&words[..], &["-"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", complaint(&output));
    complaint(&output)
}

#[test]
fn lines_that_cannot_be_parsed_are_counted_and_the_first_is_named() {
    let config = config();
    let bad = [
        "not JSON".to_owned(),
        "[1]".to_owned(),
        "{\"time\":\"yesterday\"}".to_owned(),
        good(1).replace("\"code\":200", "\"code\":1e999"),
        good(1).replace("page=A;reason=split", "page=A;;"),
        good(1).replace("0000000000000001", &"u".repeat(300)),
        format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)),
        format!("{{\"a\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        good(1).replace("GET", "G\u{0}ET"),
    ];
    for (nth, bad) in bad.iter().enumerate() {
        let input = [good(1), String::new(), bad.clone(), good(2)].join("\n");
        let words = words(&config);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let report = json_with(&input, &[&words[..], &["-"]].concat());
        let lines = &report["lines"];
        assert_eq!(
            (&lines["read"], &lines["unparsed"], &lines["used"]),
            (&3.into(), &1.into(), &2.into()),
            "{nth}"
        );
        let first = &lines["firstUnparsed"];
        assert_eq!(
            (&first["file"], &first["line"]),
            (&"-".into(), &3.into()),
            "{nth}: {first}"
        );
    }
    // Odd, but no reason to refuse the line.
    for odd in [
        good(1).replace("\"duration\":", "\"duration\":-"),
        good(1).replace("\"duration\":", "\"duration\":1e300,\"d\":"),
        good(1).replace("\"code\":200", "\"code\":\"NaN\""),
        good(1).replace("\"code\":200", "\"code\":null"),
        good(1).replace("\"path\":\"/\"", "\"path\":{\"a\":[1,{}]}"),
    ] {
        let words = words(&config);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let report = json_with(&odd, &[&words[..], &["-"]].concat());
        assert_eq!(report["lines"]["used"], 1, "{odd}: {report:#}");
    }
}

#[test]
fn amounts_that_are_no_numbers_are_not_added() {
    let config = config();
    let order = |value: &str| {
        let order = line(
            START + 1,
            ("POST", "/order", 200),
            "page=A;reason=split",
            "0000000000000001",
        );
        order.replace("\"flags\"", &format!("\"amount\":{value},\"flags\""))
    };
    let values = [
        "\"NaN\"", "\"inf\"", "1e300", "-1e16", "\"x\"", "true", "null", "2", "\"3.5\"",
    ];
    let input = values.map(order).join("\n");
    let words = words(&config);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let report = json_with(&input, &[&words[..], &["--value", "amount", "-"]].concat());
    assert_eq!(report["lines"]["unparsed"], 5, "{report:#}");
    assert_eq!(report["goals"][0]["metrics"][2]["arms"][0]["total"], 5.5);
}

#[test]
fn endless_lines_and_compressed_bombs_take_bounded_memory() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let (bomb, log) = (folder.path().join("bomb.gz"), folder.path().join("all.gz"));
    let mut zip = GzEncoder::new(std::fs::File::create(&bomb).unwrap(), Compression::fast());
    let zeros = vec![b'0'; 1 << 20];
    for _ in 0..300 {
        zip.write_all(&zeros).unwrap();
    }
    zip.finish().unwrap();
    let mut zip = GzEncoder::new(std::fs::File::create(&log).unwrap(), Compression::fast());
    for text in [&*good(1), "\n", &"x".repeat(5 << 20), "\n", &good(2), "\n"] {
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let binary = env!("CARGO_BIN_EXE_divvy");
    let mut shell = Command::new("sh");
    let command = "ulimit -v 400000 && exec \"$@\"";
    let mut words = words(&config);
    words.extend([bomb, log.clone()].map(|path| path.display().to_string()));
    words.extend(["--output", "json"].map(str::to_owned));
    shell
        .args(["-c", command, "sh", binary])
        .args(words)
        .current_dir(root());
    let output = shell.output().unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let lines = &report["lines"];
    assert_eq!((&lines["unparsed"], &lines["used"]), (&2.into(), &2.into()));
    assert_eq!(
        lines["firstUnparsed"]["error"],
        "is longer than 1048576 bytes"
    );

    // Cut off.
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 20]).unwrap();
    let output = divvy(
        &[
            &[
                "analyze",
                "-c",
                config.to_str().unwrap(),
                "--rollout",
                "page",
                "--goal",
                "a",
            ][..],
            &[log.to_str().unwrap()],
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        complaint(&output).contains("the gzip data is cut off or damaged"),
        "{}",
        complaint(&output)
    );
}

#[test]
fn inputs_from_which_nothing_follows_say_what_to_do() {
    let config = config();
    let without = good(1).replace("0000000000000001", "-");
    for (input, message) in [
        (String::new(), "the logs are empty"),
        (
            "x\ny\n".to_owned(),
            "no line of the logs can be parsed: -:1: ",
        ),
        (
            without,
            "no line has a unit in \"unit\": add `unit: x-divvy-unit` to `headers`",
        ),
        (
            "# TYPE divvy_requests_total counter\ndivvy_requests_total{divvy_version=\"A\"} 5\n"
                .to_owned(),
            "-:1: is a metric, and metrics count requests",
        ),
        (
            good(1).replace("split", "rule"),
            "no line has an exposure of page",
        ),
        (
            good(1) + "\n" + &good(1).replace("=A", "=B"),
            "all 1 units of page were seen in two arms",
        ),
    ] {
        let complaint = error(&input, &config, &[]);
        assert!(complaint.contains(message), "{complaint}");
    }
    let twice: [&[&str]; 6] = [
        &["--fields", "unit"],
        &["--fields", "user=id"],
        &["--goal", "POST order"],
        &["--control", "C"],
        &[
            "--since",
            "2026-01-02T00:00:00Z",
            "--until",
            "2026-01-01T00:00:00Z",
        ],
        &["--events", "-"],
    ];
    for more in twice {
        error(&good(1), &config, more);
    }
    let fifo = tempfile::tempdir().unwrap();
    let fifo = fifo.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let complaint = complaint(&divvy(&[
        "analyze",
        "-c",
        config.to_str().unwrap(),
        "--rollout",
        "page",
        "--goal",
        "a",
        fifo.to_str().unwrap(),
    ]));
    assert!(complaint.contains("is not a regular file"), "{complaint}");
}

#[test]
fn rollouts_without_a_comparison_are_refused() {
    let mut base = configuration(&["A", "B"], "s");
    let steps = json!([{"weight": 5, "hold": "1h"}, {"weight": 50}]);
    for (strategy, message) in [
        (
            json!({"blueGreen": {"active": "A"}}),
            "has a strategy without chance",
        ),
        (
            json!({"canary": {"version": "B", "weight": 0}}),
            "gives all users one version",
        ),
        (
            json!({"canary": {"version": "B", "start": "2026-11-30T09:00:00Z", "steps": steps}}),
            "the canary of page grows during the log",
        ),
    ] {
        base["rollouts"][0]["strategy"] = strategy;
        let config = file(".json", &base.to_string());
        let later = line(
            START + 7_200_000,
            ("GET", "/", 200),
            "page=B;reason=split",
            "0000000000000002",
        );
        let complaint = error(&(good(1) + "\n" + &later), &config, &[]);
        assert!(complaint.contains(message), "{complaint}");
    }
    // Within one step it can be.
    let config = file(".json", &base.to_string());
    let words = words(&config);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let report = json_with(
        &good(1),
        &[&words[..], &["-", "--until", "2026-11-30T10:00:00Z"]].concat(),
    );
    assert_eq!(report["arms"][1]["configured"], 5.0, "{report:#}");
}

#[test]
fn events_that_are_malformed_are_counted() {
    let config = config();
    let log = file(".log", &good(1));
    let events = file(
        ".csv",
        "unit,time,goal,value\n0000000000000001,2026-11-30T10:00:00+01:00,buy,1\n\"x,y\n,,,\n1,2,buy,NaN\n0000000000000001,1796029200.5,buy,\n",
    );
    let words = words(&config);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let more = [
        "--goal",
        "buy",
        "--value",
        "value",
        "--events",
        events.to_str().unwrap(),
        log.to_str().unwrap(),
    ];
    let report = json_with("", &[&words[..], &more].concat());
    assert_eq!(report["events"]["unparsed"], 3, "{report:#}");
    assert_eq!(report["goals"][1]["metrics"][1]["arms"][0]["total"], 2.0);
    let nothing = file(".csv", "a,b\n1,2\n");
    let complaint = error(&good(1), &config, &["--events", nothing.to_str().unwrap()]);
    assert!(
        complaint.contains("the first line has no column \"unit\""),
        "{complaint}"
    );
}
