//! The lab itself: Envoy without the filter, upstreams and clients.

mod real_envoy;
mod upstream;
