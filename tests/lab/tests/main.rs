//! What the Envoy tests and the demo stand on, in one binary.

mod real_envoy;
mod upstream;
