//! What the filter costs in a real Envoy: `make bench`.
//!
//! One Envoy with one worker has a listener for each variant ([`variants`], [`stage`]): nothing,
//! modules written by hand, filters made with the SDK, Envoy's own means, and divvy in many
//! configurations. Each is first seen to do its job ([`check`]). Then all of them get requests
//! ([`traffic`]) in many rounds, in an order that is drawn anew ([`rounds`]), and what counts is
//! the time that the worker's thread runs ([`cpu`]). Of each round a variant's cost is what it took
//! more than nothing in the same round, in units of the empty SDK filter's cost in the same round;
//! what is told is the median over the rounds, with an interval ([`statistics`]).

// Built for WebAssembly, this crate is only what the modules written by hand share.
pub mod probes;

#[cfg(not(target_arch = "wasm32"))]
pub mod check;
#[cfg(not(target_arch = "wasm32"))]
pub mod configurations;
#[cfg(not(target_arch = "wasm32"))]
pub mod cpu;
#[cfg(not(target_arch = "wasm32"))]
pub mod document;
#[cfg(not(target_arch = "wasm32"))]
pub mod latency;
#[cfg(not(target_arch = "wasm32"))]
pub mod plot;
#[cfg(not(target_arch = "wasm32"))]
pub mod report;
#[cfg(not(target_arch = "wasm32"))]
pub mod requests;
#[cfg(not(target_arch = "wasm32"))]
pub mod rounds;
#[cfg(not(target_arch = "wasm32"))]
mod slim;
#[cfg(not(target_arch = "wasm32"))]
pub mod stage;
#[cfg(not(target_arch = "wasm32"))]
pub mod starts;
#[cfg(not(target_arch = "wasm32"))]
pub mod statistics;
#[cfg(not(target_arch = "wasm32"))]
pub mod traffic;
#[cfg(not(target_arch = "wasm32"))]
pub mod upstream;
#[cfg(not(target_arch = "wasm32"))]
pub mod variants;
