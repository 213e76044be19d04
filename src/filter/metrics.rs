//! The numbers of metrics.
//!
//! The host gives out a new number whenever a metric is defined, also for a name it
//! knows, and keeps all of them as long as the VM lives. A VM outlives many
//! configurations, so the numbers are kept here by name and asked for once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::host::{self, MetricKind};

thread_local! {
    static DEFINED: RefCell<BTreeMap<Box<str>, Option<u32>>> = RefCell::default();
}

fn define(kind: MetricKind, name: &str) -> Option<u32> {
    DEFINED.with_borrow_mut(|defined| {
        if let Some(id) = defined.get(name) {
            return *id;
        }
        let id = host::define_metric(kind, name).ok();
        if id.is_none() {
            log::warn!("the proxy refuses to define the metric {name}");
        }
        defined.insert(name.into(), id);
        id
    })
}

/// A series that is defined when it is first used, or before.
#[derive(Debug)]
pub struct Series {
    kind: MetricKind,
    id: Cell<Number>,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Unknown,
    /// The host refused to define it, and is not asked again.
    None,
    Some(u32),
}

impl Series {
    pub const fn new(kind: MetricKind) -> Self {
        Self {
            kind,
            id: Cell::new(Number::Unknown),
        }
    }

    /// Its number; `name` is called only the first time.
    pub fn id(&self, name: impl FnOnce() -> String) -> Option<u32> {
        if let Number::Unknown = self.id.get() {
            let number = define(self.kind, &name());
            self.id.set(number.map_or(Number::None, Number::Some));
        }
        match self.id.get() {
            Number::Some(id) => Some(id),
            Number::None | Number::Unknown => None,
        }
    }
}

/// What the gauges of one plugin say now, for this VM.
///
/// A plugin has several root contexts in a VM: each configuration has one, and Envoy may
/// go back to an older one without configuring it anew. The gauges must tell of the one
/// that new streams come to, and what the one before showed and this one does not is
/// set to 0.
#[derive(Debug, Default)]
pub struct Gauges {
    shown_by: Cell<u32>,
    shown: RefCell<BTreeMap<Box<str>, u64>>,
}

thread_local! {
    static GAUGES: RefCell<BTreeMap<Box<str>, Rc<Gauges>>> = RefCell::default();
}

impl Gauges {
    /// The gauges of the plugin of this name.
    pub fn of(plugin: &str) -> Rc<Self> {
        GAUGES.with_borrow_mut(|all| Rc::clone(all.entry(plugin.into()).or_default()))
    }

    /// Whether they tell of this root context.
    pub fn are_of(&self, root: u32) -> bool {
        self.shown_by.get() == root
    }

    /// Makes them tell of this root context.
    pub fn show(&self, root: u32, values: impl IntoIterator<Item = (String, u64)>) {
        self.shown_by.set(root);
        let mut now = BTreeMap::new();
        for (name, value) in values {
            now.insert(Box::from(name), value);
        }
        let before = self.shown.replace(BTreeMap::new());
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            set(name, 0);
        }
        for (name, value) in &now {
            set(name, *value);
        }
        self.shown.replace(now);
    }
}

fn set(gauge: &str, value: u64) {
    if let Some(id) = define(MetricKind::Gauge, gauge) {
        host::record(id, value);
    }
}
