//! The guardrail without a proxy: traffic, versions that fail or are slow, workers that
//! share a store, pushes, restarts, fleets. Native only.
//!
//! The state machines are the filter's own; what is simulated is what surrounds them. All
//! randomness comes from a seed, by a generator and by distributions that are the same on
//! every machine, so a result can be repeated and a rare one looked into.
//!
//! Time passes in ticks of a second. The requests of a tick are drawn at once: arrivals
//! are a Poisson process, and the failing ones among them are one too, independent of the
//! rest, so the counts of both have the distribution that drawing request by request would
//! give. Only where order or latency matters (`consecutiveErrors`, `latency`) is each
//! request drawn.

mod process;
mod report;
mod store;
mod traffic;

pub use process::{Process, Setup, Vms};
pub use report::{Detection, detect, quiet_days, table};
pub use store::Store;
pub use traffic::{Behaviour, Pace, Traffic};

/// Between two ticks, in milliseconds.
pub const TICK: u64 = 1_000;
