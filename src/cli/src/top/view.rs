//! The metrics of several proxies together, and their growth since the last scrape or in a window.

mod differences;
mod findings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use divvy::response::ResponseClass;
use serde::Serialize;

use super::prometheus::FleetSample;
use super::scrape::{Scrape, SeriesLabels};
pub use differences::names;

/// The proxies and their rollouts.
#[derive(Debug, Default, Serialize)]
pub struct FleetView {
    /// In the order of the arguments.
    pub proxies: Vec<ProxyView>,
    /// Whether all proxies that answered have the same configuration; in a Prometheus, those of each job.
    pub agree: bool,
    /// Alerts that fire in Prometheus.
    pub alerts: Vec<String>,
    /// By name.
    pub rollouts: BTreeMap<String, RolloutView>,
    /// Seconds since the last scrape, or those of the window; `None` for counts since the proxies started.
    pub seconds: Option<f64>,
}

/// One proxy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProxyView {
    /// URL of its metrics, or its name in Prometheus.
    pub url: String,
    /// Its scrape job, empty for a proxy given by address.
    pub job: String,
    /// Error instead of metrics.
    pub error: Option<String>,
    /// Fingerprint of its configuration in hexadecimal; several, joined by `+`, if it has several plugins.
    pub hash: Option<String>,
    /// Whether it has no valid configuration.
    pub inert: bool,
    /// Whether its Envoy lacks `stats_tags` for labels of divvy.
    pub untagged: bool,
    /// Whether it is in a hot restart: Envoy then adds the gauges of two processes.
    pub hot_restart: bool,
}

/// One rollout.
#[derive(Debug, Default, Serialize)]
pub struct RolloutView {
    /// By name.
    pub versions: BTreeMap<String, VersionView>,
    /// Requests by reason.
    pub reasons: BTreeMap<String, f64>,
    /// Number of proxies in which a step of the ramp waits for evidence.
    pub waiting: u32,
    /// The names of these proxies.
    pub waiting_in: Vec<String>,
    /// Whether the rollout is part of a configuration. A proxy keeps the counts of a removed rollout until it
    /// restarts, and sets the shares of all its versions to 0.
    pub configured: bool,
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
    /// Number of proxies that cannot reach it.
    pub unreachable: u32,
    /// Names of the proxies by state: `frozen`, `rolled back`, `unreachable`.
    pub held_in: BTreeMap<&'static str, Vec<String>>,
    /// Shares in percent by name of the proxy.
    pub weights: Vec<(String, f64)>,
    /// Cumulative counts of durations by the bits of the upper bounds.
    #[serde(skip)]
    buckets: BTreeMap<u64, f64>,
}

impl VersionView {
    /// Failed responses in percent of all; `None` without responses.
    pub fn error_percent(&self) -> Option<f64> {
        use ResponseClass::{GrpcError, Reset, ServerError};
        let count = |class: ResponseClass| self.classes.get(class.name()).copied();
        let failed = [ServerError, GrpcError, Reset].into_iter();
        let failed: f64 = failed.filter_map(count).fold(0.0, |sum, count| sum + count);
        let all: f64 = self.classes.values().sum();
        (all > 0.0).then(|| failed / all * 100.0)
    }
}

impl FleetView {
    /// The counts of these scrapes, or their growth since earlier scrapes.
    pub fn new(scrapes: &[Scrape], before: Option<(Duration, &[Scrape])>) -> Self {
        let mut view = Self::of_proxies(scrapes);
        view.seconds = before.map(|(time, _)| time.as_secs_f64());
        for scrape in scrapes {
            let earlier = before.and_then(|(_, all)| all.iter().find(|old| old.url == scrape.url));
            view.add_counters(scrape, earlier);
        }
        view.finish();
        view
    }

    /// The gauges of the proxies of a Prometheus and the growth of their counters.
    pub fn of_fleet(sample: FleetSample) -> Self {
        let mut view = Self::of_proxies(&sample.proxies);
        view.seconds = Some(sample.window.as_secs_f64());
        view.alerts = sample.alerts;
        for total in &sample.totals {
            view.add_counters(total, None);
        }
        view.finish();
        view
    }

    fn of_proxies(scrapes: &[Scrape]) -> Self {
        let mut view = Self {
            proxies: scrapes.iter().map(ProxyView::new).collect(),
            ..Self::default()
        };
        view.agree = view.configurations().values().all(|all| all.len() <= 1);
        for scrape in scrapes {
            view.add_gauges(scrape);
            view.add_waiting(scrape);
        }
        view
    }

    fn finish(&mut self) {
        let seconds = self.seconds;
        for rollout in self.rollouts.values_mut() {
            let all: f64 = rollout.versions.values().map(|one| one.requests).sum();
            let weights = rollout.versions.values().flat_map(|one| &one.weights);
            let mut weights = weights.peekable();
            // With `metrics: off` there are no shares.
            rollout.configured =
                weights.peek().is_none() || weights.any(|(_, weight)| *weight > 0.0);
            for version in rollout.versions.values_mut() {
                let weights = &version.weights;
                let mean =
                    || weights.iter().map(|(_, weight)| weight).sum::<f64>() / weights.len() as f64;
                version.weight = (!weights.is_empty()).then(mean);
                version.seen = 100.0 * version.requests / all.max(1.0);
                version.rate = seconds.map(|seconds| version.requests / seconds);
                version.p50 = quantile(&version.buckets, 0.5);
                version.p95 = quantile(&version.buckets, 0.95);
            }
        }
    }

