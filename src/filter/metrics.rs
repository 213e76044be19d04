//! Counters and histograms, most of which are defined at their first use.

use std::cell::Cell;

use super::host::{Host, MetricId, MetricKind};
use super::vm::Vm;
use crate::output;
use crate::policy::{EntryForm, Policy};

/// A series and its number. A configuration has many of them, and each request uses a few.
#[derive(Debug)]
pub struct Series(Cell<MetricId>);

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

impl Series {
    const UNKNOWN: MetricId = MetricId::MAX;
    /// The host refused to define the series and is not asked again. Hosts number metrics
    /// from 0 up.
    const REFUSED: MetricId = MetricId::MAX - 1;

    pub const fn new() -> Self {
        Self(Cell::new(Self::UNKNOWN))
    }

    /// The number of the series; `name` is called only the first time.
    pub fn id<H: Host>(
        &self,
        vm: &Vm<H>,
        kind: MetricKind,
        name: impl FnOnce() -> String,
    ) -> Option<MetricId> {
        if self.0.get() == Self::UNKNOWN {
            self.0
                .set(vm.metric(kind, &name()).unwrap_or(Self::REFUSED));
        }
        let id = self.0.get();
        (id != Self::REFUSED).then_some(id)
    }
}

/// The counter of requests whose baggage has no room for the assignment; `None` for a policy that
/// writes no baggage.
pub fn full_baggage<H: Host>(vm: &Vm<H>, plugin: &str, policy: &Policy) -> Option<MetricId> {
    let mut entries = policy.own_entries.iter();
    let writes = entries.any(|entry| entry.form == EntryForm::Baggage);
    if !writes {
        return None;
    }
    let name = output::series(&[("divvy_plugin", plugin)], "divvy_baggage_full_total");
    vm.metric(MetricKind::Counter, &name)
}
