//! The filter as a native dynamic module of Envoy 1.38 and later. Nothing here decides anything.
//!
//! - [`abi`] makes all calls to Envoy and receives all calls from it: the only folder with
//!   `unsafe`. [`values`] has the numbers of the ABI;
//! - [`instance`] is one configuration with its workers, [`stream`] one request in one of them;
//! - [`process`] is the host for the process, [`exchange`] the one for a request;
//! - [`changes`] collects what a hook changes in headers, until nothing borrows them any more;
//! - [`metrics`] knows metrics by name, [`late`] those that Envoy finds by their labels;
//! - [`shared`] is what all configurations of the process share;
//! - [`ticks`] wakes the configurations up;
//! - [`claims`] reads claims of tokens, [`flags`] how a request failed, where Envoy 1.38 does not say;
//! - [`logger`] passes log lines to Envoy.
//!
//! A panic is caught at the boundary: the request goes on, to stable.

mod abi;
mod changes;
mod claims;
mod exchange;
mod flags;
mod instance;
mod late;
mod logger;
mod metrics;
mod process;
mod shared;
mod stream;
mod ticks;
mod values;
