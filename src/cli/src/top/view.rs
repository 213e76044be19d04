//! The metrics of several proxies together, and their growth since the last scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::scrape::{Scrape, SeriesLabels};

/// The proxies and their rollouts.
#[derive(Debug, Serialize)]
pub struct FleetView {
    /// In the order of the arguments.
    pub proxies: Vec<ProxyView>,
    /// Whether all proxies that answered have the same configuration.
    pub agree: bool,
    /// By name.
    pub rollouts: BTreeMap<String, RolloutView>,
    /// Seconds since the last scrape; `None` for counts since the proxies started.
    pub seconds: Option<f64>,
}

/// One proxy.
#[derive(Debug, Serialize)]
pub struct ProxyView {
    /// URL of its metrics.
    pub url: String,
    /// Error instead of metrics.
    pub error: Option<String>,
    /// Fingerprint of its configuration in hexadecimal.
    pub hash: Option<String>,
    /// Whether it has no valid configuration.
    pub inert: bool,
}

/// One rollout.
#[derive(Debug, Default, Serialize)]
pub struct RolloutView {
    /// By name.
    pub versions: BTreeMap<String, VersionView>,
    /// Requests by reason.
    pub reasons: BTreeMap<String, f64>,
}

/// One version.
#[derive(Debug, Default, Serialize)]
pub struct VersionView {
    /// Current share in percent, the mean of the proxies.
    pub weight: Option<f64>,
    /// Share of the requests in percent.
    pub seen: f64,
    /// Number of requests.
    pub requests: f64,
    /// Requests per second.
    pub rate: Option<f64>,
    /// Responses by class.
    pub classes: BTreeMap<String, f64>,
    /// Median time until the response headers, in milliseconds.
    pub p50: Option<f64>,
    /// The 95th percentile of the same.
    pub p95: Option<f64>,
    /// Number of proxies whose guardrail has frozen it.
    pub frozen: u32,
    /// Number of proxies whose guardrail has rolled it back.
    pub rolled_back: u32,
}

impl FleetView {
    /// The counts of these scrapes, or their growth since earlier scrapes.
    pub fn new(scrapes: &[Scrape], before: Option<(Duration, &[Scrape])>) -> Self {
        let proxies: Vec<_> = scrapes.iter().map(ProxyView::new).collect();
        let hashes: BTreeSet<_> = proxies
            .iter()
            .filter_map(|proxy| proxy.hash.as_ref())
            .collect();
        let agree = hashes.len() <= 1;
        let seconds = before.map(|(time, _)| time.as_secs_f64());
        let mut view = Self {
            agree,
            rollouts: BTreeMap::new(),
            seconds,
            proxies,
        };
        let mut weights: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
        let mut buckets: BTreeMap<(String, String), BTreeMap<u64, f64>> = BTreeMap::new();
        for scrape in scrapes {
            let earlier = before.and_then(|(_, all)| all.iter().find(|old| old.url == scrape.url));
            view.count(scrape, earlier);
            for (labels, value) in scrape.series("divvy_weight_ppm") {
                weights
                    .entry(place(labels))
                    .or_default()
                    .push(*value / 10_000.0);
            }
            for (labels, value) in scrape.series("divvy_guardrail_state") {
                let version = view.version(labels);
                version.frozen += u32::from(*value == 1.0);
                version.rolled_back += u32::from(*value == 2.0);
            }
            for (labels, value) in grown(scrape, earlier, "divvy_request_duration_ms_bucket") {
                // `+Inf` or a number that a float holds exactly.
                let bound: f64 = labels
                    .get("le")
                    .and_then(|le| le.parse().ok())
                    .unwrap_or(f64::INFINITY);
                let of = buckets.entry(place(labels)).or_default();
                *of.entry(bound.to_bits()).or_default() += value;
            }
        }
        for ((rollout, version), all) in weights {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let of = view.rollouts.entry(rollout).or_default();
            of.versions.entry(version).or_default().weight = Some(mean);
        }
        for ((rollout, version), buckets) in buckets {
            let of = view.rollouts.entry(rollout).or_default();
            let version = of.versions.entry(version).or_default();
            version.p50 = quantile(&buckets, 0.5);
            version.p95 = quantile(&buckets, 0.95);
        }
        for rollout in view.rollouts.values_mut() {
            let all: f64 = rollout
                .versions
                .values()
                .map(|version| version.requests)
                .sum();
            for version in rollout.versions.values_mut() {
                version.seen = if all > 0.0 {
                    version.requests / all * 100.0
                } else {
                    0.0
                };
                version.rate = seconds.map(|seconds| version.requests / seconds);
            }
        }
        view
    }

