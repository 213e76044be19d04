//! Envoy's process as the host of one worker.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::abi::{FilterHandle, Meter};
use crate::late::{LateSeries, WaitingChanges};
use crate::metrics::MetricTable;
use crate::shared;
use divvy::filter::host::{Host, MetricId, MetricKind, Refused};
use divvy::guardrail::shared_data::{Generation, Swap};
use divvy::response::BodyProgress;

/// Environment variable with the id of the proxy's node, which the ABI does not tell.
const NODE_ID: &str = "DIVVY_NODE_ID";
/// A node whose id is unknown counts as a gateway, where `trust.workload` does not hold.
const UNKNOWN_NODE: &[u8] = b"unknown~~~";

/// Envoy's process, for one worker and all configurations.
#[derive(Debug)]
pub struct EnvoyProcess {
    meter: Meter,
    /// The configuration of the running hook.
    running: RefCell<Option<Rc<RunningConfig>>>,
    bodies: RefCell<Bodies>,
}

/// One configuration in one worker.
#[derive(Debug)]
pub struct RunningConfig {
    table: Arc<MetricTable>,
    late: RefCell<LateSeries>,
    /// The interval of ticks that was asked for last.
    interval: Cell<Option<Duration>>,
}

impl RunningConfig {
    pub fn new(table: Arc<MetricTable>) -> Rc<Self> {
        Rc::new(Self {
            table,
            late: RefCell::default(),
            interval: Cell::new(None),
        })
    }

    /// The changes of metrics that wait for the tick, and the table that makes them.
    pub fn take_waiting(&self) -> Option<(Arc<MetricTable>, WaitingChanges)> {
        let waiting = self.late.try_borrow_mut().ok()?.take_waiting();
        Some((Arc::clone(&self.table), waiting))
    }

    /// The interval of ticks that was asked for last.
    pub const fn interval(&self) -> Option<Duration> {
        self.interval.get()
    }
}

/// How far the bodies of streams have come, by the number of the stream.
#[derive(Debug, Default)]
struct Bodies {
    all: Vec<BodyProgress>,
    unused: Vec<u32>,
}

/// Of a response without a body so far.
const NO_BODY: BodyProgress = BodyProgress {
    finished: false,
    sent: 0,
};

impl EnvoyProcess {
    pub fn new() -> Self {
        Self {
            meter: Meter::new(),
            running: RefCell::new(None),
            bodies: RefCell::default(),
        }
    }

    /// Runs something for a configuration, without a filter.
    pub fn run<T>(&self, config: &Rc<RunningConfig>, run: impl FnOnce() -> T) -> T {
        if let Ok(mut running) = self.running.try_borrow_mut() {
            *running = Some(Rc::clone(config));
        }
        run()
    }

    /// Runs a hook of a filter of a configuration.
    pub fn within<T>(
        &self,
        config: &Rc<RunningConfig>,
        filter: &FilterHandle,
        run: impl FnOnce() -> T,
    ) -> T {
        self.run(config, || {
            self.meter.within(filter, || {
                config.table.flush(&self.meter);
                run()
            })
        })
    }

    /// A number for a stream.
    pub fn add_stream(&self) -> u32 {
        let Ok(mut bodies) = self.bodies.try_borrow_mut() else {
            return u32::MAX;
        };
        let number = bodies.unused.pop();
        let number = number.or_else(|| u32::try_from(bodies.all.len()).ok());
        let number = number.unwrap_or(u32::MAX);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        match bodies.all.get_mut(index) {
            Some(body) => *body = NO_BODY,
            None => bodies.all.push(NO_BODY),
        }
        number
    }

    /// The stream is gone.
    pub fn remove_stream(&self, stream: u32) {
        if let Ok(mut bodies) = self.bodies.try_borrow_mut() {
            bodies.unused.push(stream);
        }
    }

    /// A piece of the body of a stream arrived.
    pub fn add_to_body(&self, stream: u32, size: u64, finished: bool) {
        if let Ok(mut bodies) = self.bodies.try_borrow_mut()
            && let Some(body) = usize::try_from(stream)
                .ok()
                .and_then(|stream| bodies.all.get_mut(stream))
        {
            body.sent = body.sent.saturating_add(size);
            body.finished |= finished;
        }
    }

    fn change(&self, metric: MetricId, value: u64) {
        let Ok(running) = self.running.try_borrow() else {
            return;
        };
        if let Some(running) = &*running
            && let Ok(mut late) = running.late.try_borrow_mut()
        {
            running.table.change(&self.meter, metric, value, &mut late);
        }
    }
}

impl Host for EnvoyProcess {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(OsString::into_encoded_bytes)
    }

    fn node_id(&self) -> Option<Vec<u8>> {
        self.variable(NODE_ID).or_else(|| Some(UNKNOWN_NODE.into()))
    }

    fn tick_every(&self, interval: Duration) {
        if let Ok(running) = self.running.try_borrow()
            && let Some(running) = &*running
        {
            running.interval.set(Some(interval));
        }
    }

    fn now(&self) -> Option<Duration> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok()
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let nanos = BEGIN.get_or_init(Instant::now).elapsed().as_nanos();
        u64::try_from(nanos).ok()
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).ok()?;
        Some(bits)
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, Generation)> {
        shared::get(key)
    }

    fn swap_shared(&self, key: &str, value: &[u8], read: Option<Generation>) -> Swap {
        shared::swap(key, value, read)
    }

    fn set_shared(&self, key: &str, value: &[u8]) {
        shared::set(key, value);
    }

    /// Always so: see [`crate::shared::keep`].
    fn keep_through_redirects(&self, _name: &str) {}

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let running = self.running.try_borrow().map_err(|_| Refused)?;
        let running = running.as_ref().ok_or(Refused)?;
        running.table.number(kind, name).ok_or(Refused)
    }

    fn increment(&self, metric: MetricId) {
        self.change(metric, 1);
    }

    fn record(&self, metric: MetricId, value: u64) {
        self.change(metric, value);
    }

    fn body_progress_of(&self, stream: u32) -> Option<BodyProgress> {
        let bodies = self.bodies.try_borrow().ok()?;
        bodies.all.get(usize::try_from(stream).ok()?).copied()
    }
}
