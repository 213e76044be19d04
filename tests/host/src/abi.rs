//! Constants of proxy-wasm ABI 0.2.1.

/// The result of a host call: any number, because a host may return any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Success.
    pub const OK: Status = Status(0);
    /// No such header, property, key or metric.
    pub const NOT_FOUND: Status = Status(1);
    /// An argument out of range, or a map that is not available now.
    pub const BAD_ARGUMENT: Status = Status(2);
    /// A pointer outside the memory of the VM, or no memory for the result.
    pub const INVALID_MEMORY_ACCESS: Status = Status(6);
    /// Another VM has written the value since it was read.
    pub const CAS_MISMATCH: Status = Status(8);
    /// The host has no such function.
    pub const UNIMPLEMENTED: Status = Status(12);

    /// All statuses of the ABI except [`Status::OK`].
    pub fn failures() -> impl Iterator<Item = Status> {
        (1..=12).map(Status)
    }
}

/// The result of a stream callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Continue the stream.
    Continue,
    /// Pause the stream until the filter resumes it.
    Pause,
}

impl Action {
    pub(crate) fn from_raw(raw: u32) -> Self {
        // In Envoy as well, every value except Continue pauses.
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
    /// Details of the implementation.
    Trace,
    /// For developers.
    Debug,
    /// Events. Standard output of the module has this level.
    Info,
    /// Possible errors.
    Warn,
    /// Errors. Standard error of the module (panics) has this level.
    Error,
    /// Fatal errors.
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

/// Header maps of the ABI.
pub(crate) mod map {
    pub const REQUEST_HEADERS: u32 = 0;
    pub const REQUEST_TRAILERS: u32 = 1;
    pub const RESPONSE_HEADERS: u32 = 2;
    pub const RESPONSE_TRAILERS: u32 = 3;
    /// The last map of the ABI (trailers of the response to a callout).
    pub const MAX: u32 = 7;
}

/// Buffers of the ABI.
pub(crate) mod buffer {
    pub const REQUEST_BODY: u32 = 0;
    pub const RESPONSE_BODY: u32 = 1;
    pub const VM_CONFIGURATION: u32 = 6;
    pub const PLUGIN_CONFIGURATION: u32 = 7;
    /// The last buffer of the ABI.
    pub const MAX: u32 = 8;
}
