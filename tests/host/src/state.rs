//! What the host knows of one VM while the VM runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use wasmtime::{Memory, TypedFunc};

use crate::abi::{LogLevel, Status};
use crate::calls::{Call, Counts};
use crate::handing::Handing;
use crate::process::Process;
use crate::stats::MetricIds;
use crate::stream::Stream;

/// Decides before each host call whether it is answered with a status of the
/// test's choice and without effect.
pub type Hook = Box<dyn FnMut(Call) -> Option<Status> + Send>;

/// One line that the filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// What was said. Bytes that are not UTF-8 are replaced.
    pub message: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {}", self.level, self.message)
    }
}

/// A root context: one configuration of one plugin.
pub(crate) struct Root {
    pub root_id: String,
    pub plugin_name: String,
    pub tick_period: Option<u32>,
}

/// The data behind a wasmtime store.
pub(crate) struct State {
    pub process: Process,
    pub memory: Option<Memory>,
    pub allocate: Option<Arc<TypedFunc<u32, u32>>>,
    pub counts: Counts,
    pub hook: Option<Hook>,
    pub metrics: MetricIds,
    pub environment: Vec<(String, String)>,
    pub log: Vec<LogLine>,
    pub log_level: LogLevel,
    pub roots: BTreeMap<u32, Root>,
    pub streams: HashMap<u32, Stream>,
    /// The context whose callback runs, 0 when none does.
    pub current: u32,
    /// The context that host calls are for instead, 0 for the current one.
    pub effective: u32,
    pub vm_configuration: Vec<u8>,
    /// There only while `proxy_on_configure` runs.
    pub plugin_configuration: Option<Vec<u8>>,
    /// While the VM starts Envoy refuses nearly every call by a trap.
    pub starting: bool,
    /// Seed of the numbers that `random_get` gives.
    pub random: u64,
    /// What the proxy says of bytes that it hands over.
    pub handing: Handing,
    /// The most bytes that the module was asked to make room for.
    pub most: u32,
    /// Reused for every answer that consists of bytes.
    pub scratch: Vec<u8>,
}

impl State {
    /// The context that a host call is for.
    pub fn context(&self) -> u32 {
        // A context that has gone away in the meantime counts for none.
        if self.effective != 0 && self.is_context(self.effective) {
            self.effective
        } else {
            self.current
        }
    }

    pub fn is_context(&self, id: u32) -> bool {
        self.roots.contains_key(&id) || self.streams.contains_key(&id)
    }

    pub fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.context())
    }

    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context)
    }

    /// The root of the context that a host call is for.
    pub fn root_id(&self) -> u32 {
        self.stream().map_or(self.context(), |stream| stream.root)
    }

    pub fn root(&self) -> Option<&Root> {
        self.roots.get(&self.root_id())
    }

    pub fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.log.push(LogLine {
            level,
            message: String::from_utf8_lossy(message).into_owned(),
        });
    }

    /// The same bytes in every run (xorshift64*).
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
