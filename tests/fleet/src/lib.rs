//! Programs that watch many proxies, for the tests of `istio/prometheus` and `istio/grafana`: a real
//! Prometheus ([`prometheus`]) in which an hour takes a minute ([`compressed`]), the queries of the
//! dashboard ([`dashboard`]), and a picture of its panels ([`picture`]). Must not depend on the
//! filter: the proxies are real ones of `divvy_lab`.

pub mod compressed;
pub mod dashboard;
pub mod picture;
pub mod prometheus;
