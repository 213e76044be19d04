//! The filter as a proxy-wasm module, on wasm32 only. Nothing here decides anything.
//!
//! - [`contexts`] receives the callbacks through the SDK's traits;
//! - [`guards`] keeps callbacks away from the SDK that would make it panic;
//! - [`host`] makes all calls to the proxy.

mod contexts;
mod guards;
mod host;
mod logger;
