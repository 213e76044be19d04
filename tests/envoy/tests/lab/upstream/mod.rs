//! The upstream, tested with clients over TCP.

mod client;
mod faults;
mod pages;
mod protocols;