    fn add_counters(&mut self, scrape: &Scrape, earlier: Option<&Scrape>) {
        for (labels, value) in grown(scrape, earlier, "divvy_requests_total") {
            self.version(labels).requests += value;
            let reasons = &mut self.rollout(labels).reasons;
            *reasons.entry(label(labels, "divvy_reason")).or_default() += value;
        }
        for (labels, value) in grown(scrape, earlier, "divvy_responses_total") {
            let classes = &mut self.version(labels).classes;
            *classes.entry(label(labels, "divvy_class")).or_default() += value;
        }
        for (labels, value) in grown(scrape, earlier, "divvy_request_duration_ms_bucket") {
            // `+Inf` or a number that a float holds exactly.
            let bound = label(labels, "le").parse().unwrap_or(f64::INFINITY);
            let buckets = &mut self.version(labels).buckets;
            *buckets.entry(bound.to_bits()).or_default() += value;
        }
    }

    fn add_gauges(&mut self, scrape: &Scrape) {
        let two = if in_hot_restart(scrape) { 2.0 } else { 1.0 };
        for (labels, value) in scrape.series("divvy_weight_ppm") {
            let weight = (scrape.url.clone(), value / two / 1e4);
            self.version(labels).weights.push(weight);
        }
        let weights = scrape.series("divvy_weight_ppm");
        let without_users = weights.filter(|(_, weight)| *weight == 0.0);
        let without_users: BTreeSet<_> = without_users.map(|(labels, _)| labels).collect();
        for (labels, state) in scrape.series("divvy_guardrail_state") {
            let no_users = without_users.contains(labels);
            let version = self.version(labels);
            // The sum of two processes does not tell frozen from rolled back; the weight does.
            let (unreachable, rolled_back) = match two {
                1.0 => (*state == 3.0, *state == 2.0),
                _ => {
                    let unreachable = *state == 6.0 || (*state == 3.0 && !no_users);
                    (unreachable, *state > 0.0 && no_users && !unreachable)
                }
            };
            let frozen = *state > 0.0 && !rolled_back && !unreachable;
            for (count, holds, name) in [
                (&mut version.unreachable, unreachable, "unreachable"),
                (&mut version.rolled_back, rolled_back, "rolled back"),
                (&mut version.frozen, frozen, "frozen"),
            ] {
                if holds {
                    *count += 1;
                    let proxies = version.held_in.entry(name).or_default();
                    proxies.push(scrape.url.clone());
                }
            }
        }
    }

    fn add_waiting(&mut self, scrape: &Scrape) {
        for (labels, state) in scrape.series("divvy_step_waiting") {
            if *state > 0.0 {
                let rollout = self.rollout(labels);
                rollout.waiting += 1;
                rollout.waiting_in.push(scrape.url.clone());
            }
        }
    }

    fn rollout(&mut self, labels: &SeriesLabels) -> &mut RolloutView {
        let name = label(labels, "divvy_rollout");
        self.rollouts.entry(name).or_default()
    }

    fn version(&mut self, labels: &SeriesLabels) -> &mut VersionView {
        let versions = &mut self.rollout(labels).versions;
        versions.entry(label(labels, "divvy_version")).or_default()
    }
}

impl ProxyView {
    fn new(scrape: &Scrape) -> Self {
        let mut hashes: Vec<_> = scrape.series("divvy_config_hash").collect();
        hashes.sort_by_key(|(labels, _)| labels);
        let hashes = hashes.into_iter();
        let hashes = hashes.map(|(_, hash)| format!("{:08x}", *hash as u32));
        let hashes: Vec<_> = hashes.collect();
        Self {
            url: scrape.url.clone(),
            error: scrape.error.clone(),
            job: scrape.group.clone(),
            hash: (!hashes.is_empty()).then(|| hashes.join("+")),
            inert: scrape
                .series("divvy_config_inert")
                .any(|(_, inert)| *inert >= 1.0),
            untagged: scrape.is_untagged(),
            hot_restart: in_hot_restart(scrape),
        }
    }
}

/// Whether the gauges are those of two processes: the weights of one rollout add up to one million.
fn in_hot_restart(scrape: &Scrape) -> bool {
    let mut sums: BTreeMap<_, f64> = BTreeMap::new();
    for (labels, weight) in scrape.series("divvy_weight_ppm") {
        *sums.entry(label(labels, "divvy_rollout")).or_default() += weight;
    }
    sums.values().any(|sum| *sum > 1.5e6)
        || scrape
            .series("divvy_config_inert")
            .any(|(_, inert)| *inert > 1.0)
}

fn label(labels: &SeriesLabels, name: &str) -> String {
    labels.get(name).cloned().unwrap_or_default()
}

/// The growth of each series of a counter. A counter that became smaller has restarted from 0.
fn grown<'s>(
    now: &'s Scrape,
    before: Option<&'s Scrape>,
    metric: &'static str,
) -> impl Iterator<Item = (&'s SeriesLabels, f64)> {
    let before = before.into_iter().flat_map(|old| old.series(metric));
    let before: BTreeMap<_, f64> = before.map(|(labels, value)| (labels, *value)).collect();
    now.series(metric).map(move |(labels, value)| {
        let old = before.get(labels).copied().unwrap_or_default();
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
mod tests;
