//! The host for proxy-wasm, on wasm32 alone: nothing here decides anything.
//!
//! - [`abi`] is what the proxy calls, [`contexts`] what it calls it for;
//! - [`host`] makes every call to the proxy and decides every status it can answer, and [`lent`]
//!   is the memory in which the proxy answers.

mod abi;
mod alone;
mod contexts;
mod host;
mod lent;
mod streams;
