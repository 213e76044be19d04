//! What the filter needs of a proxy, as traits.
//!
//! [`Host`] is for the process: clock, randomness, shared data, metrics. [`Exchange`] is for
//! one request and its response. No type of an ABI is visible here, and a refused call never
//! panics: most answers are optional, and a call that only reports something is silent.

use std::ops::Deref;
use std::time::Duration;

use crate::guardrail::shared_data::{Generation, SharedValue, Swap};
use crate::request::{Claim, Direction, Malformed, Request};
use crate::response::BodyProgress;

/// The host did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Grows by one at a time.
    Counter,
    /// Holds the value that was recorded last.
    Gauge,
    /// Distribution of the recorded values.
    Histogram,
}

/// Number by which a host knows a metric.
pub type MetricId = u32;

/// The process that runs the filter.
pub trait Host {
    /// The value of a variable of the VM's environment.
    fn variable(&self, name: &str) -> Option<Vec<u8>>;

    /// Id of the proxy's node.
    fn node_id(&self) -> Option<Vec<u8>>;

    /// Requests a tick at this interval.
    fn tick_every(&self, interval: Duration);

    /// Time since the Unix epoch.
    fn now(&self) -> Option<Duration>;

    /// Nanoseconds of a clock that is never set back.
    fn monotonic_nanos(&self) -> Option<u64>;

    /// 128 random bits.
    fn random_bits(&self) -> Option<[u8; 16]>;

    /// Value that all VMs of the process share. `None` if it is absent or cannot be read.
    fn shared(&self, key: &str) -> Option<(Vec<u8>, Generation)>;

    /// Writes a shared value if its generation still is `read`; `None`: if it is absent.
    fn swap_shared(&self, key: &str, value: &[u8], read: Option<Generation>) -> Swap;

    /// Writes a shared value whatever it is now.
    fn set_shared(&self, key: &str, value: &[u8]);

    /// From now on, what requests keep under this name ([`Exchange::keep`]) outlasts a redirect
    /// that the proxy follows by itself. A host that refuses forgets it then.
    fn keep_through_redirects(&self, name: &str);

    /// Defines a metric. [`super::Vm`] asks once per name.
    ///
    /// # Errors
    /// When the host refuses.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused>;

    /// Adds one to a counter.
    fn increment(&self, metric: MetricId);

    /// Sets a gauge, or adds a value to a histogram.
    fn record(&self, metric: MetricId, value: u64);

    /// How far the body of an open stream has come. `None` if the host refuses.
    fn body_progress_of(&self, stream: u32) -> Option<BodyProgress>;
}

/// One of the two messages of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The request; its headers are readable until the request has been forwarded.
    Request,
    /// The response; its headers are readable while they arrive.
    Response,
}

/// Header lines of a message, borrowed from the host where it can lend them.
pub trait HeaderLines {
    /// Adds to a request view the lines that its configuration asks for.
    ///
    /// # Errors
    /// When the host's representation of the lines is not valid.
    fn read_into<'a>(&'a self, request: &mut Request<'a>) -> Result<(), Malformed>;

    /// Calls `each` with name and value of all lines.
    ///
    /// # Errors
    /// When the host's representation of the lines is not valid.
    fn for_each(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Malformed>;
}

/// A request and its response.
pub trait Exchange {
    /// Header lines of one message.
    type Lines<'a>: HeaderLines
    where
        Self: 'a;

    /// All header lines of a message. `None` if there are none or the host refuses.
    fn lines(&self, message: Message) -> Option<Self::Lines<'_>>;

    /// Whether a header certainly has no line.
    fn lacks(&self, message: Message, header: &str) -> bool;

    /// The first line of a header.
    fn first_line(&self, message: Message, header: &str) -> Option<Vec<u8>>;

    /// Replaces all lines of a header by one.
    ///
    /// # Errors
    /// When the host refuses.
    fn set(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused>;

    /// Adds a line to a header.
    ///
    /// # Errors
    /// When the host refuses.
    fn add(&self, message: Message, header: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes all lines of a header, if there are any.
    ///
    /// # Errors
    /// When the host refuses.
    fn remove(&self, message: Message, header: &str) -> Result<(), Refused>;

    /// Names of the headers of a message that divvy filters of the chain wrote, a line each.
    fn chain_headers(&self, message: Message) -> Option<Vec<u8>>;

    /// Replaces these names. They last as long as this run of the filter chain.
    fn set_chain_headers(&self, message: Message, names: &[u8]);

    /// Keeps a value under a name until the end of the request. A refusal is ignored.
    fn keep(&self, name: &str, value: &[u8]);

    /// The value that the request keeps under a name.
    fn kept(&self, name: &str) -> Option<Vec<u8>>;

    /// URI SAN of the client certificate that the connection verified.
    fn peer_uri_san(&self) -> Option<Vec<u8>>;

    /// Traffic direction of the listener.
    fn listener_direction(&self) -> Option<Direction>;

    /// Remote address of the request: `ip:port`, as text.
    fn source_address(&self) -> Option<Vec<u8>>;

    /// Claim of a verified token, in the encoding of [`crate::request::Claim`].
    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>>;

    /// Status code of the response.
    fn response_code(&self) -> Option<u64>;

    /// Whether the upstream sent the response: not Envoy, and not a filter behind this one.
    fn is_from_upstream(&self) -> Option<bool>;

    /// The `grpc-status` of the response trailers, as text; readable while they arrive.
    fn trailing_grpc_status(&self) -> Option<impl Deref<Target = [u8]>>;

    /// Envoy's response flags.
    fn response_flags(&self) -> Option<u64>;

    /// Number of the stream, by which [`Host::body_progress_of`] finds it.
    fn stream(&self) -> u32;

    /// How far the body of the response has come.
    fn body_progress(&self) -> BodyProgress;
}

/// One key of a host's shared data.
#[derive(Debug)]
pub struct SharedKey<'a, H> {
    host: &'a H,
    key: &'a str,
}

impl<'a, H: Host> SharedKey<'a, H> {
    /// The value under this key.
    pub const fn new(host: &'a H, key: &'a str) -> Self {
        Self { host, key }
    }
}

impl<H: Host> SharedValue for SharedKey<'_, H> {
    fn read(&self) -> Option<(Vec<u8>, Generation)> {
        self.host.shared(self.key)
    }

    fn swap(&mut self, value: &[u8], read: Option<Generation>) -> Swap {
        self.host.swap_shared(self.key, value, read)
    }
}
