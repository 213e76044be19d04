//! Counts and gauges of made-up proxies.

use super::*;

fn read(url: &str, text: &str) -> Scrape {
    Scrape::read(url, text.as_bytes())
}

fn scrape(url: &str, hash: u32, v1: u32, v2: u32) -> Scrape {
    read(
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
    let waiting = read("b", "divvy_step_waiting{divvy_rollout=\"c\"} 1\n");
    let view = FleetView::new(&[scrape("a", 7, 1, 1), waiting], None);
    let finding = "c waits for evidence in 1 of 2 proxies: b".to_owned();
    assert!(view.findings().contains(&finding));
    let view = FleetView::new(&[scrape("a", 7, 1, 1), scrape("b", 8, 1, 0)], None);
    assert_eq!(
        view.findings(),
        [
            "proxies have different configurations: 00000007 in a; 00000008 in b",
            "c v2 is rolled back in 1 of 2 proxies: b",
        ]
    );
}

/// A proxy of a Prometheus with this weight.
fn proxy(name: &str, job: &str, hash: f64, weight: f64) -> Scrape {
    let labels = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let version = labels(&[("divvy_rollout", "c"), ("divvy_version", "v2")]);
    let mut scrape = Scrape::of_group(name, job);
    scrape.add("divvy_config_hash", labels(&[("divvy_plugin", "d")]), hash);
    scrape.add("divvy_weight_ppm", version, weight);
    scrape
}

#[test]
fn proxies_with_another_share_are_named_and_small_differences_are_those_of_a_ramp() {
    let proxies = |names: &[(&str, f64)]| {
        let proxies = names.iter();
        let proxies = proxies.map(|(name, weight)| proxy(name, "j", 7.0, *weight));
        FleetView::of_fleet(FleetSample {
            proxies: proxies.collect(),
            window: Duration::from_secs(300),
            ..FleetSample::default()
        })
    };
    let ramp = proxies(&[("a", 200_000.0), ("b", 205_000.0), ("c", 210_000.0)]);
    assert_eq!(ramp.findings(), [""; 0]);
    let late = proxies(&[("a", 200_000.0), ("b", 300_000.0), ("c", 205_000.0)]);
    assert_eq!(
        late.findings(),
        ["c v2 has different shares: 20.00 % in a, c; 30.00 % in b"]
    );
    let names = ["a", "b", "c", "d", "e", "f", "g"].map(|name| (name, 1e5));
    let many: Vec<_> = names.into_iter().chain([("z", 0.0)]).collect();
    assert_eq!(
        proxies(&many).findings(),
        ["c v2 has different shares: 0.00 % in z; 10.00 % in a, b, c, d, e and 2 more"]
    );
}

#[test]
fn configurations_are_compared_within_a_job_and_counters_of_all_jobs_are_shown() {
    let mut total = Scrape::default();
    let split = [
        ("divvy_rollout", "c"),
        ("divvy_version", "v2"),
        ("divvy_reason", "split"),
    ];
    let split = split.map(|(name, value)| (name.to_owned(), value.to_owned()));
    total.add("divvy_requests_total", split.into(), 600.0);
    let sample = |other: &str| FleetSample {
        proxies: vec![proxy("a", "edge", 7.0, 1e5), proxy("b", other, 8.0, 1e5)],
        totals: vec![total.clone()],
        window: Duration::from_secs(300),
        alerts: vec!["alert DivvyFrozen fires: edge c v2".to_owned()],
    };
    let alert = "alert DivvyFrozen fires: edge c v2";
    let view = FleetView::of_fleet(sample("mesh"));
    assert_eq!(
        (view.findings(), view.agree),
        (vec![alert.to_owned()], true)
    );
    assert_eq!(view.rollouts["c"].versions["v2"].rate, Some(2.0));
    let view = FleetView::of_fleet(sample("edge"));
    let different = "proxies have different configurations: 00000007 in a; 00000008 in b";
    assert_eq!(view.findings(), [different, alert]);
    assert!(!view.agree);
}

#[test]
fn control_characters_of_labels_and_values_that_are_not_finite_are_not_shown() {
    let mut scrape = Scrape::of_group("a\x1b[2J", "j");
    scrape.add("divvy_config_hash", SeriesLabels::new(), f64::NAN);
    let name = ("divvy_rollout".to_owned(), "c\x1b]0;x\x07".to_owned());
    scrape.add("divvy_weight_ppm", [name].into(), f64::INFINITY);
    let name = ("divvy_rollout".to_owned(), "d\x1b[31m".to_owned());
    scrape.add("divvy_weight_ppm", [name].into(), 1e300);
    let view = FleetView::new(&[scrape], None);
    assert_eq!(view.proxies[0].hash, None);
    let rollouts: Vec<_> = view.rollouts.keys().collect();
    assert_eq!(rollouts, ["d\u{fffd}[31m"]);
    assert_eq!(view.proxies[0].url, "a\u{fffd}[2J");
}

#[test]
fn a_rollout_whose_shares_are_all_0_is_no_longer_configured() {
    let weights = |v1: u32, v2: u32| {
        let text = format!(
            "divvy_requests_total{{divvy_rollout=\"c\",divvy_version=\"v1\",divvy_reason=\"split\"}} 3\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v1\"}} {v1}\n\
             divvy_weight_ppm{{divvy_rollout=\"c\",divvy_version=\"v2\"}} {v2}\n"
        );
        read("u", &text)
    };
    let is_configured = |scrapes: &[Scrape]| FleetView::new(scrapes, None).rollouts["c"].configured;
    assert!(is_configured(&[weights(1_000_000, 0)]));
    assert!(!is_configured(&[weights(0, 0)]));
    // One proxy that has it is enough.
    assert!(is_configured(&[weights(0, 0), weights(900_000, 100_000)]));
    let silent = "divvy_requests_total{divvy_rollout=\"c\",divvy_version=\"v1\"} 3\n";
    assert!(
        is_configured(&[read("u", silent)]),
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
        read("b", &text)
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
    let inert = read("b", "divvy_config_inert{divvy_plugin=\"d\"} 2\n");
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
