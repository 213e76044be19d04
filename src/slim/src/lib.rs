//! Which way the branches of a module go, for whoever compiles it.
//!
//! The tool itself is in `main.rs`; what is here is for the tests too, which find out.

pub mod branches;
