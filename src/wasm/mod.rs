//! The filter as a proxy-wasm module, on wasm32 only. Nothing here decides anything.
//!
//! - [`contexts`] receives the callbacks through the SDK's traits;
//! - [`guards`] keeps callbacks away from the SDK that would make it panic;
//! - [`host`] makes all calls to the proxy, [`header_block`] reads the header maps that it returns;
//! - [`stream`] is one request and its response;
//! - [`logger`] passes log lines to the proxy;
//! - [`memory`] lends memory to the proxy for what calls return.

mod contexts;
mod guards;
mod header_block;
mod host;
mod kept;
mod logger;
mod memory;
mod stream;