    fn count(&mut self, scrape: &Scrape, earlier: Option<&Scrape>) {
        for (labels, value) in grown(scrape, earlier, "divvy_requests_total") {
            self.version(labels).requests += value;
            let reason = labels.get("divvy_reason").cloned().unwrap_or_default();
            let rollout = self.rollouts.entry(place(labels).0).or_default();
            *rollout.reasons.entry(reason).or_default() += value;
        }
        for (labels, value) in grown(scrape, earlier, "divvy_responses_total") {
            let class = labels.get("divvy_class").cloned().unwrap_or_default();
            *self.version(labels).classes.entry(class).or_default() += value;
        }
    }

    fn version(&mut self, labels: &SeriesLabels) -> &mut VersionView {
        let (rollout, version) = place(labels);
        let rollout = self.rollouts.entry(rollout).or_default();
        rollout.versions.entry(version).or_default()
    }

    /// Problems that need attention.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for proxy in &self.proxies {
            if let Some(error) = &proxy.error {
                findings.push(format!("{} does not answer: {error}", proxy.url));
            } else if proxy.hash.is_none() {
                findings.push(format!("{} has no divvy metrics", proxy.url));
            } else if proxy.inert {
                findings.push(format!(
                    "{} has no valid configuration and serves stable",
                    proxy.url
                ));
            }
        }
        if !self.agree {
            findings.push("proxies have different configurations".to_owned());
        }
        for (name, rollout) in &self.rollouts {
            for (version, state) in &rollout.versions {
                for (count, what) in [(state.frozen, "frozen"), (state.rolled_back, "rolled back")]
                {
                    if count > 0 {
                        let of = self.proxies.len();
                        findings.push(format!(
                            "{name} {version} is {what} in {count} of {of} proxies"
                        ));
                    }
                }
            }
        }
        findings
    }
}

impl ProxyView {
    fn new(scrape: &Scrape) -> Self {
        let hash = scrape.single("divvy_config_hash");
        Self {
            url: scrape.url.clone(),
            error: scrape.error.clone(),
            hash: hash.map(|hash| format!("{:08x}", hash as u32)),
            inert: scrape.single("divvy_config_inert") == Some(1.0),
        }
    }
}

fn place(labels: &SeriesLabels) -> (String, String) {
    let get = |label: &str| labels.get(label).cloned().unwrap_or_default();
    (get("divvy_rollout"), get("divvy_version"))
}

/// The growth of each series of a counter. A counter that became smaller has restarted from 0.
fn grown<'s>(
    now: &'s Scrape,
    before: Option<&'s Scrape>,
    metric: &'static str,
) -> impl Iterator<Item = (&'s SeriesLabels, f64)> {
    now.series(metric).map(move |(labels, value)| {
        let same = before.and_then(|before| before.series(metric).find(|(old, _)| old == labels));
        let old = same.map_or(0.0, |(_, old)| *old);
        (labels, if *value >= old { value - old } else { *value })
    })
}

/// A quantile as Prometheus computes it: linear within a bucket. `buckets` are cumulative counts
/// by the bits of their upper bounds, which sort like the bounds.
fn quantile(buckets: &BTreeMap<u64, f64>, quantile: f64) -> Option<f64> {
    let all = buckets.values().copied().fold(0.0, f64::max);
    if all <= 0.0 {
        return None;
    }
    let rank = quantile * all;
    let (mut low, mut below) = (0.0, 0.0);
    for (bits, count) in buckets {
        let bound = f64::from_bits(*bits);
        if *count >= rank {
            if bound.is_infinite() {
                return Some(low);
            }
            let within = count - below;
            let part = if within > 0.0 {
                (rank - below) / within
            } else {
                1.0
            };
            return Some(low + (bound - low) * part);
        }
        (low, below) = (bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
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
}
