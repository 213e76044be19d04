//! divvy splits traffic between versions of a service, inside Envoy and Istio.
//!
//! This crate is the filter: built for `wasm32-wasip1` it is a proxy-wasm module, built
//! natively it is the same decisions as a library, without any host. Data flows through
//! the modules in this order:
//!
//! 1. [`config`] compiles a configuration into a [`policy`], or lists all that is wrong;
//! 2. [`request`] is a borrowed view of a request's headers, as bytes; facts that
//!    are not in them come from an [`environment`];
//! 3. [`decide`] applies the policy to it: which rollouts look at it ([`scope`]), what a
//!    proxy upstream has decided ([`assignment`]), who the user is ([`identity`]), where on the
//!    line that is ([`bucket`]), what a cookie remembers of it ([`cookies`]), which version
//!    that makes and for what reason ([`decision`]);
//! 4. [`output`] says what follows: header changes and labels, as values;
//! 5. [`filter`] handles configurations and requests with a host, which is a trait;
//! 6. `wasm`, on wasm32 alone, is that host for proxy-wasm.
//!
//! Beside it, [`guardrail`] watches how the versions do, holds back the ramps of canaries
//! and sends a bad version's users back to stable.
//!
//! Everything but `filter` and `wasm` is pure: no host calls, no clock, no randomness.
//!
//! ```
//! use divvy::{config, decide, output, request::Request};
//!
//! let policy = config::parse(br#"{
//!     "identity": [{"header": "x-user-id"}],
//!     "rollouts": [{
//!         "name": "checkout",
//!         "versions": [{"name": "v1"}, {"name": "v2"}],
//!         "stable": "v1",
//!         "target": "{version}",
//!         "strategy": {"canary": {"version": "v2", "weight": 25}}
//!     }]
//! }"#)?;
//!
//! let headers = [(&b":path"[..], &b"/"[..]), (b"x-user-id", b"239701014")];
//! let request = Request::from_headers(&policy.names, headers);
//! let outcome = decide::decide(&policy, &request);
//! assert_eq!(output::route(&policy, &outcome.decisions), Some("v2"));
//! assert_eq!(
//!     output::assignment(&policy, &outcome.decisions).as_deref(),
//!     Some("checkout=v2;reason=split"),
//! );
//! # Ok::<(), config::Errors>(())
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::disallowed_macros,
        reason = "a test that panics has failed, and that is what it is for"
    )
)]

pub mod assignment;
pub mod bucket;
pub mod byte_map;
pub mod condition;
pub mod config;
pub mod cookies;
pub mod decide;
pub mod decision;
pub mod environment;
pub mod error;
pub mod filter;
pub mod guardrail;
pub mod identity;
mod json;
pub mod output;
pub mod policy;
pub mod request;
pub mod response;
pub mod scope;
pub mod shared_data;
pub mod strategy;
pub mod trace;
#[cfg(target_arch = "wasm32")]
mod wasm;
