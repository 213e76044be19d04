//! Simulation of a guardrail: traffic, failing or slow versions, workers with shared data,
//! configuration updates, restarts. Native only; must not depend on the filter.
//!
//! Counting, merging and judging are the shipped code; the simulation replaces what surrounds it.
//! All randomness comes from a seed, by a generator and distributions that are identical on all
//! machines, so every result can be reproduced.
//!
//! Time passes in ticks of one second. The requests of a tick are drawn together: arrivals are a
//! Poisson process, and so are the failures among them, independent of the successes; the counts
//! have the same distribution as with separate requests. Requests are drawn one by one only if
//! order or latency matters (`consecutiveErrors`, `latency`).

mod process;
mod store;
mod traffic;

pub use process::{Process, Setup, Vms};
pub use store::Store;
pub use traffic::{Arrivals, Behaviour, Pace, Traffic};

/// Time between two ticks in milliseconds.
pub const TICK: u64 = 1_000;
