//! Stats of one process, with the semantics of Envoy.
//!
//! All VMs of a process share the counter of a name and increment it without a lock. Ids belong
//! to one VM, and each definition returns a new one, also for a known name: a filter that defines
//! its metrics again with each configuration leaks memory in Envoy.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::abi::Status;

/// Contents of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Sum of the values.
    pub sum: u64,
}

#[derive(Default)]
pub(crate) struct HistogramCell {
    count: AtomicU64,
    sum: AtomicU64,
}

impl HistogramCell {
    pub fn read(&self) -> Histogram {
        Histogram {
            count: self.count.load(Relaxed),
            sum: self.sum.load(Relaxed),
        }
    }
}

/// All stats of a process by name. The three kinds have separate names.
#[derive(Default)]
pub(crate) struct Stats {
    pub counters: HashMap<String, Arc<AtomicU64>>,
    pub gauges: HashMap<String, Arc<AtomicU64>>,
    pub histograms: HashMap<String, Arc<HistogramCell>>,
}

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;
/// Distance of ids of one kind, because the low bits of an id are its kind.
const STEP: u32 = 4;

/// Metric ids of one VM.
#[derive(Default)]
pub(crate) struct MetricIds {
    counters: Vec<Arc<AtomicU64>>,
    gauges: Vec<Arc<AtomicU64>>,
    histograms: Vec<Arc<HistogramCell>>,
}

impl MetricIds {
    /// Number of ids.
    pub fn len(&self) -> usize {
        self.counters.len() + self.gauges.len() + self.histograms.len()
    }

    pub fn define(&mut self, kind: u32, name: &str, stats: &mut Stats) -> Result<u32, Status> {
        fn intern<T: Default>(
            known: &mut HashMap<String, Arc<T>>,
            ids: &mut Vec<Arc<T>>,
            name: &str,
        ) -> u32 {
            let cell = match known.get(name) {
                Some(cell) => Arc::clone(cell),
                None => Arc::clone(known.entry(name.to_owned()).or_default()),
            };
            ids.push(cell);
            ids.len() as u32
        }
        let nth = match kind {
            COUNTER => intern(&mut stats.counters, &mut self.counters, name),
            GAUGE => intern(&mut stats.gauges, &mut self.gauges, name),
            HISTOGRAM => intern(&mut stats.histograms, &mut self.histograms, name),
            _ => return Err(Status::BAD_ARGUMENT),
        };
        Ok(nth * STEP + kind)
    }

    pub fn increment(&self, id: u32, offset: i64) -> Status {
        match id % STEP {
            COUNTER => match nth(&self.counters, id) {
                // Zero is an error in Envoy as well.
                Some(_) if offset <= 0 => Status::BAD_ARGUMENT,
                Some(counter) => {
                    counter.fetch_add(offset.unsigned_abs(), Relaxed);
                    Status::OK
                }
                None => Status::NOT_FOUND,
            },
            GAUGE => match nth(&self.gauges, id) {
                Some(gauge) => {
                    gauge.fetch_add(offset as u64, Relaxed);
                    Status::OK
                }
                None => Status::NOT_FOUND,
            },
            _ => Status::BAD_ARGUMENT,
        }
    }

    pub fn record(&self, id: u32, value: u64) -> Status {
        match id % STEP {
            COUNTER => nth(&self.counters, id).map(|counter| {
                counter.fetch_add(value, Relaxed);
            }),
            GAUGE => nth(&self.gauges, id).map(|gauge| gauge.store(value, Relaxed)),
            HISTOGRAM => nth(&self.histograms, id).map(|histogram| {
                histogram.count.fetch_add(1, Relaxed);
                histogram.sum.fetch_add(value, Relaxed);
            }),
            _ => None,
        }
        .map_or(Status::NOT_FOUND, |()| Status::OK)
    }

    pub fn get(&self, id: u32) -> Result<u64, Status> {
        let cells = match id % STEP {
            COUNTER => &self.counters,
            GAUGE => &self.gauges,
            _ => return Err(Status::BAD_ARGUMENT),
        };
        nth(cells, id)
            .map(|cell| cell.load(Relaxed))
            .ok_or(Status::NOT_FOUND)
    }
}

fn nth<T>(cells: &[Arc<T>], id: u32) -> Option<&T> {
    let nth = (id / STEP).checked_sub(1)?;
    cells.get(nth as usize).map(AsRef::as_ref)
}
