//! One configuration of the filter, and the workers of the process with their state.
//!
//! The main thread makes the state of all workers, so that a configuration is accepted or refused as a
//! whole and no request waits for it. It ticks for all of them too. A worker has its state for the time
//! of a hook; all hooks of one worker run on its thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use divvy::filter::{Plugin, Vm};
use rustc_hash::FxHashMap;

use crate::abi::{self, ConfigHandle, Handed};
use crate::changes::HeaderChanges;
use crate::late::WaitingChanges;
use crate::logger;
use crate::metrics::MetricTable;
use crate::process::{EnvoyProcess, RunningConfig};
use crate::ticks;

/// One configuration.
pub struct ModuleInstance {
    number: u64,
    /// Name of the plugin.
    name: Arc<str>,
    /// Number of its ticks.
    ticks: Mutex<Option<u64>>,
}

/// The state of one worker.
pub struct ModuleWorker {
    pub vm: Rc<Vm<EnvoyProcess>>,
    /// By the number of the configuration.
    plugins: FxHashMap<u64, ModulePlugin>,
    /// Used by one hook after the other.
    pub changes: RefCell<HeaderChanges>,
}

/// One configuration in one worker.
pub struct ModulePlugin {
    /// Name of the plugin.
    name: Box<str>,
    pub plugin: Plugin<EnvoyProcess>,
    pub config: Rc<RunningConfig>,
}

/// The workers, from the first configuration on.
fn workers() -> &'static [Handed<ModuleWorker>] {
    static WORKERS: OnceLock<Box<[Handed<ModuleWorker>]>> = OnceLock::new();
    WORKERS.get_or_init(|| {
        let new = |_| {
            Handed::new(ModuleWorker {
                vm: Vm::new(EnvoyProcess::new()),
                plugins: FxHashMap::default(),
                changes: RefCell::default(),
            })
        };
        (0..abi::concurrency()).map(new).collect()
    })
}

impl ModuleWorker {
    /// Takes a configuration. `None` if it is refused, with the errors in the log.
    fn configure(
        &mut self,
        number: u64,
        table: &Arc<MetricTable>,
        name: &str,
        bytes: &[u8],
    ) -> Option<Rc<RunningConfig>> {
        let config = RunningConfig::new(Arc::clone(table));
        let mut plugin = Plugin::new(Rc::clone(&self.vm));
        let accepted = self.vm.host.run(&config, || plugin.configure(name, bytes));
        let new = ModulePlugin {
            name: name.into(),
            plugin,
            config: Rc::clone(&config),
        };
        if accepted {
            self.plugins.insert(number, new);
        }
        accepted.then_some(config)
    }

    /// The changes of metrics that wait for the ticks of the configurations of a plugin.
    fn take_waiting(&self, plugin: &str) -> Vec<WaitingChanges> {
        let all = self.plugins.values().filter(|one| *one.name == *plugin);
        let waiting = all.filter_map(|one| one.config.take_waiting());
        waiting.map(|(_, changes)| changes).collect()
    }

    /// A configuration in this worker.
    pub fn plugin(&self, instance: &ModuleInstance) -> Option<&ModulePlugin> {
        self.plugins.get(&instance.number)
    }
}

impl ModuleInstance {
    /// Takes a configuration. `None` if it is refused, with the errors in the log.
    pub fn new(config: ConfigHandle, name: &str, bytes: &[u8]) -> Option<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let instance = Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            ticks: Mutex::new(None),
        });
        logger::begin(&instance.name);
        let table = Arc::new(MetricTable::new(config));
        let mut interval = None;
        for worker in workers() {
            let running = worker
                .take()
                .configure(instance.number, &table, name, bytes);
            let Some(running) = running else {
                instance.end();
                return None;
            };
            interval = running.interval();
        }
        table.freeze();
        for worker in workers() {
            let waiting = worker.take().take_waiting(name);
            waiting.iter().for_each(|changes| table.adopt(changes));
        }
        let ticks = interval.map(|interval| ticks::start(config.scheduler(), interval));
        *instance
            .ticks
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = ticks;
        Some(instance)
    }

    /// The state of a worker. A thread that is none has the state of the first one.
    pub fn worker(&self, index: usize) -> Option<&'static Handed<ModuleWorker>> {
        logger::begin(&self.name);
        workers().get(index).or_else(|| workers().first())
    }

    /// Periodic work, on the main thread.
    pub fn on_tick(&self) {
        logger::begin(&self.name);
        for worker in workers() {
            let waiting = {
                let ModuleWorker { vm, plugins, .. } = &mut *worker.take();
                plugins.get_mut(&self.number).and_then(|one| {
                    vm.host.run(&one.config, || one.plugin.on_tick());
                    one.config.take_waiting()
                })
            };
            // Meanwhile the worker goes on.
            if let Some((table, changes)) = waiting {
                table.change_all(&changes);
            }
        }
    }

    /// Envoy drops the configuration: merges what was counted.
    pub fn end(&self) {
        logger::begin(&self.name);
        let ticks = self
            .ticks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        ticks.into_iter().for_each(ticks::end);
        for worker in workers() {
            let worker = &mut *worker.take();
            if let Some(mut one) = worker.plugins.remove(&self.number) {
                worker.vm.host.run(&one.config, || one.plugin.end());
                if let Some((table, changes)) = one.config.take_waiting() {
                    table.change_all(&changes);
                }
            }
        }
    }
}
