//! The proxy-wasm side: wasm32 only, and the only part that knows of a host.
//!
//! - [`abi`] is what the proxy calls, [`contexts`] what it calls it for;
//! - [`host`] makes every call to the proxy and decides every status it can answer, and [`lent`]
//!   is the memory in which the proxy answers;
//! - [`metrics`] gives series their numbers;
//! - [`marks`] remembers for the process which configurations were accepted;
//! - [`active`] is a configuration in force, with all that was worked out for it;
//! - [`watch`] counts what came of requests, and merges and judges it with the other VMs;
//! - [`proxy`] is what the decisions can ask;
//! - [`state`] is what the root and the streams of one configuration share;
//! - [`root`] takes configurations, [`stream`] handles requests.
//!
//! The ABI is spoken without an SDK. The one for Rust exports every callback there is, which
//! Envoy then calls; it would be a tenth of the module and double what an idle filter takes;
//! and it ends the VM on a context, a status or a byte that it does not expect.

mod abi;
mod active;
mod alone;
mod contexts;
mod host;
mod lent;
mod marks;
mod metrics;
mod proxy;
mod root;
mod state;
mod stream;
mod streams;
mod watch;
