//! The numbers of metrics.
//!
//! The host gives out a new number whenever a metric is defined, also for a name it
//! knows, and keeps all of them as long as the VM lives. A VM outlives many
//! configurations, so the numbers are kept here by name and asked for once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::host::{self, MetricKind};
use super::marks;

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

/// Whose state the gauges of one plugin show, as far as this VM knows.
///
/// A plugin has several root contexts in a VM: each configuration has one, and Envoy may
/// go back to an older one without configuring it anew. The gauges must tell of the one
/// that new streams come to.
#[derive(Debug)]
pub struct Gauges {
    /// Shared data that lists the gauges that are shown. Not kept in the VM, because a
    /// configuration may come with a VM of its own, and what the one before showed and
    /// this one does not has to go to 0 all the same.
    shown: Box<str>,
    shown_by: Cell<Option<u32>>,
}

thread_local! {
    static GAUGES: RefCell<BTreeMap<Box<str>, Rc<Gauges>>> = RefCell::default();
}

impl Gauges {
    /// The gauges of the plugin of this name.
    pub fn of(plugin: &str) -> Rc<Self> {
        GAUGES.with_borrow_mut(|all| {
            let gauges = all.entry(plugin.into()).or_insert_with(|| {
                Rc::new(Self {
                    shown: marks::key(plugin, "gauges", ""),
                    shown_by: Cell::new(None),
                })
            });
            Rc::clone(gauges)
        })
    }

    /// Whether they tell of this root context.
    pub fn are_of(&self, root: u32) -> bool {
        self.shown_by.get() == Some(root)
    }

    /// Makes them tell of this root context.
    pub fn show(&self, root: u32, values: impl IntoIterator<Item = (String, u64)>) {
        self.shown_by.set(Some(root));
        let before = host::shared(&self.shown).map_or(Vec::new(), |(names, _)| names);
        let mut now = BTreeMap::new();
        for name in String::from_utf8_lossy(&before).lines() {
            now.insert(Box::from(name), 0);
        }
        let mut names = String::new();
        for (name, value) in values {
            names.extend([&name, "\n"]);
            now.insert(name.into(), value);
        }
        for (name, value) in &now {
            if let Some(id) = define(MetricKind::Gauge, name) {
                host::record(id, *value);
            }
        }
        // All VMs that show this configuration write the same. Refused: nothing is
        // zeroed later, which is no reason to stop.
        let _ = host::swap_shared(&self.shown, names.as_bytes(), 0);
    }
}
