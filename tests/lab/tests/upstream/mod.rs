//! The upstream, seen by real clients over TCP. Whoever writes a test on top of it relies on
//! these sentences.

mod client;
mod faults;
mod pages;
mod protocols;
