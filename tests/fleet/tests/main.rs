//! Tests with programs that watch many proxies. One module per program; `proxies` and `traffic` are what they watch.

mod alerts;
mod live;
mod proxies;
mod rules;
mod top;
mod traffic;
mod ui;
