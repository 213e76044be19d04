//! The proxy-wasm side: wasm32 only, and the only part that knows of a host.
//!
//! - [`host`] makes every call to the proxy and decides every status it can answer;
//! - [`metrics`] gives series their numbers;
//! - [`marks`] remembers for the process which configurations were accepted;
//! - [`active`] is a configuration in force, with all that was worked out for it;
//! - [`watch`] counts what came of requests, and merges and judges it with the other VMs;
//! - [`proxy`] is what the decisions can ask;
//! - [`state`] is what the root and the streams of one configuration share;
//! - [`root`] takes configurations, [`stream`] handles requests.
//!
//! The SDK is used for its callbacks alone. Its wrappers of host calls abort the VM on
//! a status or a byte they do not expect, so `clippy.toml` bans them.

mod active;
mod host;
mod marks;
mod metrics;
mod proxy;
mod root;
mod state;
mod stream;
mod watch;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    host::start_logging();
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::new()) });
}}
