//! The numbers of proxy-wasm ABI 0.2.1.

/// What a host call answers.
///
/// A plain number rather than an enum: a host may answer anything, and tests
/// want to do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Done.
    pub const OK: Status = Status(0);
    /// No such header, property, key or metric.
    pub const NOT_FOUND: Status = Status(1);
    /// An argument out of range, or a map that is not there now.
    pub const BAD_ARGUMENT: Status = Status(2);
    /// A pointer outside the VM's memory, or no memory for the answer.
    pub const INVALID_MEMORY_ACCESS: Status = Status(6);
    /// Another VM has written the value since it was read.
    pub const CAS_MISMATCH: Status = Status(8);
    /// The host has no such function.
    pub const UNIMPLEMENTED: Status = Status(12);

    /// Every status that is not [`Status::OK`], by the ABI's numbers.
    pub fn failures() -> impl Iterator<Item = Status> {
        (1..=12).map(Status)
    }
}

/// What a callback tells the host to do with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// Hold the stream until the filter resumes it.
    Pause,
}

impl Action {
    pub(crate) fn from_raw(raw: u32) -> Self {
        // Envoy too takes every value that is not Continue for a stop.
        if raw == 0 {
            Action::Continue
        } else {
            Action::Pause
        }
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Finest.
    Trace,
    /// For developers.
    Debug,
    /// Worth knowing. Standard output of the module arrives with this level.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed. Standard error (panics) arrives with this level.
    Error,
    /// Nothing works.
    Critical,
}

impl LogLevel {
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => LogLevel::Trace,
            1 => LogLevel::Debug,
            2 => LogLevel::Info,
            3 => LogLevel::Warn,
            4 => LogLevel::Error,
            5 => LogLevel::Critical,
            _ => return None,
        })
    }
}

/// The header maps, by the ABI's numbers.
pub(crate) mod map {
    pub const REQUEST_HEADERS: u32 = 0;
    pub const REQUEST_TRAILERS: u32 = 1;
    pub const RESPONSE_HEADERS: u32 = 2;
    pub const RESPONSE_TRAILERS: u32 = 3;
    /// The last map the ABI knows (trailers of a callout's response).
    pub const MAX: u32 = 7;
}

/// The buffers, by the ABI's numbers.
pub(crate) mod buffer {
    pub const REQUEST_BODY: u32 = 0;
    pub const RESPONSE_BODY: u32 = 1;
    pub const VM_CONFIGURATION: u32 = 6;
    pub const PLUGIN_CONFIGURATION: u32 = 7;
    /// The last buffer the ABI knows.
    pub const MAX: u32 = 8;
}
