//! Versions that Envoy cannot reach, and when they are tried again. Must not depend on the filter, on
//! requests or on a clock: time is an argument, in milliseconds of a clock that is never set back.
//!
//! # When a version is unreachable
//!
//! Each worker counts responses that Envoy made itself because it had no healthy host (UH), no
//! cluster (NC) or no connection (UF). After 3 in a row with UH or NC, or 7 in a row with UF among
//! them, the version is unreachable ([`FailureRun`]). UH and NC say that Envoy has nothing to send
//! the request to. UF is said of one connection: if 2 % of 20 requests per second have it, three in
//! a row come 14 times per day, seven in a row twice in a million days.
//!
//! # What follows
//!
//! The outage is in a value that all workers share ([`Outages`]), so it holds for all of them. Stable
//! serves the users of the version for a pause of 5 seconds. Then one request tries the version: the
//! worker whose compare-and-swap takes the turn ([`OutageEvent::Try`]). If it fails, the pause
//! doubles, up to 60 seconds. If the version answers, the outage is over. Another one within
//! 60 seconds begins with the next longer pause.
//!
//! # What an outage belongs to
//!
//! To a version of a revision with its target ([`outage_key`]): another revision or another target is
//! reachable until it fails. So a configuration that was replaced and still has open requests does no
//! harm, and one that returns finds its outages again. Outages end with the process.

mod outage;
mod run;

pub use outage::{OutageEvent, Outages, TryTime, outage_key};
pub use run::{Attempt, FailureRun};
