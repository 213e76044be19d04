//! Shared data, stats and clocks of one Envoy process.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::abi::Status;
use crate::stats::{Histogram, Stats};

/// One Envoy process: shared data, stats and a clock.
///
/// A clone is the same process. VMs of one process may run on several threads.
#[derive(Clone, Default)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    shared: Mutex<SharedData>,
    stats: Mutex<Stats>,
    clock: Clock,
}

/// The clocks of the VMs. Only tests move them, so that every run is the same.
pub struct Clock {
    realtime: AtomicU64,
    monotonic: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            // 2026-12-01T00:00:00Z
            realtime: AtomicU64::new(1_796_083_200_000_000_000),
            monotonic: AtomicU64::new(1_000_000_000_000),
        }
    }
}

impl Clock {
    /// Nanoseconds since 1970.
    pub fn realtime(&self) -> u64 {
        self.realtime.load(SeqCst)
    }

    /// Nanoseconds of the monotonic clock.
    pub fn monotonic(&self) -> u64 {
        self.monotonic.load(SeqCst)
    }

    /// Sets the wall clock, also backwards, as an operator or NTP does.
    pub fn set_realtime(&self, nanoseconds: u64) {
        self.realtime.store(nanoseconds, SeqCst);
    }

    /// Sets the monotonic clock. A real one never goes back.
    pub fn set_monotonic(&self, nanoseconds: u64) {
        self.monotonic.store(nanoseconds, SeqCst);
    }

    /// Advances both clocks.
    pub fn advance(&self, time: Duration) {
        let nanoseconds = time.as_nanos() as u64;
        self.realtime.fetch_add(nanoseconds, SeqCst);
        self.monotonic.fetch_add(nanoseconds, SeqCst);
    }
}

/// The key-value store with compare-and-swap of one `vm_id`.
pub(crate) struct SharedData {
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    next_cas: u32,
}

impl Default for SharedData {
    fn default() -> Self {
        SharedData {
            values: HashMap::new(),
            next_cas: 1,
        }
    }
}

impl SharedData {
    pub fn get(&self, key: &[u8]) -> Option<&(Vec<u8>, u32)> {
        self.values.get(key)
    }

    /// Writes a value as Envoy does: CAS 0 always overwrites, a missing key accepts any CAS.
    pub fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Status {
        if let Some((_, current)) = self.values.get(key)
            && cas != 0
            && cas != *current
        {
            return Status::CAS_MISMATCH;
        }
        let fresh = self.next_cas;
        // 0 is not a CAS value, also not after an overflow.
        self.next_cas = self.next_cas.checked_add(1).unwrap_or(1);
        self.values.insert(key.to_vec(), (value.to_vec(), fresh));
        Status::OK
    }
}

impl Process {
    /// A process without shared data and stats.
    pub fn new() -> Self {
        Process::default()
    }

    /// The clocks of this process.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The value of a counter, if a VM has defined it.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let stats = self.stats();
        stats.counters.get(name).map(|counter| counter.load(SeqCst))
    }

    /// The value of a gauge, if a VM has defined it.
    pub fn gauge(&self, name: &str) -> Option<u64> {
        let stats = self.stats();
        stats.gauges.get(name).map(|gauge| gauge.load(SeqCst))
    }

    /// The contents of a histogram, if a VM has defined it.
    pub fn histogram(&self, name: &str) -> Option<Histogram> {
        let stats = self.stats();
        stats.histograms.get(name).map(|histogram| histogram.read())
    }

    /// The sum of all counters of a metric with these labels. Stat names are `label=.=value;.;`
    /// for each label, then the name of the metric.
    pub fn counted(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let stats = self.stats();
        stats
            .counters
            .iter()
            .filter(|(name, _)| has_labels(name, metric, labels))
            .map(|(_, counter)| counter.load(SeqCst))
            .sum()
    }

    /// The gauge of a metric with these labels and perhaps others.
    pub fn gauged(&self, metric: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let stats = self.stats();
        stats
            .gauges
            .iter()
            .find(|(name, _)| has_labels(name, metric, labels))
            .map(|(_, gauge)| gauge.load(SeqCst))
    }

    /// Names of all defined stats, sorted.
    pub fn stat_names(&self) -> Vec<String> {
        let stats = self.stats();
        let mut names: Vec<String> = stats
            .counters
            .keys()
            .chain(stats.gauges.keys())
            .chain(stats.histograms.keys())
            .cloned()
            .collect();
        names.sort();
        names
    }

    /// The values of all counters and gauges by name. A histogram has its count and its sum.
    pub fn stat_values(&self) -> BTreeMap<String, Vec<u64>> {
        let stats = self.stats();
        let numbers = stats.counters.iter().chain(&stats.gauges);
        let numbers = numbers.map(|(name, value)| (name.clone(), vec![value.load(SeqCst)]));
        let histograms = stats.histograms.iter().map(|(name, histogram)| {
            let read = histogram.read();
            (name.clone(), vec![read.count, read.sum])
        });
        numbers.chain(histograms).collect()
    }

    /// A value in shared data with its CAS.
    pub fn shared_data(&self, key: impl AsRef<[u8]>) -> Option<(Vec<u8>, u32)> {
        self.shared().get(key.as_ref()).cloned()
    }

    /// The keys in shared data, sorted.
    pub fn shared_keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<_> = self.shared().values.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// Writes shared data with this CAS, as another VM would.
    pub fn set_shared_data(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        cas: u32,
    ) -> Status {
        self.shared().set(key.as_ref(), value.as_ref(), cas)
    }

    // A thread that panicked in a test leaves valid data behind, so a poisoned lock is used.
    pub(crate) fn shared(&self) -> MutexGuard<'_, SharedData> {
        self.inner
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.inner
            .stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_labels(stat: &str, metric: &str, labels: &[(&str, &str)]) -> bool {
    let (tags, name) = stat.rsplit_once(";.;").unwrap_or(("", stat));
    let has = |label, value| {
        tags.split(";.;")
            .any(|tag| tag.split_once("=.=") == Some((label, value)))
    };
    name == metric && labels.iter().all(|&(label, value)| has(label, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_and_swap_works_as_in_envoy() {
        let process = Process::new();
        assert_eq!(process.set_shared_data("k", "1", 77), Status::OK);
        let (_, cas) = process.shared_data("k").unwrap();
        assert_eq!(process.set_shared_data("k", "2", cas), Status::OK);
        assert_eq!(process.set_shared_data("k", "3", cas), Status::CAS_MISMATCH);
        assert_eq!(process.set_shared_data("k", "4", 0), Status::OK);
        assert_eq!(process.shared_data("k").unwrap().0, b"4");
    }

    #[test]
    fn labels_are_parsed_from_stat_names() {
        let stat = "divvy_rollout=.=a;.;divvy_version=.=v1;.;divvy_requests_total";
        assert!(has_labels(
            stat,
            "divvy_requests_total",
            &[("divvy_version", "v1")]
        ));
        assert!(!has_labels(
            stat,
            "divvy_requests_total",
            &[("divvy_version", "v")]
        ));
        assert!(!has_labels(stat, "requests_total", &[]));
    }
}
