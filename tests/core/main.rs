//! Tests of the library through its public interface, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test that panics has failed"
)]

mod bucketing;
mod bucketing_figures;
mod cases;
mod compile;
mod configuration;
mod experiments;
mod filter;
mod guardrail;
mod output;
mod people;
mod purposes;
mod sdk;
mod sdk_beside;
mod series;
mod signatures;
mod single_errors;
mod structure;
mod unreachable;
mod weighted;
