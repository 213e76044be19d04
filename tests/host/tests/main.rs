//! The built filter in the host of this package. One test binary, so the filter is compiled once.

mod cases;
mod compare;
mod contexts;
mod costs;
mod explain;
mod faults;
mod gauges;
mod grpc;
mod guardrail;
mod hostile_configurations;
mod hostile_products;
mod hostile_requests;
mod lifecycle;
mod many_rollouts;
mod memory;
mod reminder;
mod signatures;
mod thousand;
mod toy;
mod unread;
