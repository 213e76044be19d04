//! divvy splits traffic between versions of a service, inside Envoy and Istio.
//!
//! This crate is the filter. Built for `wasm32-wasip1` it is a proxy-wasm module; built
//! natively, or with the feature `library`, it is a library with the same decisions. Data flows through the modules in this
//! order:
//!
//! 1. [`config`] compiles a configuration into a [`policy`], or returns all its errors.
//! 2. [`request`] is a borrowed view of a request's headers, as bytes. Facts that are not in
//!    them come from a [`request::Environment`].
//! 3. [`decide`] chooses a version per rollout: which rollouts match ([`policy::scope`]), what an
//!    upstream proxy decided ([`assignment`]), which rule matches ([`condition`]), how the
//!    rollout chooses ([`strategy`]) by the user's [`identity`], hash position ([`bucket`]) and
//!    [`cookies`]. The result is a [`decision`] with a reason.
//! 4. [`output`] computes its effects as values: header changes, cookies, names of metrics.
//! 5. [`filter`] handles configurations and requests of a host, which is a trait.
//! 6. `wasm`, on wasm32 only, is that host for proxy-wasm.
//!
//! Cookies, identities and [`overrides`] can have a [`signature`].
//!
//! Beside it, [`guardrail`] judges the [`response`]s of each version, holds back ramps and rolls
//! bad versions back to stable; [`unreachable`] finds versions that get no requests.
//!
//! All modules but `filter` and `wasm` are pure: no host calls, no clock, no randomness.
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

pub mod filter;
#[cfg(all(target_arch = "wasm32", not(feature = "library")))]
mod wasm;

pub use divvy_config as config;
pub use divvy_core::{
    assignment, bucket, condition, cookies, decide, decision, guardrail, identity, output,
    overrides, policy, request, response, signature, strategy, unreachable,
};
