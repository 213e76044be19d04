//! Tables of known rounds.

use serde_json::json;

use super::*;
use crate::statistics::{Rounds, rows};
use crate::variants::{FLOOR, FULL, NATIVE, all};

/// Six rounds: the SDK costs 2 µs, Lua 3, the floor 4, with more callbacks 4.5, divvy's paths 5 and
/// all others 6.
fn report() -> Report {
    let variants = all();
    let mut rounds = Rounds::of(&variants);
    for _ in 0..6 {
        let took = variants.iter().map(|variant| match variant.id {
            NATIVE | "native_claim" => 20.0,
            UNIT => 22.0,
            "lua" => 23.0,
            FLOOR => 24.0,
            "by_hand_contexts" => 24.5,
            "sticky" => 25.5,
            FULL => 25.0,
            _ => 26.0,
        });
        rounds.push(took.collect());
    }
    let waits = |p50, p99| vec![Waits { p50, p99 }; 3];
    Report {
        run: Run {
            version: "1.40.0".to_owned(),
            processor: "2 × a processor".to_owned(),
            alone: true,
            plan: Plan {
                rounds: 6,
                warm_up: 0,
                requests: 100,
            },
            native: estimate(&rounds.of_one(NATIVE)),
            load: Some(Load {
                rate: 25_000.0,
                lasts: std::time::Duration::from_secs(1),
            }),
        },
        rows: rows(&rounds, &variants),
        latency: vec![("native", waits(50.0, 90.0)), ("full", waits(58.0, 110.0))],
        starts: vec![Start {
            name: "a new VM",
            worker: estimate(&[3.0; 5]),
            goal: 50.0,
            main: estimate(&[9.0; 5]),
        }],
        memory: vec![Memory {
            name: "10 rollouts",
            per_vm: 5.0 * 1024.0,
            goal: 4.0 * 1024.0,
        }],
    }
}

#[test]
fn each_table_has_the_lines_that_people_look_for() {
    let page = report().page();
    for line in [
        "A request without any filter took 20.0 µs of the worker, the empty SDK filter 2.00 µs more.",
        "| full edge path | 5.00 | 2.50 | 2.50–2.50 | ≤ 1.3 × by hand | met | 2.25 | 1.11 (1.11–1.11) |",
        "| ten matching rollouts (layers, tags) | 6.00 | 3.00 | 3.00–3.00 | ≤ 1.3 × by hand | met | 3.00 | 1.00 (1.00–1.00) |",
        "| Lua: hashes and sets one header | 3.00 | 1.50 | 1.50–1.50 |",
        "| `sticky`, a first answer with its cookie | +0.50 | +0.25 | +0.25 to +0.25 |",
        "| full | 58 | +8 (+8 to +8) | 110 | +20 (+20 to +20) |",
        "| a new VM | 3.0 | 3.0–3.0 | < 50 | met | 9.0 |",
        "| 10 rollouts | 5.0 | < 4 | **missed** |",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn what_was_not_measured_is_not_in_the_tables() {
    let mut report = report();
    report.run.load = None;
    report.starts.clear();
    let page = report.page();
    assert_eq!(page.matches("Not measured in this run.").count(), 2);
}

#[test]
fn programs_get_every_variant_with_its_interval() {
    let json = report().json();
    let variants = json["variants"].as_array().unwrap();
    assert_eq!(variants.len(), all().len());
    let full = variants
        .iter()
        .find(|variant| variant["id"] == FULL)
        .unwrap();
    assert_eq!(full["ratio"], json!([2.5, 2.5, 2.5]));
    assert_eq!(full["goals"][0]["verdict"], "Met");
    assert_eq!(full["times_by_hand"][1], json!(5.0 / 4.5));
}
