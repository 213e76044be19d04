//! The series of families that one worker changes, most of them of rollouts beyond the fiftieth. Must
//! not call Envoy.
//!
//! Envoy finds such a series by its labels with each change, which takes it 0.5 µs. So the worker makes
//! its first change of a series, and leaves the later ones to the tick, which runs on the main thread
//! and adds all changes of a counter at once.

use std::sync::Arc;

use divvy::filter::host::{MetricId, MetricKind};
use rustc_hash::FxHashMap;

use crate::values::Metric;

/// Maximum number of values for histograms that wait, 24 bytes each. Further ones do not wait.
const MAX_VALUES: usize = 1 << 16;

/// The series of one configuration, and their changes that wait for the tick.
#[derive(Debug, Default)]
pub struct LateSeries {
    all: FxHashMap<MetricId, Arc<Metric>>,
    waiting: WaitingChanges,
}

/// Changes of series that wait for the tick.
#[derive(Debug, Default)]
pub struct WaitingChanges {
    counters: FxHashMap<MetricId, WaitingChange>,
    histograms: Vec<WaitingChange>,
}

/// A change of one series.
#[derive(Debug)]
pub struct WaitingChange {
    /// Number of the series.
    pub number: MetricId,
    /// The series in the configuration that the change was made for.
    pub metric: Arc<Metric>,
    /// What to add to a counter, or the value for a histogram.
    pub value: u64,
}

impl LateSeries {
    /// Makes a change wait. `false` if it does not: the series is new here, it is a gauge, or too many
    /// values wait.
    pub fn wait(&mut self, number: MetricId, value: u64) -> bool {
        let waiting = &mut self.waiting;
        if let Some(change) = waiting.counters.get_mut(&number) {
            change.value = change.value.saturating_add(value);
            return true;
        }
        let Some(metric) = self.all.get(&number) else {
            return false;
        };
        let change = WaitingChange {
            number,
            metric: Arc::clone(metric),
            value,
        };
        match metric.kind {
            MetricKind::Counter => {
                waiting.counters.insert(number, change);
            }
            MetricKind::Histogram if waiting.histograms.len() < MAX_VALUES => {
                waiting.histograms.push(change);
            }
            MetricKind::Histogram | MetricKind::Gauge => return false,
        }
        true
    }

    /// The series of this number, which `find` finds if it is new here.
    pub fn get(
        &mut self,
        number: MetricId,
        find: impl FnOnce() -> Option<Arc<Metric>>,
    ) -> Option<Arc<Metric>> {
        if let Some(metric) = self.all.get(&number) {
            return Some(Arc::clone(metric));
        }
        let metric = find()?;
        self.all.insert(number, Arc::clone(&metric));
        Some(metric)
    }

    /// The changes that wait, which wait no longer.
    pub fn take_waiting(&mut self) -> WaitingChanges {
        std::mem::take(&mut self.waiting)
    }
}

impl WaitingChanges {
    /// Each change: one for a counter, and one for each value of a histogram.
    pub fn iter(&self) -> impl Iterator<Item = &WaitingChange> {
        self.counters.values().chain(&self.histograms)
    }
}
