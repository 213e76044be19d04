//! The decisions of divvy: everything that the filter does without its proxy.
//!
//! Pure: no host calls, no clock, no randomness, no reading of configurations. The crate `divvy`
//! says how data flows through these modules.

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
pub mod condition;
pub mod cookies;
pub mod decide;
pub mod decision;
pub mod guardrail;
pub mod identity;
pub mod output;
pub mod overrides;
pub mod policy;
pub mod request;
pub mod response;
pub mod signature;
pub mod strategy;
pub mod unreachable;
