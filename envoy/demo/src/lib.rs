//! Shared by `divvy-demo` and `divvy-tour`. Must not depend on Envoy.

pub mod screen;
