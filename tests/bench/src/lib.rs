//! Cost of the filter in a real Envoy: `make bench`.
//!
//! One Envoy with one worker has a listener for each variant ([`variants`], [`stage`]): no filter,
//! modules written by hand, filters with the SDK, Envoy's own filters, and divvy in many
//! configurations. The bench first checks that each variant works ([`check`]). Then all variants
//! get requests ([`traffic`]) in many rounds, each in a random order ([`rounds`]); the measure is
//! the CPU time of the worker's thread ([`cpu`]). A variant's cost in a round is the difference to
//! no filter, divided by the cost of the empty SDK filter in the same round. Results are medians
//! over the rounds with confidence intervals ([`statistics`]).

// For WebAssembly, this crate is only the code that modules written by hand share.
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
