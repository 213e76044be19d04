//! A proxy-wasm host for tests: runs the built filter in wasmtime as Envoy does.
//!
//! It makes visible what a real Envoy hides: the number of host calls of a request, the memory
//! that a million requests leave behind in the VM, the behaviour when a host call fails. It
//! implements the host side of ABI 0.2.1.
//!
//! * [`Module`]: the compiled filter, shared by all VMs.
//! * [`Process`]: shared data, stats and clock of one Envoy process.
//! * [`Vm`]: the VM of one worker. Tests configure roots, open streams and make callbacks in any
//!   order, or in the usual order by [`Vm::exchange`].
//! * [`Stream`]: headers, trailers and properties of one request.
//! * [`Call`] and [`Counts`]: the host calls and how often each was made; [`Vm::intercept`]
//!   answers calls with any [`Status`].
//! * [`fixture`]: configurations and users that the tests share.
//! * [`random`]: configurations and requests at random.
//! * [`compare`]: two builds of the filter side by side; the program `compare` runs it.
//!
//! The host copies surprising behaviour of Envoy, with a comment: header maps exist only during
//! their callback, each definition of a metric returns a new id, a compare-and-swap of a missing
//! key always succeeds. Routing, retries and header validation are not modelled.

mod abi;
mod allocations;
mod callbacks;
mod calls;
pub mod compare;
mod counters;
mod exchange;
pub mod fixture;
mod headers;
mod imports;
mod module;
mod process;
mod state;
mod stats;
mod stream;
mod vm;

pub use abi::{Action, LogLevel, Status};
pub use calls::{Call, Counts};
pub use divvy_cases::random;
pub use exchange::Exchange;
pub use headers::Headers;
pub use module::{LoadError, Module};
pub use process::{Clock, Process};
pub use state::{Hook, LogLine};
pub use stats::Histogram;
pub use stream::{LocalResponse, Stream};
pub use vm::{Configured, RootId, StreamId, Trap, Vm, VmOptions};
