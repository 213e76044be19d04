//! A host in memory for tests of the filter: one process with shared data, a clock that the test
//! sets, metrics by name and single exchanges. [`MemoryHost::clone`] is another VM of the
//! same process.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use divvy::filter::host::{Exchange, HeaderLines, Host, Message, MetricId, MetricKind, Refused};
use divvy::guardrail::shared_data::{Generation, Swap};
use divvy::request::{Claim, Direction, Malformed, Request};
use divvy::response::BodyProgress;

/// One VM's view of a process.
#[derive(Clone, Debug, Default)]
pub struct MemoryHost(Rc<SharedMemory>);

/// What all VMs of the process share.
#[derive(Debug, Default)]
pub struct SharedMemory {
    pub now: Cell<Duration>,
    pub interval: Cell<Option<Duration>>,
    /// An environment variable that is set, as `NAME=value`.
    pub environment: Cell<&'static str>,
    /// Id of the node.
    pub node: Cell<&'static str>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, Generation)>>,
    /// Names of metrics by number.
    names: RefCell<Vec<String>>,
    /// Counters and gauges by name; a histogram holds its number of values.
    pub metrics: RefCell<BTreeMap<String, u64>>,
    pub refuses_shared_data: Cell<bool>,
    pub refuses_metrics: Cell<bool>,
    /// Progress of the bodies of open streams.
    pub bodies: RefCell<BTreeMap<u32, BodyProgress>>,
    /// Name of the values that outlast a redirect.
    pub kept_through_redirects: RefCell<String>,
}

impl Deref for MemoryHost {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        &self.0
    }
}

impl MemoryHost {
    /// Sum of the metrics whose names contain all of `parts`. Panics if none is defined.
    pub fn metric(&self, parts: &[&str]) -> u64 {
        let matches = |name: &str| parts.iter().all(|part| name.contains(part));
        let is_defined = self.names.borrow().iter().any(|name| matches(name));
        assert!(is_defined, "no metric with {parts:?}");
        let metrics = self.metrics.borrow();
        let found = metrics.iter().filter(|(name, _)| matches(name));
        found.map(|(_, value)| value).sum()
    }

    /// Number of metrics that were defined.
    pub fn defined(&self) -> usize {
        self.names.borrow().len()
    }

    fn name(&self, metric: MetricId) -> String {
        self.names.borrow()[metric as usize].clone()
    }
}

impl Host for MemoryHost {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let (set, value) = self.environment.get().split_once('=')?;
        (set == name).then(|| value.into())
    }

    fn node_id(&self) -> Option<Vec<u8>> {
        Some(self.node.get().into())
    }

    fn tick_every(&self, interval: Duration) {
        self.interval.set(Some(interval));
    }

    fn now(&self) -> Option<Duration> {
        Some(self.now.get())
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        u64::try_from(self.now.get().as_nanos()).ok()
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        Some([7; 16])
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, Generation)> {
        if self.refuses_shared_data.get() {
            return None;
        }
        self.shared.borrow().get(key).cloned()
    }

    fn swap_shared(&self, key: &str, value: &[u8], read: Option<Generation>) -> Swap {
        if self.refuses_shared_data.get() {
            return Swap::Refused;
        }
        let mut shared = self.shared.borrow_mut();
        let present = shared.get(key).map(|(_, generation)| *generation);
        if present.is_some() && read != present {
            return Swap::Conflict;
        }
        shared.insert(key.into(), (value.into(), present.unwrap_or(0) + 1));
        Swap::Done
    }

    fn set_shared(&self, key: &str, value: &[u8]) {
        let read = self.shared(key).map(|(_, generation)| generation);
        let _ = self.swap_shared(key, value, read);
    }

    fn keep_through_redirects(&self, name: &str) {
        self.kept_through_redirects.replace(name.into());
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<MetricId, Refused> {
        if self.refuses_metrics.get() {
            return Err(Refused);
        }
        let mut names = self.names.borrow_mut();
        names.push(name.into());
        Ok(names.len() as MetricId - 1)
    }

    fn increment(&self, metric: MetricId) {
        let mut metrics = self.metrics.borrow_mut();
        *metrics.entry(self.name(metric)).or_default() += 1;
    }

    fn record(&self, metric: MetricId, value: u64) {
        let name = self.name(metric);
        let mut metrics = self.metrics.borrow_mut();
        if name.ends_with("_ms") {
            *metrics.entry(name).or_default() += 1;
        } else {
            metrics.insert(name, value);
        }
    }

    fn body_progress_of(&self, stream: u32) -> Option<BodyProgress> {
        self.bodies.borrow().get(&stream).copied()
    }
}

