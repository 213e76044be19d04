//! The VM of one worker: an instance of the filter with its roots and streams.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use wasmtime::{Instance, Memory, Store, TypedFunc, Val, WasmParams, WasmResults};

use crate::abi::LogLevel;
use crate::callbacks::Callbacks;
use crate::calls::Counts;
use crate::module::Module;
use crate::process::Process;
use crate::state::{Hook, LogLine, Root, State};
use crate::stats::MetricIds;

/// A root context: one configuration of one plugin in one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub(crate) u32);

/// A stream context: one request in one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u32);

impl RootId {
    /// The context id.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl StreamId {
    /// The context id.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The result of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The root that got the configuration. Streams can be opened on it if it was accepted.
    pub root: RootId,
    /// The result of `proxy_on_configure`.
    pub accepted: bool,
}

/// Options of a VM.
#[derive(Clone, Debug)]
pub struct VmOptions {
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// The VM configuration (not that of a plugin).
    pub configuration: Vec<u8>,
    /// The result of `proxy_get_log_level`.
    pub log_level: LogLevel,
    /// Seed of the random numbers that the VM gets.
    pub seed: u64,
}

impl Default for VmOptions {
    fn default() -> Self {
        VmOptions {
            environment: vec![(
                "DIVVY_KEYS".to_owned(),
                divvy_cases::random::TEST_KEYS.to_owned(),
            )],
            configuration: Vec::new(),
            log_level: LogLevel::Info,
            seed: 0x0123_4567_89AB_CDEF,
        }
    }
}

impl VmOptions {
    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A trap. Envoy makes no further callback in a VM that has trapped.
pub struct Trap {
    /// The callback in which it happened.
    pub callback: &'static str,
    /// The error of wasmtime.
    pub cause: String,
    /// The last log lines of the VM, with the message of a panic.
    pub last_words: Vec<LogLine>,
}

impl fmt::Display for Trap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "trap in {}: {}", self.callback, self.cause)?;
        for line in &self.last_words {
            write!(out, "\n  {line}")?;
        }
        Ok(())
    }
}

// Failed tests print this form, so it is the readable one.
impl fmt::Debug for Trap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for Trap {}

/// An instance of the filter with its own memory.
pub struct Vm {
    pub(crate) store: Store<State>,
    pub(crate) callbacks: Callbacks,
    pub(crate) instance: Instance,
    memory: Memory,
    next_context: u32,
    trapped: bool,
}

impl Vm {
    /// Starts a VM with default options.
    pub fn start(module: &Module, process: &Process) -> Result<Self, Trap> {
        Vm::start_with(module, process, VmOptions::default())
    }

