//! The metrics of one configuration. Must not depend on the filter.
//!
//! Envoy lets a module define metrics only while the configuration is created, and forgets a metric
//! with the last configuration that defined it. So each configuration defines all that the process knows:
//! counters go on after a push, and gauges of what a push removed can be set to 0.
//!
//! A series that is named while a configuration is created has its labels in its name, as those of the
//! wasm filter have, and counting it is an addition. One that is named later, of a rollout beyond the
//! fiftieth, belongs to a family, and its labels are passed with each change: see [`crate::late`].
//! `/stats/prometheus` shows both alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use divvy::filter::host::{MetricId, MetricKind};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::abi::{self, ConfigHandle, Meter};
use crate::late::{LateSeries, WaitingChanges};
use crate::values::Metric;

/// The families, with their kinds and labels.
const FAMILIES: [(&str, MetricKind, &[&str]); 11] = {
    const PLACE: &[&str] = &["divvy_rollout", "divvy_version"];
    const PLUGIN: &[&str] = &["divvy_plugin"];
    const REASON: &[&str] = &["divvy_rollout", "divvy_version", "divvy_reason"];
    const CLASS: &[&str] = &["divvy_rollout", "divvy_version", "divvy_class"];
    [
        ("divvy_requests_total", MetricKind::Counter, REASON),
        ("divvy_responses_total", MetricKind::Counter, CLASS),
        ("divvy_request_duration_ms", MetricKind::Histogram, PLACE),
        ("divvy_weight_ppm", MetricKind::Gauge, PLACE),
        ("divvy_guardrail_state", MetricKind::Gauge, PLACE),
        ("divvy_step_waiting", MetricKind::Gauge, &["divvy_rollout"]),
        ("divvy_config_hash", MetricKind::Gauge, PLUGIN),
        ("divvy_config_inert", MetricKind::Gauge, PLUGIN),
        ("divvy_baggage_full_total", MetricKind::Counter, PLUGIN),
        ("divvy_key_info", MetricKind::Gauge, &["divvy_key_id"]),
        (
            "divvy_signature_total",
            MetricKind::Counter,
            &["divvy_purpose", "divvy_result"],
        ),
    ]
};

/// A metric that a configuration of the process named.
#[derive(Clone, Debug)]
struct NamedMetric {
    kind: MetricKind,
    name: Arc<str>,
    /// Whether it belongs to a family.
    labelled: bool,
}

/// All metrics that the process knows, by number, and their numbers by name.
struct KnownMetrics {
    all: Vec<NamedMetric>,
    numbers: FxHashMap<Arc<str>, MetricId>,
}

static KNOWN: Mutex<KnownMetrics> = Mutex::new(KnownMetrics {
    all: Vec::new(),
    numbers: FxHashMap::with_hasher(FxBuildHasher),
});

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(metric: MetricId) -> usize {
    usize::try_from(metric).unwrap_or(usize::MAX)
}

type Defined = Vec<Option<Arc<Metric>>>;

/// The metrics of one configuration.
#[derive(Debug)]
pub struct MetricTable {
    config: ConfigHandle,
    families: FxHashMap<&'static str, usize>,
    /// While the configuration is created.
    defined: Mutex<Defined>,
    /// The same by number, afterwards.
    fixed: OnceLock<Defined>,
    /// Values that no filter was there to set, on Envoy 1.38.
    pending: Mutex<FxHashMap<Arc<Metric>, u64>>,
    has_pending: AtomicBool,
}

impl MetricTable {
    /// In the hook that creates the configuration.
    pub fn new(config: ConfigHandle) -> Self {
        let families = FAMILIES.iter().filter_map(|(name, kind, labels)| {
            let labels: Vec<Box<str>> = labels.iter().map(|label| (*label).into()).collect();
            Some((*name, config.define(*kind, name, &labels)?))
        });
        let table = Self {
            families: families.collect(),
            config,
            defined: Mutex::default(),
            fixed: OnceLock::new(),
            pending: Mutex::default(),
            has_pending: AtomicBool::new(false),
        };
        let known = lock(&KNOWN).all.clone();
        let all = known.iter().map(|metric| table.keep(metric)).collect();
        *lock(&table.defined) = all;
        table
    }

    /// From now on, Envoy refuses to define metrics.
    pub fn freeze(&self) {
        let _ = self.fixed.set(std::mem::take(&mut *lock(&self.defined)));
    }