/// A request and its response, which a test fills in.
#[derive(Debug, Default)]
pub struct MemoryExchange {
    pub request: RefCell<Lines>,
    pub response: RefCell<Lines>,
    /// Whether the host hands out no headers.
    pub unreadable: Cell<bool>,
    /// Whether the host refuses to set this header.
    pub refuses_to_set: Cell<Option<&'static str>>,
    /// Values that the request keeps, by name.
    pub kept: RefCell<BTreeMap<String, Vec<u8>>>,
    pub peer: Option<&'static str>,
    pub direction: Option<Direction>,
    /// Names of headers that divvy filters wrote, of request and response.
    pub chain: RefCell<[Option<Vec<u8>>; 2]>,
    pub flags: Cell<u64>,
    /// Whether Envoy or a filter behind divvy made the response.
    pub local: Cell<bool>,
    pub trailing_grpc_status: Cell<Option<&'static str>>,
    pub stream: u32,
    pub body: Cell<Option<BodyProgress>>,
}

/// Header lines in their order.
#[derive(Clone, Debug, Default)]
pub struct Lines(pub Vec<(String, Vec<u8>)>);

impl MemoryExchange {
    /// A `GET /` with these headers.
    pub fn get(headers: &[(&str, &str)]) -> Self {
        let exchange = Self::default();
        for (name, value) in [(":method", "GET"), (":path", "/")].iter().chain(headers) {
            exchange
                .add(Message::Request, name, value.as_bytes())
                .unwrap();
        }
        exchange
    }

    /// Sets the headers of the response.
    pub fn respond(&self, status: &str, headers: &[(&str, &str)]) {
        self.response.borrow_mut().0.clear();
        for (name, value) in [(":status", status)].iter().chain(headers) {
            self.add(Message::Response, name, value.as_bytes()).unwrap();
        }
    }

    /// First line of a header, as text.
    pub fn header(&self, message: Message, name: &str) -> Option<String> {
        let lines = self.of(message).borrow();
        let line = lines.0.iter().find(|(header, _)| header == name)?;
        Some(String::from_utf8_lossy(&line.1).into_owned())
    }

    fn of(&self, message: Message) -> &RefCell<Lines> {
        match message {
            Message::Request => &self.request,
            Message::Response => &self.response,
        }
    }
}

impl HeaderLines for Lines {
    fn read_into<'a>(&'a self, request: &mut Request<'a>) -> Result<(), Malformed> {
        for (name, value) in &self.0 {
            request.read(name.as_bytes(), value);
        }
        Ok(())
    }

    fn for_each(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        for (name, value) in &self.0 {
            each(name.as_bytes(), value);
        }
        Ok(())
    }
}

impl Exchange for MemoryExchange {
    type Lines<'a> = Lines;

    fn lines(&self, message: Message) -> Option<Lines> {
        (!self.unreadable.get()).then(|| self.of(message).borrow().clone())
    }

    fn lacks(&self, message: Message, header: &str) -> bool {
        self.header(message, header).is_none()
    }

    fn first_line(&self, message: Message, header: &str) -> Option<Vec<u8>> {
        self.header(message, header).map(String::into_bytes)
    }

    fn set(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        if self.refuses_to_set.get() == Some(header) {
            return Err(Refused);
        }
        self.remove(message, header)?;
        self.add(message, header, value)
    }

    fn add(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused> {
        let mut lines = self.of(message).borrow_mut();
        lines.0.push((header.into(), value.into()));
        Ok(())
    }

    fn remove(&self, message: Message, header: &str) -> Result<(), Refused> {
        let mut lines = self.of(message).borrow_mut();
        lines.0.retain(|(name, _)| name != header);
        Ok(())
    }

    fn chain_headers(&self, message: Message) -> Option<Vec<u8>> {
        self.chain.borrow()[usize::from(message == Message::Response)].clone()
    }

    fn set_chain_headers(&self, message: Message, names: &[u8]) {
        self.chain.borrow_mut()[usize::from(message == Message::Response)] = Some(names.into());
    }

    fn keep(&self, name: &str, value: &[u8]) {
        self.kept.borrow_mut().insert(name.into(), value.into());
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.kept.borrow().get(name).cloned()
    }

    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        self.peer.map(Into::into)
    }

    fn listener_direction(&self) -> Option<Direction> {
        self.direction
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    fn jwt_claim(&self, _: &Claim) -> Option<Vec<u8>> {
        None
    }

    fn response_code(&self) -> Option<u64> {
        self.header(Message::Response, ":status")?.parse().ok()
    }

    fn is_from_upstream(&self) -> Option<bool> {
        Some(!self.local.get())
    }

    fn trailing_grpc_status(&self) -> Option<impl Deref<Target = [u8]>> {
        self.trailing_grpc_status.get().map(Vec::from)
    }

    fn response_flags(&self) -> Option<u64> {
        Some(self.flags.get())
    }

    fn stream(&self) -> u32 {
        self.stream
    }

    fn body_progress(&self) -> BodyProgress {
        self.body.get().unwrap_or(BodyProgress {
            finished: true,
            sent: 0,
        })
    }
}