    /// Starts a VM with these options.
    pub fn start_with(
        module: &Module,
        process: &Process,
        options: VmOptions,
    ) -> Result<Self, Trap> {
        let state = State {
            process: process.clone(),
            memory: None,
            allocate: None,
            counts: Counts::default(),
            hook: None,
            metrics: MetricIds::default(),
            environment: options.environment,
            log: Vec::new(),
            log_level: options.log_level,
            roots: BTreeMap::new(),
            streams: HashMap::new(),
            current: 0,
            effective: 0,
            vm_configuration: options.configuration,
            plugin_configuration: None,
            starting: true,
            // The generator does not work with seed 0.
            random: options.seed.max(1),
            scratch: Vec::new(),
        };
        let pre = module.pre();
        let mut store = Store::new(pre.module().engine(), state);
        let refuse = |cause: String| Trap {
            callback: "(instantiation)",
            cause,
            last_words: Vec::new(),
        };
        if module.metered() {
            store
                .set_fuel(u64::MAX)
                .map_err(|error| refuse(error.to_string()))?;
        }
        let instance = pre
            .instantiate(&mut store)
            .map_err(|error| refuse(format!("{error:#}")))?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| refuse("the module exports no memory".to_owned()))?;
        let callbacks = Callbacks::find(&instance, &mut store).map_err(refuse)?;
        let state = store.data_mut();
        state.memory = Some(memory);
        state.allocate = callbacks.allocate.clone();
        let mut vm = Vm {
            store,
            callbacks,
            instance,
            memory,
            next_context: 1,
            trapped: false,
        };
        let initialize = vm.callbacks.initialize.clone();
        vm.call("_initialize", initialize, 0, ())?;
        vm.store.data_mut().starting = false;
        Ok(vm)
    }

    /// Creates a root context with this configuration, as Envoy does for each new configuration.
    /// Older roots keep theirs until they are retired.
    pub fn configure(
        &mut self,
        root_id: &str,
        plugin_name: &str,
        configuration: impl AsRef<[u8]>,
    ) -> Result<Configured, Trap> {
        let id = self.next_context();
        let root = Root {
            root_id: root_id.to_owned(),
            plugin_name: plugin_name.to_owned(),
            tick_period: None,
        };
        self.store.data_mut().roots.insert(id, root);
        let create = self.callbacks.on_context_create.clone();
        self.call("proxy_on_context_create", create, id, (id, 0))?;
        let start = self.callbacks.on_vm_start.clone();
        let size = self.state().vm_configuration.len() as u32;
        // Envoy calls it for each root.
        if self.call("proxy_on_vm_start", start, id, (id, size))? == Some(0) {
            let root = RootId(id);
            return Ok(Configured {
                root,
                accepted: false,
            });
        }
        self.reconfigure(RootId(id), configuration)
    }

    /// Configures an existing root again.
    pub fn reconfigure(
        &mut self,
        root: RootId,
        configuration: impl AsRef<[u8]>,
    ) -> Result<Configured, Trap> {
        let configuration = configuration.as_ref();
        self.store.data_mut().plugin_configuration = Some(configuration.to_vec());
        let configure = self.callbacks.on_configure.clone();
        let size = configuration.len() as u32;
        let answer = self.call("proxy_on_configure", configure, root.0, (root.0, size));
        self.store.data_mut().plugin_configuration = None;
        let accepted = answer? != Some(0);
        Ok(Configured { root, accepted })
    }

    /// Calls the tick callback of a root, whether or not it has a [`Vm::tick_period`].
    pub fn tick(&mut self, root: RootId) -> Result<(), Trap> {
        let tick = self.callbacks.on_tick.clone();
        self.call("proxy_on_tick", tick, root.0, root.0)?;
        Ok(())
    }

    /// Tick period of a root in milliseconds, if it has set one.
    pub fn tick_period(&self, root: RootId) -> Option<u32> {
        self.state().roots.get(&root.0)?.tick_period
    }

    /// Ends a root that has been replaced and has no streams. `false`: the filter delays its end.
    pub fn retire(&mut self, root: RootId) -> Result<bool, Trap> {
        let done = self.callbacks.on_done.clone();
        if self.call("proxy_on_done", done, root.0, root.0)? == Some(0) {
            return Ok(false);
        }
        let delete = self.callbacks.on_delete.clone();
        self.call("proxy_on_delete", delete, root.0, root.0)?;
        self.store.data_mut().roots.remove(&root.0);
        Ok(true)
    }

    /// Makes a callback with any arguments, also for contexts that do not exist. Returns its
    /// result, or 0 if it has none.
    ///
    /// # Panics
    /// If the module does not export it, or with other arguments.
    pub fn call_by_name(&mut self, callback: &'static str, arguments: &[u32]) -> Result<u32, Trap> {
        let function = self.instance.get_func(&mut self.store, callback);
        let function = function.unwrap_or_else(|| panic!("{callback} is not exported"));
        let arguments: Vec<_> = arguments.iter().map(|&n| Val::I32(n as i32)).collect();
        let mut answers = vec![Val::I32(0); function.ty(&self.store).results().len()];
        self.store.data_mut().current = arguments.first().map_or(0, |id| id.unwrap_i32() as u32);
        let called = function.call(&mut self.store, &arguments, &mut answers);
        self.store.data_mut().current = 0;
        called.map_err(|error| {
            self.trapped = true;
            self.trap(callback, format!("{error:#}"))
        })?;
        Ok(answers
            .first()
            .map_or(0, |answer| answer.unwrap_i32() as u32))
    }

    /// Host calls since the start or the last [`Vm::take_counts`].
    pub fn counts(&self) -> &Counts {
        &self.state().counts
    }

    /// Host calls as [`Vm::counts`]; resets them.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.store.data_mut().counts)
    }

    /// Calls `hook` before each host call. If it returns a status, that is the result of the call,
    /// which then has no effect. Replaces an earlier hook.
    pub fn intercept(
        &mut self,
        hook: impl FnMut(crate::Call) -> Option<crate::Status> + Send + 'static,
    ) {
        let hook: Hook = Box::new(hook);
        self.store.data_mut().hook = Some(hook);
    }

    /// Removes the hook.
    pub fn stop_intercepting(&mut self) {
        self.store.data_mut().hook = None;
    }

    /// Log lines so far.
    pub fn log(&self) -> &[LogLine] {
        &self.state().log
    }

    /// Log lines so far; removes them.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.store.data_mut().log)
    }

    /// Restarts the random numbers of the VM with this seed.
    pub fn seed_random(&mut self, seed: u64) {
        self.store.data_mut().random = seed.max(1);
    }

    /// Size of the VM's memory in pages of 64 KiB. It never shrinks.
    pub fn memory_pages(&self) -> u64 {
        self.memory.size(&self.store)
    }

    /// Instructions executed since the start; 0 unless the module is metered.
    pub fn fuel_used(&self) -> u64 {
        self.store.get_fuel().map_or(0, |left| u64::MAX - left)
    }

    /// Number of metric ids that this VM got. Envoy keeps them for ever, so it must not grow with
    /// the number of configurations.
    pub fn metric_ids(&self) -> usize {
        self.state().metrics.len()
    }

    /// Whether a callback has trapped; every later one fails at once.
    pub fn has_trapped(&self) -> bool {
        self.trapped
    }

    /// The process of this VM.
    pub fn process(&self) -> &Process {
        &self.state().process
    }

    pub(crate) fn state(&self) -> &State {
        self.store.data()
    }

    pub(crate) fn next_context(&mut self) -> u32 {
        let id = self.next_context;
        self.next_context += 1;
        id
    }

    /// Makes a callback. `None` if the module does not export it, as Envoy then skips it.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        callback: Option<Arc<TypedFunc<P, R>>>,
        context: u32,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        let Some(callback) = callback else {
            return Ok(None);
        };
        if self.trapped {
            return Err(self.trap(name, "the VM has trapped before".to_owned()));
        }
        let state = self.store.data_mut();
        state.current = context;
        state.effective = 0;
        let answer = callback.call(&mut self.store, arguments);
        self.store.data_mut().current = 0;
        answer.map(Some).map_err(|error| {
            self.trapped = true;
            self.trap(name, format!("{error:#}"))
        })
    }

    fn trap(&self, callback: &'static str, cause: String) -> Trap {
        let log = &self.state().log;
        Trap {
            callback,
            cause,
            last_words: log[log.len().saturating_sub(5)..].to_vec(),
        }
    }
}
