//! Intervals and the sample ratio equal those of GrowthBook's gbstats: `tests/vectors/intervals.py` asked it.

use std::fs;

use divvy_cli::analyze::statistics::{ArmSample, Confidence, Effect, RatioSums, sample_ratio};
use serde_json::Value;

use crate::common::root;

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

fn sample(kind: &str, sums: &Value) -> ArmSample {
    let sum = |name: &str| number(&sums[name]);
    match kind {
        "share" => ArmSample::of_share(sum("units"), sum("value")),
        "mean" => ArmSample::of_sums(sum("units"), sum("value"), sum("valueSquares")),
        _ => RatioSums {
            units: sum("units"),
            value: sum("value"),
            value_squares: sum("valueSquares"),
            divisor: sum("divisor"),
            divisor_squares: sum("divisorSquares"),
            products: sum("products"),
        }
        .sample(),
    }
}

#[track_caller]
fn is_equal(found: f64, expected: &Value) {
    let expected = number(expected);
    let difference = (found - expected).abs();
    assert!(
        difference <= 1e-6 * expected.abs(),
        "{found} is not {expected}"
    );
}

#[test]
fn intervals_and_sample_ratios_equal_those_of_gbstats() {
    let text = fs::read_to_string(root().join("tests/vectors/intervals.json")).unwrap();
    let sets: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(sets.len(), 50);
    let mut mismatches = 0;
    for set in &sets {
        let kind = set["kind"].as_str().unwrap();
        let [control, arm] = [0, 1].map(|nth| sample(kind, &set["arms"][nth]));
        let confidence = Confidence {
            alpha: number(&set["alpha"]),
            tuning: number(&set["tuning"]),
        };
        let effects: [(&str, Option<Effect>); 2] = [
            ("difference", confidence.difference(control, arm)),
            ("lift", confidence.lift(control, arm)),
        ];
        for (name, effect) in effects {
            let (effect, expected) = (effect.unwrap(), &set[name]);
            is_equal(effect.estimate, &expected["estimate"]);
            is_equal(effect.fixed.0, &expected["fixed"][0]);
            is_equal(effect.fixed.1, &expected["fixed"][1]);
            is_equal(effect.always_valid.0, &expected["alwaysValid"][0]);
            is_equal(effect.always_valid.1, &expected["alwaysValid"][1]);
        }
        let ratio = &set["sampleRatio"];
        let list = |name: &str| {
            ratio[name]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect::<Vec<_>>()
        };
        let units: Vec<_> = list("units").iter().map(|units| *units as u64).collect();
        let weights = list("weights");
        let total: f64 = weights.iter().sum();
        let shares: Vec<_> = weights.iter().map(|weight| weight / total).collect();
        let p = sample_ratio(&units, &shares).1;
        is_equal(p, &ratio["p"]);
        mismatches += u32::from(p < 0.001);
    }
    assert!(
        (3..45).contains(&mismatches),
        "{mismatches} mismatches: both kinds are needed"
    );
}

#[test]
fn arms_without_a_known_variance_have_no_interval() {
    let confidence = Confidence {
        alpha: 0.05,
        tuning: 5_000.0,
    };
    let some = ArmSample::of_share(100.0, 10.0);
    for none in [
        ArmSample::of_share(100.0, 0.0),
        ArmSample::of_share(100.0, 100.0),
        ArmSample::of_share(0.0, 0.0),
        ArmSample::of_sums(1.0, 5.0, 25.0),
        ArmSample::of_sums(3.0, f64::INFINITY, f64::INFINITY),
        RatioSums::default().sample(),
    ] {
        assert_eq!(confidence.difference(some, none), None, "{none:?}");
        assert_eq!(confidence.difference(none, some), None, "{none:?}");
        assert_eq!(confidence.lift(none, some), None, "{none:?}");
    }
}
