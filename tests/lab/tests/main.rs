//! Tests of the lab, in one binary.

mod real_envoy;
mod upstream;
