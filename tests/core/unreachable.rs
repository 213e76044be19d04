//! How often a version that Envoy can reach is found unreachable, by simulation.

use divvy::unreachable::{Attempt, FailureRun};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Requests in 1,000 proxy-days at 20 requests per second.
const REQUESTS: u64 = 1_000 * 86_400 * 20;

/// Runs of failures among `REQUESTS` of which 2 % fail like this; how often the version is found
/// unreachable.
fn trips(failure: Attempt, seed: u64) -> u64 {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    // The number of successes before a failure is geometric, so only failures take a draw.
    let log_success = 0.98_f64.ln();
    let (mut run, mut trips, mut sent) = (FailureRun::default(), 0, 0);
    while sent < REQUESTS {
        let uniform: f64 = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let successes = ((1.0 - uniform).ln() / log_success) as u64;
        if successes > 0 {
            run.count(Attempt::Reached);
        }
        sent += successes + 1;
        if run.count(failure) {
            trips += 1;
            run = FailureRun::default();
        }
    }
    trips
}

#[test]
fn a_version_with_2_percent_failed_connections_is_never_unreachable_in_1000_proxy_days() {
    for seed in 1..=3 {
        assert_eq!(trips(Attempt::NoConnection, seed), 0, "seed {seed}");
    }
    // The same run of 3, as for a missing host, would be reached 13,600 times.
    let after_three = trips(Attempt::NoHost, 1);
    assert!((13_000..14_200).contains(&after_three), "{after_three}");
}
