//! The built filter in a real Envoy, in one binary.

mod alternatives;
mod bytes;
mod cases;
mod chain;
mod decisions;
mod documents;
mod example_filters;
mod examples;
mod expose;
mod forged;
mod guardrail;
mod headers;
mod metrics;
mod people;
mod reference;
mod reload;
mod responses;
mod spoofing;
mod start;
mod tokens;
mod top;
mod vectors;
