//! The numbers of metrics.
//!
//! The host gives out a new number whenever a metric is defined, also for a name it
//! knows, and keeps all of them as long as the VM lives. A VM outlives many
//! configurations, so the numbers are kept here by name and asked for once.

use std::cell::Cell;
use std::rc::Rc;

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::host::{self, MetricKind, Swapped};
use super::lent::Handed;
use super::marks;

thread_local! {
    static DEFINED: Cell<FxHashMap<Box<str>, Option<u32>>> = const { Cell::new(FxHashMap::with_hasher(FxBuildHasher)) };
}

fn define(kind: MetricKind, name: &str) -> Option<u32> {
    let mut defined = DEFINED.take();
    let id = *defined.entry(name.into()).or_insert_with(|| {
        let id = host::define_metric(kind, name).ok();
        if id.is_none() {
            log::warn!("the proxy refuses to define the metric {name}");
        }
        id
    });
    DEFINED.set(defined);
    id
}

/// A series that is defined when it is first used, or before: its number. There are many of them,
/// and each request looks at some.
#[derive(Debug)]
pub struct Series(Cell<u32>);

impl Series {
    const UNKNOWN: u32 = u32::MAX;
    /// The host refused to define it, and is not asked again. It counts its numbers up.
    const NONE: u32 = u32::MAX - 1;

    pub const fn new() -> Self {
        Self(Cell::new(Self::UNKNOWN))
    }

    /// Its number; `name` is called only the first time.
    pub fn id(&self, kind: MetricKind, name: impl FnOnce() -> String) -> Option<u32> {
        match self.0.get() {
            Self::UNKNOWN => self.define(kind, name),
            number => Self::known(number),
        }
    }

    #[cold]
    #[inline(never)]
    fn define(&self, kind: MetricKind, name: impl FnOnce() -> String) -> Option<u32> {
        let number = define(kind, &name()).unwrap_or(Self::NONE);
        self.0.set(number);
        Self::known(number)
    }

    fn known(number: u32) -> Option<u32> {
        (number != Self::NONE).then_some(number)
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
    static GAUGES: Cell<FxHashMap<Box<str>, Rc<Gauges>>> = const { Cell::new(FxHashMap::with_hasher(FxBuildHasher)) };
}

impl Gauges {
    /// The gauges of the plugin of this name.
    pub fn of(plugin: &str) -> Rc<Self> {
        let new = || {
            Rc::new(Self {
                owner: marks::key(plugin, "gauges", "owner"),
                names: marks::key(plugin, "gauges", "names"),
                shown: Cell::new(None),
            })
        };
        let mut all = GAUGES.take();
        let gauges = Rc::clone(all.entry(plugin.into()).or_insert_with(new));
        GAUGES.set(all);
        gauges
    }

    /// Whether they tell of this configuration, as far as this VM knows.
    pub fn tell_of(&self, configuration: u128) -> bool {
        self.shown.get() == Some(configuration)
    }

    /// The configuration that they tell of, as far as all VMs know, and a number that
    /// changes whenever somebody makes them tell of one.
    pub fn owner(&self) -> Option<(u128, u32)> {
        let (digest, change) = host::shared(&self.owner)?;
        Some((u128::from_le_bytes((*digest).try_into().ok()?), change))
    }

    /// Makes them tell of this configuration, by what `tell` sets.
    pub fn show(&self, configuration: u128, tell: impl FnOnce(&mut Telling)) {
        self.shown.set(Some(configuration));
        let before = self.names().0;
        let mut telling = Telling {
            known: before.lines().map(Box::from).collect(),
            told: FxHashSet::default(),
            names: String::new(),
        };
        tell(&mut telling);
        let Telling { known, told, names } = telling;
        for name in before.lines() {
            if !told.contains(name) {
                set(name, 0);
            }
        }
        // What another VM adds in the meantime is zeroed with the next configuration.
        self.update_names(|now| {
            let mut all = names.clone();
            for name in now.lines() {
                if !told.contains(name) && !known.contains(name) {
                    add_line(&mut all, name);
                }
            }
            all
        });
        // All VMs that show this configuration write the same.
        let _ = host::swap_shared(&self.owner, &configuration.to_le_bytes(), 0);
    }

    /// Adds gauges to those that are shown.
    pub fn add(&self, values: &[(String, u64)]) {
        for (name, value) in values {
            set(name, *value);
        }
        self.update_names(|before| {
            let mut all = before.to_owned();
            for (name, _) in values {
                if !before.lines().any(|known| known == name) {
                    add_line(&mut all, name);
                }
            }
            all
        });
    }

    /// The names of what is shown, a line each, with the number to swap them by.
    fn names(&self) -> (String, u32) {
        // 0 would overwrite what another VM has just written. For a key that is not there
        // the host takes any other number.
        let (names, change) = host::shared(&self.names).unwrap_or((Handed::default(), u32::MAX));
        (
            String::from_utf8(names.to_vec()).unwrap_or_default(),
            change,
        )
    }

    /// Replaces the names of what is shown, once more whenever another VM was faster. When
    /// the host refuses, or others are faster each time, something is not zeroed later,
    /// which is no reason to stop.
    fn update_names(&self, update: impl Fn(&str) -> String) {
        const TRIES: usize = 16;
        for _ in 0..TRIES {
            let (before, change) = self.names();
            let names = update(&before);
            if host::swap_shared(&self.names, names.as_bytes(), change) != Ok(Swapped::No) {
                return;
            }
        }
    }
}

/// What the gauges are made to tell.
pub struct Telling {
    /// What somebody shows already.
    known: FxHashSet<Box<str>>,
    told: FxHashSet<Box<str>>,
    /// A line each.
    names: String,
}

impl Telling {
    /// Sets a gauge.
    pub fn set(&mut self, gauge: &str, value: u64) {
        set(gauge, value);
        if self.told.insert(gauge.into()) {
            add_line(&mut self.names, gauge);
        }
    }

    /// Sets one that is shown from its first use on, if somebody shows it already.
    pub fn set_late(&mut self, gauge: &str, value: u64) {
        if self.known.contains(gauge) {
            self.set(gauge, value);
        }
    }
}

fn add_line(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}

fn set(gauge: &str, value: u64) {
    if let Some(id) = define(MetricKind::Gauge, gauge) {
        host::record(id, value);
    }
}
