//! A proxy-wasm host of our own: the built filter, driven as Envoy drives it.
//!
//! Some promises cannot be checked from outside a real Envoy: how many host
//! calls one request makes, whether a million requests leave anything behind
//! in the VM, what happens when the host answers a call with an error that
//! Envoy gives once a year. This crate loads `divvy.wasm` into wasmtime, plays
//! Envoy's side of ABI 0.2.1 and lets a test see and bend all of it.
//!
//! In the order in which a test meets them:
//!
//! * [`Module`]: the filter, compiled once and shared by every VM.
//! * [`Process`]: what all VMs of one Envoy share: shared data, stats, clock.
//! * [`Vm`]: one worker's VM. Roots are configured, streams opened, callbacks
//!   made one by one in any order, or by [`Vm::exchange`] in the usual one.
//! * [`Stream`]: headers, trailers and properties of one request, as the
//!   filter left them.
//! * [`Call`] and [`Counts`]: every host call, counted; [`Vm::intercept`]
//!   answers chosen ones with any [`Status`].
//! * [`fixture`]: the configuration and the users that the tests share.
//! * [`random`]: configurations and requests at random.
//! * [`compare`]: two builds of the filter side by side; the program `compare` runs it.
//!
//! Where Envoy's behaviour is surprising the host has it too, with a comment:
//! header maps that are gone outside their callback, metric ids that are new
//! at each definition, a compare-and-swap that lets the first write through.
//! What Envoy does outside the VM (routing, retries, header validation) is not
//! modelled.

mod abi;
mod allocations;
mod callbacks;
mod calls;
pub mod compare;
mod counters;
mod exchange;
pub mod fixture;
mod handing;
mod headers;
mod imports;
mod module;
mod process;
pub mod random;
mod state;
mod stats;
mod stream;
mod vm;

pub use abi::{Action, LogLevel, Status};
pub use calls::{Call, Counts};
pub use exchange::Exchange;
pub use handing::Handing;
pub use headers::Headers;
pub use module::{LoadError, Module};
pub use process::{Clock, Process};
pub use state::{Hook, LogLine};
pub use stats::Histogram;
pub use stream::{LocalResponse, Stream};
pub use vm::{Configured, RootId, StreamId, Trap, Vm, VmOptions};
