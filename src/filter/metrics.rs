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

/// The gauges of one plugin, which tell of one configuration at a time.
///
/// That is the one that new streams come to, and no callback says which: a configuration
/// may come with a VM of its own, Envoy may go back to an earlier one without configuring
/// it anew, and each worker changes over in its own time. So whoever handles a stream
/// looks whether the gauges tell of its configuration, in its own VM for each stream and
/// in the whole process on each tick.
#[derive(Debug)]
pub struct Gauges {
    /// Shared data: the digest of the configuration that the gauges tell of.
    owner: Box<str>,
    /// Shared data: the names of the gauges that it has set. The next one sets those to 0
    /// that it does not have.
    names: Box<str>,
    /// The configuration that this VM last made them tell of.
    shown: Cell<Option<u128>>,
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
                    owner: marks::key(plugin, "gauges", "owner"),
                    names: marks::key(plugin, "gauges", "names"),
                    shown: Cell::new(None),
                })
            });
            Rc::clone(gauges)
        })
    }

    /// Whether they tell of this configuration, as far as this VM knows.
    pub fn tell_of(&self, configuration: u128) -> bool {
        self.shown.get() == Some(configuration)
    }

    /// Whether they do, as far as all VMs know.
    pub fn tell_everybody_of(&self, configuration: u128) -> bool {
        host::shared(&self.owner).is_some_and(|(owner, _)| owner == configuration.to_le_bytes())
    }

    /// Makes them tell of this configuration.
    pub fn show(&self, configuration: u128, values: impl IntoIterator<Item = (String, u64)>) {
        self.shown.set(Some(configuration));
        let before = self.names();
        let mut now = BTreeMap::new();
        for name in before.lines() {
            now.insert(name.into(), 0);
        }
        self.set(now, String::new(), values);
        // All VMs that show this configuration write the same. Refused: nothing is
        // zeroed later, which is no reason to stop.
        let _ = host::swap_shared(&self.owner, &configuration.to_le_bytes(), 0);
    }

    /// Adds gauges to those that are shown.
    pub fn add(&self, values: impl IntoIterator<Item = (String, u64)>) {
        self.set(BTreeMap::new(), self.names(), values);
    }

    fn names(&self) -> String {
        let names = host::shared(&self.names).map_or(Vec::new(), |(names, _)| names);
        String::from_utf8(names).unwrap_or_default()
    }

    fn set(
        &self,
        mut gauges: BTreeMap<Box<str>, u64>,
        mut names: String,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        for (name, value) in values {
            names.extend([&name, "\n"]);
            gauges.insert(name.into(), value);
        }
        for (name, value) in gauges {
            if let Some(id) = define(MetricKind::Gauge, &name) {
                host::record(id, value);
            }
        }
        let _ = host::swap_shared(&self.names, names.as_bytes(), 0);
    }
}
