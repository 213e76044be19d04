//! What the end of a request says about the version that served it.
//!
//! One sample per run of the filter: what Envoy retries behind it is one request.
//!
//! | what happened | sample |
//! |---|---|
//! | the client went away (DC, DR) | none: whatever else is flagged follows from it |
//! | code 500 and above, but 501 | failure |
//! | a gRPC call that ended with 2, 4, 8, 13, 14 or 15 | failure |
//! | the upstream reset (UF UC UR UH UO UT URX UPE), code not 101 | failure |
//! | neither a code nor any of these | none |
//! | anything else, 4xx too | success |

use std::time::Duration;

use crate::class::{Class, client_is_gone};

/// Envoy's response flags for what the upstream did, or did not do.
const UPSTREAM: u64 = UH | UT | UR | UF | UC | UO | URX | UPE;
const UH: u64 = 1 << 1;
const UT: u64 = 1 << 2;
const UR: u64 = 1 << 4;
const UF: u64 = 1 << 5;
const UC: u64 = 1 << 6;
const UO: u64 = 1 << 7;
const URX: u64 = 1 << 15;
const UPE: u64 = 1 << 23;

/// A request that has ended, as the host describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The response code, if there is one; 0 is none.
    pub code: u64,
    /// The gRPC status, if this was a gRPC call and has one. Plain HTTP can carry a
    /// `grpc-status` too, which says nothing.
    pub grpc_status: Option<u64>,
    /// Envoy's response flags.
    pub flags: u64,
    /// Whether the response is an event stream, which lasts as long as people listen.
    pub event_stream: bool,
    /// The time from the end of the request to the response headers, if both came.
    pub latency: Option<Duration>,
}

/// What a request says about its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Nothing.
    None,
    /// It works.
    Success,
    /// It does not.
    Failure,
}

impl Ended {
    /// What this says about errors.
    pub const fn sample(&self) -> Sample {
        if client_is_gone(self.flags) {
            return Sample::None;
        }
        // A WebSocket that its server closes is flagged UC.
        let reset = self.flags & UPSTREAM != 0 && self.code != 101;
        let failed_call = match self.grpc_status {
            Some(status) => Class::is_grpc_failure(status),
            None => false,
        };
        if reset || failed_call || (self.code >= 500 && self.code != 501) {
            Sample::Failure
        } else if self.code == 0 {
            Sample::None
        } else {
            Sample::Success
        }
    }

    /// What this says about latency. Nothing where it is no sample of errors either, and
    /// nothing where the response lasts as long as somebody wants it to.
    pub fn latency(&self) -> Option<Duration> {
        let counts = self.sample() != Sample::None && self.code != 101 && !self.event_stream;
        self.latency.filter(|_| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DC: u64 = 1 << 14;
    const DR: u64 = 1 << 28;
    const RATE_LIMITED: u64 = 1 << 11;

    #[test]
    fn an_end_is_a_success_a_failure_or_says_nothing() {
        use Sample::{Failure, None, Success};
        for (name, code, grpc, flags, sample) in [
            ("fine", 200, Option::None, 0, Success),
            ("not found", 404, Option::None, 0, Success),
            ("rate limited", 429, Option::None, RATE_LIMITED, Success),
            ("server error", 500, Option::None, 0, Failure),
            ("not implemented", 501, Option::None, 0, Success),
            ("no healthy upstream", 503, Option::None, UH, Failure),
            ("timeout", 504, Option::None, UT, Failure),
            ("odd code", 599, Option::None, 0, Failure),
            ("reset before a code", 0, Option::None, UC, Failure),
            ("reset in the body", 200, Option::None, UR, Failure),
            ("retries used up", 409, Option::None, URX, Failure),
            ("broken protocol", 502, Option::None, UPE, Failure),
            ("connect failure", 503, Option::None, UF, Failure),
            ("overflow", 503, Option::None, UO, Failure),
            ("nothing", 0, Option::None, 0, None),
            ("client gone", 0, Option::None, DC, None),
            ("client gone in the body", 200, Option::None, DC, None),
            (
                "client gone, upstream reset",
                503,
                Option::None,
                DC | UR,
                None,
            ),
            ("call cancelled", 200, Some(1), DR, None),
            ("call cancelled late", 200, Some(14), DR | UC, None),
            ("websocket", 101, Option::None, 0, Success),
            ("websocket closed", 101, Option::None, UC, Success),
            ("call", 200, Some(0), 0, Success),
            ("call not found", 200, Some(5), 0, Success),
            ("call unknown", 200, Some(2), 0, Failure),
            ("call too late", 200, Some(4), 0, Failure),
            ("call exhausted", 200, Some(8), 0, Failure),
            ("call internal", 200, Some(13), 0, Failure),
            ("call unavailable", 200, Some(14), 0, Failure),
            ("call data loss", 200, Some(15), 0, Failure),
            ("call unauthenticated", 200, Some(16), 0, Success),
            ("call behind a 503", 503, Some(14), 0, Failure),
            ("all flags", 200, Option::None, u64::MAX, None),
        ] {
            let ended = Ended {
                code,
                grpc_status: grpc,
                flags,
                ..Ended::default()
            };
            assert_eq!(ended.sample(), sample, "{name}");
        }
    }

    #[test]
    fn a_latency_counts_unless_somebody_else_decides_it() {
        let plain = Ended {
            code: 200,
            latency: Some(Duration::from_millis(7)),
            ..Ended::default()
        };
        for (name, ended, counts) in [
            ("plain", plain, true),
            ("failed", Ended { code: 503, ..plain }, true),
            (
                "event stream",
                Ended {
                    event_stream: true,
                    ..plain
                },
                false,
            ),
            ("websocket", Ended { code: 101, ..plain }, false),
            ("client gone", Ended { flags: DC, ..plain }, false),
            (
                "unknown",
                Ended {
                    latency: None,
                    ..plain
                },
                false,
            ),
        ] {
            assert_eq!(ended.latency().is_some(), counts, "{name}");
        }
    }
}
