//! The state of the host for one VM.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use wasmtime::{Memory, TypedFunc};

use crate::abi::{LogLevel, Status};
use crate::calls::{Call, Counts};
use crate::process::Process;
use crate::stats::MetricIds;
use crate::stream::Stream;

/// Called before each host call: a returned status replaces its result and effect.
pub type Hook = Box<dyn FnMut(Call) -> Option<Status> + Send>;

/// One line that the filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Severity.
    pub level: LogLevel,
    /// Message. Bytes that are not UTF-8 are replaced.
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
    /// The context whose callback runs; 0: none.
    pub current: u32,
    /// The context that host calls apply to instead; 0: the current one.
    pub effective: u32,
    pub vm_configuration: Vec<u8>,
    /// Set only during `proxy_on_configure`.
    pub plugin_configuration: Option<Vec<u8>>,
    /// Whether the VM is starting: Envoy then traps at nearly every call.
    pub starting: bool,
    /// State of the generator behind `random_get`.
    pub random: u64,
    /// Reused for every answer that consists of bytes.
    pub scratch: Vec<u8>,
}

impl State {
    /// The context that a host call applies to.
    pub fn context(&self) -> u32 {
        // A deleted effective context is ignored.
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

    /// The root of the context that a host call applies to.
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

    /// A reproducible random number (xorshift64*).
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
