//! False trips and time to detection.
//!
//! The thousand proxy-days are drawn per second: the numbers of successes and failures have a
//! Poisson distribution, as with separate requests.

use std::rc::Rc;
use std::time::Duration;

use divvy::guardrail::evidence::{ENOUGH, Tally};
use divvy::guardrail::simulate::{Behaviour, Setup};
use divvy::guardrail::{Guardrail, Plan};

use super::report::{Detection, detect, quiet_days, table};
use super::{NOON, latency, one_percent, over_stable, percent, plan};

fn trips_at_half_the_limit(rate: f64, seed: u64) -> u32 {
    let plan = plan("1", one_percent());
    quiet_days(&plan, rate, Behaviour::failing(0.005), 1_000, seed)
}

#[test]
fn no_false_trip_in_a_thousand_days_at_one_request_in_three_seconds() {
    assert!(trips_at_half_the_limit(0.3, 1) <= 1);
}

#[test]
fn no_false_trip_in_a_thousand_days_at_one_request_per_second() {
    assert!(trips_at_half_the_limit(1.0, 2) <= 1);
}

#[test]
fn no_false_trip_in_a_thousand_days_at_five_requests_per_second() {
    assert!(trips_at_half_the_limit(5.0, 3) <= 1);
}

#[test]
fn no_false_trip_in_a_thousand_days_at_twenty_requests_per_second() {
    assert!(trips_at_half_the_limit(20.0, 4) <= 1);
}

/// A proxy with two workers that sends the canary `rate` requests per second, a tenth of all; the
/// versions change from `good` to `bad`.
fn found(guardrail: Guardrail, rate: f64, good: Behaviour, bad: Behaviour) -> Detection {
    let setup = Setup {
        plan: plan("1", guardrail),
        workers: 2,
        rate: rate * 10.0,
        weight: percent(10.0),
        behaviours: [good, good],
        start: NOON,
        seed: 5,
    };
    detect(&setup, [good, bad], 21, 600)
}

#[test]
fn errors_are_detected_in_time() {
    // Median and slowest of 21 tries, in seconds.
    for (rate, errors, median, worst) in [
        (20.0, 1.0, 2, 3),
        (20.0, 0.05, 30, 60),
        (100.0, 0.05, 15, 25),
        (20.0, 0.2, 8, 15),
        (5.0, 1.0, 4, 6),
        (5.0, 0.2, 15, 30),
        (1.0, 1.0, 15, 30),
        (0.3, 1.0, 45, 90),
    ] {
        let [good, bad] = [0.001, errors].map(Behaviour::failing);
        let found = found(one_percent(), rate, good, bad);
        let (Some(half), Some(all)) = (found.median(), found.worst()) else {
            panic!("{rate}/s, {errors}: not noticed");
        };
        assert!(
            half <= median && all <= worst,
            "{rate}/s, {errors}: {half} s, {all} s"
        );
    }
}

#[test]
fn errors_over_stable_are_detected_in_time() {
    let [good, bad] = [0.02, 0.1].map(Behaviour::failing);
    let found = found(over_stable(), 20.0, good, bad);
    assert!(
        found.worst().is_some_and(|seconds| seconds <= 60),
        "{found:?}"
    );
}

#[test]
fn twice_the_latency_is_detected_within_a_minute() {
    let pace = |millis| Behaviour::slow(Duration::from_millis(millis), 0.4);
    for guardrail in [latency(Some(320), None), latency(None, Some(1.2))] {
        let found = found(guardrail, 20.0, pace(150), pace(300));
        assert!(
            found.worst().is_some_and(|seconds| seconds <= 15),
            "{found:?}"
        );
    }
}

#[test]
fn a_version_equal_to_stable_does_not_trip() {
    // Without a margin, versions that are equal would be distinguished.
    let mut guardrail = over_stable();
    guardrail.latency = latency(None, Some(1.1)).latency;
    let pace = Behaviour::slow(Duration::from_millis(150), 0.4);
    let good = Behaviour {
        errors: 0.01,
        ..pace
    };
    let pace = Behaviour::slow(Duration::from_millis(600), 0.8);
    let bad = Behaviour {
        errors: 0.3,
        ..pace
    };
    let setup = Setup {
        plan: plan("1", guardrail),
        workers: 2,
        rate: 20.0,
        weight: percent(50.0),
        behaviours: [good, good],
        start: NOON,
        seed: 6,
    };
    let found = detect(&setup, [bad, bad], 20, 3_600);
    assert_eq!(found.detected(), 0, "{found:?}");
}

/// Fails unless the page contains all of these lines.
fn assert_in_page(texts: &[String]) {
    let page = include_str!("../../../envoy/docs/GUARDRAIL.md");
    println!("{}", texts.join("\n"));
    for text in texts {
        assert!(page.contains(text), "envoy/docs/GUARDRAIL.md lacks\n{text}");
    }
}

/// `make guardrail-table`
#[test]
#[ignore = "takes minutes: computes the tables of envoy/docs/GUARDRAIL.md"]
fn the_tables_of_the_page_equal_the_simulation() {
    const RATES: [f64; 6] = [0.3, 1.0, 5.0, 20.0, 100.0, 500.0];
    const ERRORS: [f64; 6] = [1.0, 0.5, 0.2, 0.1, 0.05, 0.03];
    let mut texts = Vec::new();
    for seconds in [30, 300] {
        let mut guardrail = one_percent();
        guardrail.errors.as_mut().unwrap().window = Duration::from_secs(seconds);
        let plan: Rc<Plan> = plan("1", guardrail);
        let table = table(&plan, 0.005, &RATES, &ERRORS, 1_000);
        texts.push(format!(
            "`errors: {{max: 1, window: {seconds}s}}`\n\n{table}"
        ));
    }
    let half = Behaviour::failing(0.005);
    let trips = quiet_days(&plan("1", one_percent()), 1.0, half, 10_000, 7);
    texts.push(format!("{trips} false trips in 10,000 proxy-days"));
    assert_in_page(&texts);
}

#[test]
fn the_page_states_the_requests_that_a_verdict_requires() {
    const MILLION: u32 = 1_000_000;
    let mut text = String::new();
    for ppm in [1_000, 5_000, 10_000, 50_000] {
        let limit = f64::from(ppm) / 1e6;
        text += &format!("| {} % |", limit * 100.0);
        for times in [2, 3, 5, 10] {
            let tally = Tally {
                bad: ppm * times,
                all: MILLION,
            };
            let requests = (ENOUGH / tally.above(limit) * 1e6).ceil();
            text += &format!(" {} |", requests.max(20.0));
        }
        text += "\n";
    }
    assert_in_page(&[text]);
}
