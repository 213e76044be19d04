//! Counts and gauges of made-up proxies.

use super::*;

fn scrape(url: &str, hash: u32, v1: u32, v2: u32) -> Scrape {
    Scrape::read(
        url,
        &format!(
            "divvy_config_hash{{divvy_plugin=\"d\"}} {hash}\n\
             divvy_requests_total{{divvy_rollout=\"c\",divvy_version=\"v1\",divvy_reason=\"split\"}} {v1}\n\
             divvy_requests_total{{divvy_rollout=\"c\",divvy_version=\"v2\",divvy_reason=\"split\"}} {v2}\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v2\"}} 250000\n\
             divvy_guardrail_state{{divvy_rollout=\"c\",divvy_version=\"v2\"}} {}\n",
            u32::from(v2 == 0) * 2,
        ),
    )
}

#[test]
fn counts_of_proxies_are_added_and_configurations_compared() {
    let view = FleetView::new(&[scrape("a", 7, 60, 20), scrape("b", 7, 60, 20)], None);
    let v2 = &view.rollouts["c"].versions["v2"];
    assert_eq!((v2.requests, v2.seen, v2.weight), (40.0, 25.0, Some(25.0)));
    assert_eq!(view.findings(), [""; 0]);
    let waiting = Scrape::read("b", "divvy_step_waiting{divvy_rollout=\"c\"} 1\n");
    let view = FleetView::new(&[scrape("a", 7, 1, 1), waiting], None);
    let finding = "c waits for evidence in 1 of 2 proxies".to_owned();
    assert!(view.findings().contains(&finding));
    let view = FleetView::new(&[scrape("a", 7, 1, 1), scrape("b", 8, 1, 0)], None);
    assert_eq!(
        view.findings(),
        [
            "proxies have different configurations",
            "c v2 is rolled back in 1 of 2 proxies",
        ]
    );
}

#[test]
fn a_rollout_whose_shares_are_all_0_is_no_longer_configured() {
    let weights = |v1: u32, v2: u32| {
        let text = format!(
            "divvy_requests_total{{divvy_rollout=\"c\",divvy_version=\"v1\",divvy_reason=\"split\"}} 3\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v1\"}} {v1}\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v2\"}} {v2}\n"
        );
        Scrape::read("u", &text)
    };
    let is_configured = |scrapes: &[Scrape]| FleetView::new(scrapes, None).rollouts["c"].configured;
    assert!(is_configured(&[weights(1_000_000, 0)]));
    assert!(!is_configured(&[weights(0, 0)]));
    // One proxy that has it is enough.
    assert!(is_configured(&[weights(0, 0), weights(900_000, 100_000)]));
    let silent = "divvy_requests_total{divvy_rollout=\"c\",divvy_version=\"v1\"} 3\n";
    assert!(
        is_configured(&[Scrape::read("u", silent)]),
        "metrics: off has no shares"
    );
}

#[test]
fn sums_of_two_processes_in_a_hot_restart_are_recognized() {
    let two = |weight: u32, state: u32| {
        let text = format!(
            "divvy_config_hash{{divvy_plugin=\"d\"}} 14\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v1\"}} {}\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v2\"}} {weight}\n\
             divvy_guardrail_state{{divvy_rollout=\"c\",divvy_version=\"v2\"}} {state}\n",
            2_000_000 - weight,
        );
        Scrape::read("b", &text)
    };
    for (weight, state, frozen, rolled_back, unreachable) in [
        (500_000, 0, 0, 0, 0),
        (500_000, 2, 1, 0, 0),
        (0, 4, 0, 1, 0),
        (250_000, 3, 0, 0, 1),
        (0, 6, 0, 0, 1),
    ] {
        let view = FleetView::new(&[scrape("a", 7, 60, 20), two(weight, state)], None);
        let v2 = &view.rollouts["c"].versions["v2"];
        assert_eq!(
            (v2.frozen, v2.rolled_back, v2.unreachable),
            (frozen, rolled_back, unreachable),
            "{state}"
        );
        let own = f64::from(weight) / 2e4;
        assert_eq!(v2.weight, Some((25.0 + own) / 2.0));
        assert!(view.agree, "14 is not a hash");
    }
    let inert = Scrape::read("b", "divvy_config_inert{divvy_plugin=\"d\"} 2\n");
    assert!(FleetView::new(&[inert], None).proxies[0].inert);
}

#[test]
fn rates_count_requests_since_the_last_scrape_and_survive_a_restart() {
    let before = [scrape("a", 7, 100, 50)];
    let since = Some((Duration::from_secs(2), &before[..]));
    let view = FleetView::new(&[scrape("a", 7, 160, 10)], since);
    let versions = &view.rollouts["c"].versions;
    assert_eq!(versions["v1"].rate, Some(30.0));
    assert_eq!(versions["v2"].rate, Some(5.0), "the counter restarted");
}

#[test]
fn quantiles_equal_those_of_prometheus() {
    let buckets = [(10.0, 50.0), (20.0, 90.0), (f64::INFINITY, 100.0)];
    let buckets = buckets
        .map(|(bound, count): (f64, f64)| (bound.to_bits(), count))
        .into();
    assert_eq!(quantile(&buckets, 0.5), Some(10.0));
    assert_eq!(quantile(&buckets, 0.7), Some(15.0));
    assert_eq!(quantile(&buckets, 0.95), Some(20.0), "above the last bound");
    assert_eq!(quantile(&BTreeMap::new(), 0.5), None);
}
