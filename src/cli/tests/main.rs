//! The command line, in one binary.

mod admission;
mod analyze;
mod check;
mod common;
mod convert;
mod diff;
mod explain;
mod forms;
mod growing;
mod hash;
mod help;
mod hostile_top;
mod init;
mod inputs;
mod kinds;
mod overlays;
mod page;
mod pods;
mod promote;
mod render;
mod schema;
mod selections;
mod simulate;
mod unreachable;
mod warnings;
mod writer;
