//! What all configurations of one VM share: the host, the numbers of metrics, the gauges.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::gauges::Gauges;
use super::host::{Host, MetricId, MetricKind};

/// One VM and its host.
///
/// A host gives a metric a new number each time it is defined, also under a known name, and
/// keeps all numbers as long as the VM lives. A VM outlives many configurations, so it keeps
/// the numbers by name.
#[derive(Debug)]
pub struct Vm<H> {
    /// The host.
    pub host: H,
    metrics: RefCell<FxHashMap<Box<str>, Option<MetricId>>>,
    gauges: RefCell<FxHashMap<Box<str>, Rc<Gauges>>>,
    /// Number of plugins of the process, as far as this VM knows.
    pub(super) plugins: Cell<usize>,
}

impl<H: Host> Vm<H> {
    /// A VM that has no configuration yet.
    pub fn new(host: H) -> Rc<Self> {
        Rc::new(Self {
            host,
            metrics: RefCell::default(),
            gauges: RefCell::default(),
            plugins: Cell::new(1),
        })
    }

    /// The number of a metric, which is defined at its first use. `None` if the host refused.
    pub(super) fn metric(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let mut metrics = self.metrics.try_borrow_mut().ok()?;
        if let Some(id) = metrics.get(name) {
            return *id;
        }
        let id = self.host.define_metric(kind, name).ok();
        if id.is_none() {
            log::warn!("the proxy refuses to define the metric {name}");
        }
        metrics.insert(name.into(), id);
        id
    }

    /// Sets a gauge.
    pub(super) fn set_gauge(&self, name: &str, value: u64) {
        if let Some(id) = self.metric(MetricKind::Gauge, name) {
            self.host.record(id, value);
        }
    }

    /// Sets gauges.
    pub(super) fn set_gauges(&self, values: &[(String, u64)]) {
        for (name, value) in values {
            self.set_gauge(name, *value);
        }
    }

    /// The gauges of a plugin.
    pub(super) fn gauges(&self, plugin: &str) -> Rc<Gauges> {
        let new = || Rc::new(Gauges::new(plugin));
        let Ok(mut gauges) = self.gauges.try_borrow_mut() else {
            return new();
        };
        Rc::clone(gauges.entry(plugin.into()).or_insert_with(new))
    }
}
