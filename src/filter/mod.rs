//! The filter: takes configurations and handles requests, with a host that is a trait.
//!
//! Depends on no proxy and no ABI: [`host`] says what a host has to offer. `wasm` implements
//! it for proxy-wasm, `tests/core/filter` has one in memory.
//!
//! - [`plugin`] takes configurations, [`open_request`] handles requests, [`assign`] decides them;
//! - [`response_start`] is what a response has brought so far;
//! - [`configuration`] is what the requests of one configuration share;
//! - [`chain`] keeps what other divvy filters of the chain write;
//! - [`active`] is its policy with the series that it counts in;
//! - [`watch`] counts outcomes, merges them with those of other VMs and judges them, [`waiting`] has
//!   the open streams whose version may hang, [`judging`] what one request means to guardrails;
//! - [`reach`] knows which versions are unreachable;
//! - [`metrics`] defines series, [`gauges`] decides whose values they show;
//! - [`marks`] remembers for the process which configurations were accepted;
//! - [`facts`] answers what a decision asks beyond the request's headers;
//! - [`vm`] is what all configurations of one VM share.

mod active;
mod assign;
mod chain;
pub mod configuration;
mod facts;
mod gauges;
pub mod host;
mod judging;
mod marks;
mod metrics;
pub mod open_request;
pub mod plugin;
mod reach;
mod response_start;
pub mod vm;
mod waiting;
mod watch;

pub use host::{Exchange, Host};
pub use open_request::OpenRequest;
pub use plugin::Plugin;
pub use vm::Vm;
