//! What the filter costs in a real Envoy: `make bench`.
//!
//! One Envoy with one worker has a listener for each variant ([`variants`], [`stage`]): nothing,
//! modules written by hand, filters made with the SDK, Envoy's own means, and divvy in many
//! configurations. Each is first seen to do its job ([`check`]). Then all of them get requests
//! ([`traffic`]) in many rounds, in an order that is drawn anew ([`rounds`]), and what counts is
//! the time that the worker's thread runs ([`cpu`]). Of each round a variant's cost is what it took
//! more than nothing in the same round, in units of the empty SDK filter's cost in the same round;
//! what is told is the median over the rounds, with an interval ([`statistics`]).

pub mod check;
pub mod configurations;
pub mod cpu;
pub mod document;
pub mod latency;
pub mod plot;
pub mod report;
pub mod requests;
pub mod rounds;
mod slim;
pub mod stage;
pub mod starts;
pub mod statistics;
pub mod traffic;
pub mod upstream;
pub mod variants;