    /// Defines a known metric.
    fn keep(&self, metric: &NamedMetric) -> Option<Arc<Metric>> {
        if !metric.labelled {
            return self.plain(metric);
        }
        let labelled = self.labelled(metric)?;
        if metric.kind == MetricKind::Counter {
            self.config.change(&labelled, 0);
        }
        Some(labelled)
    }

    /// The number of the metric of this name.
    pub fn number(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let mut known = lock(&KNOWN);
        if let Some(number) = known.numbers.get(name) {
            return Some(*number);
        }
        let metric = NamedMetric {
            kind,
            name: name.into(),
            labelled: self.fixed.get().is_some(),
        };
        let number = MetricId::try_from(known.all.len()).ok()?;
        if !metric.labelled {
            let mut defined = lock(&self.defined);
            defined.resize(known.all.len(), None);
            defined.push(self.plain(&metric));
        }
        known.numbers.insert(Arc::clone(&metric.name), number);
        known.all.push(metric);
        Some(number)
    }

    /// Changes a known metric. `late`: the series of families that this worker changed before.
    pub fn change(&self, meter: &Meter, number: MetricId, value: u64, late: &mut LateSeries) {
        let Some(fixed) = self.fixed.get() else {
            let defined = lock(&self.defined).get(place(number)).cloned();
            if let Some(Some(metric)) = defined {
                self.change_now(meter, &metric, value);
            }
            return;
        };
        let fixed = fixed.get(place(number)).and_then(Option::as_ref);
        if let Some(metric) = fixed.filter(|metric| metric.labels.is_empty()) {
            return self.change_now(meter, metric, value);
        }
        if abi::changes_without_filter() && late.wait(number, value) {
            return;
        }
        let found = late.get(number, || fixed.cloned().or_else(|| self.in_family(number)));
        if let Some(metric) = found {
            self.change_now(meter, &metric, value);
        }
    }

    /// Makes changes of this configuration that waited for the tick.
    pub fn change_all(&self, waiting: &WaitingChanges) {
        for change in waiting.iter() {
            self.config.change(&change.metric, change.value);
        }
    }

    /// Makes changes that wait in an earlier configuration. Envoy drops a histogram with the last
    /// configuration that recorded a value in it, so with these the histograms go on.
    pub fn adopt(&self, waiting: &WaitingChanges) {
        for change in waiting.iter() {
            if let Some(metric) = self.in_family(change.number) {
                self.config.change(&metric, change.value);
            }
        }
    }

    /// A known series of a family.
    fn in_family(&self, number: MetricId) -> Option<Arc<Metric>> {
        self.labelled(lock(&KNOWN).all.get(place(number))?)
    }

    fn plain(&self, metric: &NamedMetric) -> Option<Arc<Metric>> {
        Some(Arc::new(Metric {
            kind: metric.kind,
            id: self.config.define(metric.kind, &metric.name, &[])?,
            labels: Box::default(),
        }))
    }

    /// A series of a family. Its name is its labels and then the family, as
    /// [`divvy::output::series`] writes it.
    fn labelled(&self, metric: &NamedMetric) -> Option<Arc<Metric>> {
        let (labels, family) = metric.name.rsplit_once(";.;")?;
        let id = *self.families.get(family)?;
        let values = labels.split(";.;");
        let labels: Option<Vec<Box<str>>> = values
            .map(|label| Some(label.split_once("=.=")?.1.into()))
            .collect();
        Some(Arc::new(Metric {
            kind: metric.kind,
            id,
            labels: labels?.into(),
        }))
    }

    /// Changes a metric, at the latest in the next hook of a request.
    fn change_now(&self, meter: &Meter, metric: &Arc<Metric>, value: u64) {
        if meter.change(self.config, metric, value) {
            return;
        }
        let mut pending = lock(&self.pending);
        let sum = pending.entry(Arc::clone(metric)).or_default();
        let adds = metric.kind == MetricKind::Counter;
        *sum = if adds {
            sum.saturating_add(value)
        } else {
            value
        };
        self.has_pending.store(true, Ordering::Release);
    }

    /// Makes the changes that waited for a filter.
    pub fn flush(&self, meter: &Meter) {
        if self.has_pending.load(Ordering::Relaxed)
            && self.has_pending.swap(false, Ordering::Acquire)
        {
            for (metric, value) in std::mem::take(&mut *lock(&self.pending)) {
                meter.change(self.config, &metric, value);
            }
        }
    }
}
